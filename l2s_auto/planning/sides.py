"""Whether a dataset's images may be mirrored: no label may end up on the wrong side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from l2s_auto.planning.pairs import tells_side


def may_flip(labels: Mapping[int, str], pairs: Iterable[tuple[int, int]]) -> bool:
    """Whether left and right can be exchanged: there are pairs, and every label whose name has a side is in one.

    Without pairs a mirrored anatomy is one that no scan has, a left hippocampus where all are right ones.

    labels  value -> name
    """
    paired = {value for pair in pairs for value in pair}
    return bool(paired) and not any(tells_side(name) for value, name in labels.items() if value not in paired)


def why_flips(labels: Mapping[int, str], pairs: Iterable[tuple[int, int]]) -> str:
    """In words."""
    pairs = tuple(pairs)
    if may_flip(labels, pairs):
        return "every label that has a side has a partner on the other"
    return "a label has a side and no partner" if pairs else "no pairs: a mirrored scan may be one that no patient has"
