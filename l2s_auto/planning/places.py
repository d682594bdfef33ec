"""Where labels lie in a case: their centres and extents, from a few histograms instead of a mask a label."""

from __future__ import annotations

import numpy as np

from l2s_auto.core.counting import number_of
from l2s_auto.core.digits import significant
from l2s_auto.core.plan import Triple

_DIGITS = 6  # that are kept of a length
_FINEST = 128  # planes an axis that are looked at; of a longer axis every second, third, ... is

Places = tuple[dict[int, Triple], dict[int, Triple]]


def label_places(labels: np.ndarray, values: np.ndarray, spacing: Triple) -> Places:
    """Centre, and standard deviation about it along each axis, of each label but background, in mm.

    labels   (X, Y, Z) label values
    values   (L,) all values in it, rising
    spacing  mm
    -> (value -> centre, value -> spread); the centre of the first voxel is half a voxel from the corner. Labels
    that the planes which are looked at miss are left out.
    """
    steps = [max(1, -(-n // _FINEST)) for n in labels.shape]
    coarse = labels[tuple(slice(step // 2, None, step) for step in steps)]
    number = number_of(coarse, values).astype(np.int64)
    centres, spreads = np.zeros((len(values), 3)), np.zeros((len(values), 3))
    for axis, (n, step) in enumerate(zip(coarse.shape, steps, strict=True)):
        position = np.arange(n).reshape([-1 if i == axis else 1 for i in range(3)])
        profile = np.bincount((number * n + position).ravel(), minlength=len(values) * n).reshape(len(values), n)
        where = (np.arange(n) * step + step // 2 + 0.5) * spacing[axis]
        count = profile.sum(axis=1)
        total = np.maximum(count, 1)
        centres[:, axis] = profile @ where / total
        spreads[:, axis] = np.sqrt((profile * (where - centres[:, axis, None]) ** 2).sum(axis=1) / total)
    seen = [(i, int(value)) for i, value in enumerate(values.tolist()) if value != 0 and count[i]]
    return {value: _triple(centres[i]) for i, value in seen}, {value: _triple(spreads[i]) for i, value in seen}


def _triple(numbers: np.ndarray) -> Triple:
    x, y, z = (significant(float(number), _DIGITS) for number in numbers)
    return x, y, z
