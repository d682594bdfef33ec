"""How bright each generation class is in a case, how much that varies in it, and how much from voxel to voxel."""

from __future__ import annotations

import itertools

import numpy as np

from l2s_auto.core.counting import moments
from l2s_auto.core.plan import GenerationPlan

_FEWEST_VOXELS = 30  # of a class in a case, or it tells nothing
_PAIRS = 2_000_000  # neighbours along an axis that are looked at, about
_NORMAL_MEDIAN = 0.6745  # of the size of a normal number, in standard deviations


def class_intensities(image: np.ndarray, enriched: np.ndarray, generation: GenerationPlan) -> np.ndarray:
    """(3, C, G) mean, standard deviation and noise of each class in each channel; NaN for one with hardly a voxel.

    image     (C, *S) normalised
    enriched  (*S) index into generation.enriched
    """
    class_of = np.array([label.generation_class for label in generation.enriched], dtype=np.uint16)
    classes = class_of[enriched]
    found = np.full((3, len(image), generation.classes), np.nan)
    for channel, values in enumerate(image):
        count, *found[:2, channel] = moments(classes.ravel(), values.ravel(), generation.classes)
        found[2, channel] = grain(values, classes, generation.classes)
        found[:, channel, count < _FEWEST_VOXELS] = np.nan
    return found


def grain(values: np.ndarray, classes: np.ndarray, count: int) -> np.ndarray:
    """(count,) standard deviation of the white noise that neighbours of one class differ by; NaN for too few of them.

    values   (*S) intensities
    classes  (*S) classes, 0 … count - 1

    The median size of their difference, which edges and slow changes hardly move, is 0.6745 √2 deviations of normal
    noise. Of the axes the largest is taken: along one that was interpolated, neighbours are alike.
    """
    found = np.full(count, np.nan)
    for axis in range(values.ndim):
        (near, next_), (kind, other) = (_neighbours(array, axis) for array in (values, classes))
        same = kind == other
        kinds, sizes = kind[same], np.abs(next_[same] - near[same])
        order = np.argsort(kinds, kind="stable")
        ends = np.searchsorted(kinds, np.arange(count + 1), sorter=order)
        for number, (start, stop) in enumerate(itertools.pairwise(ends)):
            if stop - start >= _FEWEST_VOXELS:
                deviation = float(np.median(sizes[order[start:stop]])) / (_NORMAL_MEDIAN * np.sqrt(2))
                found[number] = np.fmax(found[number], deviation)
    return found


def _neighbours(array: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """The voxels and the next ones along the axis, of so many planes that there are about `_PAIRS` of them."""
    across = max((a for a in range(array.ndim) if a != axis), key=lambda a: array.shape[a])
    some = np.moveaxis(array, (axis, across), (0, 1))[:, :: -(-array.size // _PAIRS)]
    return some[:-1], some[1:]
