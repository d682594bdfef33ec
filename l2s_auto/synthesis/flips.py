"""Left and right: which enriched label each becomes in a mirrored image."""

from __future__ import annotations

from collections.abc import Sequence

from l2s_auto.core.plan import GenerationPlan


def partners(generation: GenerationPlan, pairs: Sequence[tuple[int, int]]) -> tuple[int, ...]:
    """Enriched label -> its partner on the other side; itself if it has none. Twice is the identity.

    pairs  output classes (left, right). Parts of a label go to those of its partner in their order of brightness.

    Raises ValueError if a label has not as many parts as its partner.
    """
    other = {a: b for pair in pairs for a, b in (pair, pair[::-1])}
    members: dict[int, list[int]] = {}
    for index, label in enumerate(generation.enriched):
        members.setdefault(label.target, []).append(index)
    for group in members.values():
        group.sort(key=lambda index: generation.enriched[index].centre or 0.0)
    out = list(range(len(generation.enriched)))
    for target, partner in other.items():
        mine, theirs = members.get(target, []), members.get(partner, [])
        if len(mine) != len(theirs):
            raise ValueError(
                f"Output classes {target} and {partner} are left and right of one another, but have {len(mine)} and "
                f"{len(theirs)} enriched labels; give them as many, or take the pair out of the plan."
            )
        for index, becomes in zip(mine, theirs, strict=True):
            out[index] = becomes
    return tuple(out)
