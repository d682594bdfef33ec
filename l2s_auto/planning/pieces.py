"""Connected pieces of labels, and which labels touch, in one pass over a label map."""

from __future__ import annotations

import numpy as np

from l2s_auto.core.counting import box_of
from l2s_auto.core.digits import significant
from l2s_auto.core.pieces import connected_pieces

_DIGITS = 6  # that are kept of a volume

Pieces = tuple[dict[int, int], dict[int, float]]


def label_pieces(number: np.ndarray, values: np.ndarray, voxel: float) -> Pieces:
    """Number of pieces of each label but background, and the usual (median) one's size in mm³.

    number  (X, Y, Z) index of each voxel's label in `values`
    values  (L,) all values, rising
    voxel   mm³
    Voxels that share a corner are connected.
    """
    _, sizes, owner = connected_pieces(number, values)
    counts, usual = {}, {}
    for index, value in enumerate(values.tolist()):
        own = sizes[1:][owner[1:] == index]
        if value != 0 and len(own):
            counts[int(value)], usual[int(value)] = len(own), significant(float(np.median(own)) * voxel, _DIGITS)
    return counts, usual


def labelled_box(number: np.ndarray, values: np.ndarray) -> tuple[slice, ...]:
    """Where the labels lie, background left out: the rest of a scan need not be looked at."""
    background = np.flatnonzero(values == 0)
    inside = number != background[0] if background.size else np.ones(number.shape, dtype=bool)
    return box_of(inside)


def touching_labels(number: np.ndarray, values: np.ndarray) -> tuple[tuple[int, int], ...]:
    """Pairs of values, background left out, that share a face of a voxel; the smaller value first.

    number  (X, Y, Z) index of each voxel's label in `values`
    """
    labels = len(values)
    found = np.zeros(labels * labels, dtype=bool)
    for axis in range(3):
        one, two = (number[(slice(None),) * axis + (part,)] for part in (slice(None, -1), slice(1, None)))
        differ = one != two
        found[one[differ].astype(np.int64) * labels + two[differ]] = True
    square = found.reshape(labels, labels)
    pairs = np.argwhere(np.triu(square | square.T, 1))
    return tuple((int(values[a]), int(values[b])) for a, b in pairs if values[a] != 0 and values[b] != 0)
