"""Label maps and images told apart: in a label map most neighbours of a voxel have its value."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from l2s_auto.io.labels import WHOLE_NUMBER_TOLERANCE

_PAIRS = 500_000  # neighbouring voxels that are compared, along each axis
_FEW = 60  # values: a label map of more of them is looked at more closely
_MANY = 5_000  # values that a label map given as a scan may have
_REGIONS = 0.65  # of the neighbours in a label map are equal, at least; in quantised images fewer
_SOME, _SOLID = 5, 0.86  # values, and equal neighbours among those in between, as only label maps have them:
_COARSE = 0.55  # then so many neighbours in all are enough, since thin regions of coarse voxels are mostly border
_SCATTERED = 0.35  # of the neighbours in an image are equal, at most


@dataclass(frozen=True)
class Look:
    """What an array looks like.

    integers  whether all numbers are
    values    how many different ones there are
    equal     fraction of neighbouring voxels with equal values; pairs of background do not count
    within    the same without the smallest and the largest value, at which images are cut off
    """

    integers: bool
    values: int
    equal: float
    within: float

    @property
    def is_label_map(self) -> bool:
        """Few integers in large regions, or more that are in regions all the same."""
        if not self.integers or self.values < 2:
            return False
        if self.values <= _FEW:
            solid = self.values >= _SOME and self.within >= _SOLID
            return self.equal >= (_COARSE if solid else _REGIONS)
        return self.values <= _MANY and min(self.equal, self.within) >= _REGIONS

    @property
    def is_image(self) -> bool:
        """Fractions, or many values that are scattered."""
        return not self.integers or (self.values > _FEW and self.equal < _SCATTERED)


def look_of(array: np.ndarray) -> Look:
    """(X, Y, Z) of real numbers -> what it looks like; of a large one some rows of voxels are looked at."""
    lowest, highest = array.min(), array.max()
    pairs = [_neighbours(array, axis) for axis in range(array.ndim) if array.shape[axis] > 1]
    if not pairs or lowest == highest:
        return Look(integers=_all_integers(array.ravel()), values=1 + int(lowest != highest), equal=1.0, within=1.0)
    one, two = (np.concatenate(side) for side in zip(*pairs, strict=True))
    values, counts = np.unique(one, return_counts=True)
    background = values[int(np.argmax(counts))]
    same = one == two
    inside = ~(same & (one == background))
    middle = inside & (one != lowest) & (one != highest) & (two != lowest) & (two != highest)
    return Look(_all_integers(values), len(values), _mean(same[inside]), _mean(same[middle]))


def _mean(flags: np.ndarray) -> float:
    return float(flags.mean()) if flags.size else 0.0


def _all_integers(values: np.ndarray) -> bool:
    if values.dtype.kind in "iub":
        return True
    return bool(np.isfinite(values).all() and (np.abs(values - np.rint(values)) <= WHOLE_NUMBER_TOLERANCE).all())


def _neighbours(array: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Voxels and the next ones along an axis, in rows that are evenly placed."""
    others = [n for other, n in enumerate(array.shape) if other != axis]
    step = max(1, int(np.ceil(np.sqrt(array.size / _PAIRS))))
    rows = np.moveaxis(array, axis, 0)[(slice(None), *(slice(None, None, step if n > 2 * step else 1) for n in others))]
    return rows[:-1].ravel(), rows[1:].ravel()
