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
