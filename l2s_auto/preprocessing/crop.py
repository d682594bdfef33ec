"""Cutting away an outside of exact zeros, and putting it back."""

from __future__ import annotations

import numpy as np

Box = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]

MARGIN = 4  # voxels kept around the box, so that a border of the head is not a border of the image
WORTHWHILE = 0.9  # crop only if the box holds less than this share of the voxels


def full_box(shape: tuple[int, ...]) -> Box:
    """The box of a whole (X, Y, Z) grid."""
    x, y, z = shape
    return (0, x), (0, y), (0, z)


def nonzero_box(image: np.ndarray) -> Box:
    """(C, X, Y, Z) image -> [start, stop) an axis of what lies inside an outside of exact zeros.

    The whole grid if there are no zeros outside (an inverted contrast has a bright outside), if all is zero,
    or if cropping would remove less than a tenth of the voxels.
    """
    shape = image.shape[1:]
    inside = np.any(image != 0, axis=0)
    limits: list[tuple[int, int]] = []
    for axis, size in enumerate(shape):
        others = tuple(other for other in range(3) if other != axis)
        occupied = np.flatnonzero(np.any(inside, axis=others))
        if occupied.size == 0:
            return full_box(shape)
        limits.append((max(0, int(occupied[0]) - MARGIN), min(size, int(occupied[-1]) + 1 + MARGIN)))
    kept = np.prod([stop - start for start, stop in limits], dtype=np.float64)
    if kept >= WORTHWHILE * np.prod(shape, dtype=np.float64):
        return full_box(shape)
    return limits[0], limits[1], limits[2]


def crop(array: np.ndarray, box: Box) -> np.ndarray:
    """(..., X, Y, Z) -> the part in the box, a view."""
    x, y, z = (slice(start, stop) for start, stop in box)
    return array[..., x, y, z]


def uncrop(array: np.ndarray, box: Box, shape: tuple[int, int, int], *, fill: float = 0) -> np.ndarray:
    """Put (..., *box) back into (..., *shape); `fill` outside of the box."""
    whole = np.full((*array.shape[:-3], *shape), fill, dtype=array.dtype)
    crop(whole, box)[...] = array
    return whole
