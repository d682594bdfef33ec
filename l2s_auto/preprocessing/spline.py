"""Another voxel size as nnU-Net makes it, for models that have learnt from its images.

Cubic splines through all voxels, without a filter against aliasing, so that the noise of a fine scan stays in a coarse
one; where slices lie far apart, splines within them and the nearest slice between.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from l2s_auto.core.digits import relative
from l2s_auto.preprocessing.resample import COARSE, along, nearest


def slice_axis(spacing: Sequence[float], target: Sequence[float]) -> int | None:
    """The one axis along which voxels of the scan, or else of the plan, are more than 3 times as large; or None."""
    for edges in (relative(spacing), relative(target)):
        if max(edges) > COARSE:
            largest = [axis for axis, edge in enumerate(edges) if edge == max(edges)]
            return largest[0] if len(largest) == 1 else None
    return None


def resample_by_splines(image: np.ndarray, shape: tuple[int, int, int], *, slices: int | None = None) -> np.ndarray:
    """(C, *S) float32 -> (C, *shape) float32 in the range of each channel; the image itself if it has that shape.

    slices  the axis of slices that lie far apart
    """
    if image.shape[1:] == tuple(shape):
        return image
    out = np.empty((len(image), *shape), dtype=np.float32)
    for channel, result in zip(image, out, strict=True):
        if slices is None:
            _zoom(channel, shape, result)
            continue
        flat = np.moveaxis(channel, slices, 0)
        within = (len(flat), *(n for axis, n in enumerate(shape) if axis != slices))
        made = np.empty(within, dtype=np.float32)
        for one, target in zip(flat, made, strict=True):
            _zoom(one, within[1:], target)
        result[...] = np.moveaxis(nearest(made, (shape[slices], *within[1:])), 0, slices)
    return out


def _zoom(array: np.ndarray, shape: Sequence[int], out: np.ndarray) -> None:
    """Grids are aligned at their corners; what lies beyond the outermost centres is the outermost voxel."""
    part = array
    # Shrinking axes first keeps what lies in between small.
    for axis in sorted(range(array.ndim), key=lambda a: shape[a] / array.shape[a]):
        if part.shape[axis] != shape[axis]:
            part = along(spline_matrix(part.shape[axis], shape[axis]), part, axis)
    np.clip(part, array.min(), array.max(), out=out)


def spline_matrix(old: int, new: int) -> np.ndarray:
    """(new, old) float32 weights of old voxels in new ones, borders and all: what the spline makes of each voxel alone.

    A spline is linear in the voxels and separable. One multiplication of matrices an axis is faster than
    `scipy.ndimage.zoom` of a volume, and needs no copy of it in double precision.
    """
    made = ndimage.zoom(np.eye(old), (new / old, 1.0), order=3, mode="nearest", grid_mode=True)
    assert made.shape == (new, old)
    return np.ascontiguousarray(made, dtype=np.float32)
