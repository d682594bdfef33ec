"""Connected pieces of a segmentation's labels: their sizes, and the largest alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from l2s_auto.core.counting import box_of, number_of, values_of
from l2s_auto.core.pieces import connected_pieces


@dataclass(frozen=True)
class Pieces:
    """26-connected pieces of each label but background (0).

    box      where they lie
    number   (*box) number of each voxel's piece, 0 for background
    of       value -> (voxels, number) of its pieces, the largest first
    """

    box: tuple[slice, ...]
    number: np.ndarray
    of: dict[int, list[tuple[int, int]]]

    @property
    def sizes(self) -> dict[int, list[int]]:
        """Value -> voxels of its pieces, the largest first."""
        return {value: [size for size, _ in pieces] for value, pieces in self.of.items()}


def pieces_of(labels: np.ndarray) -> Pieces:
    """(X, Y, Z) integers, whose pieces are wanted. Memory is that of one more such map, whatever the labels."""
    box = box_of(labels != 0)
    values = values_of(labels[box])
    if not len(values):
        return Pieces(box, np.zeros((0, 0, 0), dtype=np.uint16), {})
    number, sizes, owner = connected_pieces(number_of(labels[box], values), values)
    found: dict[int, list[tuple[int, int]]] = {}
    for piece in np.argsort(-sizes[1:], kind="stable") + 1:
        found.setdefault(int(values[owner[piece]]), []).append((int(sizes[piece]), int(piece)))
    return Pieces(box, number, found)


def keep_largest(labels: np.ndarray, pieces: Pieces, values: Iterable[int]) -> dict[int, int]:
    """Make all but the largest piece of some labels background, in place -> value: voxels that it lost, if any."""
    smaller = {value: pieces.of.get(value, [])[1:] for value in values}
    lost = {value: sum(size for size, _ in own) for value, own in smaller.items() if own}
    if lost:
        gone = np.zeros(max(number for own in pieces.of.values() for _, number in own) + 1, dtype=bool)
        gone[[number for own in smaller.values() for _, number in own]] = True
        inside = labels[pieces.box]
        for plane, number in zip(inside, pieces.number, strict=True):  # views
            plane[gone[number]] = 0
    return lost
