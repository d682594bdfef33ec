"""Another voxel size, for images and label maps, axis by axis.

Grids are aligned at their corners, so the physical extent is kept: the centre of output voxel i lies at input
coordinate (i + 0.5) * old / new - 0.5. Beyond the outermost centres the outermost voxel is repeated. Interpolation is
separable, so it is one sparse matrix an axis: fast, and the same code serves every order.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

import numpy as np
from scipy import sparse

from l2s_auto.core.digits import extent_in, relative

Order = Literal["linear", "cubic"]
COARSE = 3.0  # from this ratio of spacings on, an axis is one of slices


def resampled_shape(
    shape: tuple[int, ...], spacing: tuple[float, ...], target: tuple[float, ...]
) -> tuple[int, int, int]:
    """Voxels that cover the extent of `shape` at `spacing` mm with a spacing of about `target` mm; at least one."""
    x, y, z = (max(1, round(extent_in(n, old, new))) for n, old, new in zip(shape, spacing, target, strict=True))
    return x, y, z


def interpolation_matrix(old: int, new: int, *, order: Order, smooth: bool) -> sparse.csr_matrix:
    """(new, old) weights of old voxels in new ones; rows sum to 1.

    order   linear, or cubic convolution (Keys, IEEE Trans. ASSP 1981, a = -0.5)
    smooth  widen the kernel when there are fewer new voxels than old ones, against aliasing
    """
    stretch = max(1.0, old / new) if smooth else 1.0
    reach = stretch * (1 if order == "linear" else 2)
    centres = (np.arange(new) + 0.5) * old / new - 0.5
    taps = np.floor(centres - reach).astype(np.int64)[:, None] + np.arange(int(np.ceil(2 * reach)) + 2)
    distance = np.abs(taps - centres[:, None]) / stretch
    weights = _linear(distance) if order == "linear" else _cubic(distance)
    weights /= weights.sum(axis=1, keepdims=True)
    rows = np.repeat(np.arange(new), taps.shape[1])
    entries = (weights.ravel().astype(np.float32), (rows, np.clip(taps, 0, old - 1).ravel()))
    matrix = sparse.coo_matrix(entries, shape=(new, old)).tocsr()
    matrix.eliminate_zeros()
    return matrix


def _linear(distance: np.ndarray) -> np.ndarray:
    return np.maximum(0.0, 1.0 - distance)


def _cubic(distance: np.ndarray) -> np.ndarray:
    near = 1.5 * distance**3 - 2.5 * distance**2 + 1
    far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))


def along(matrix: sparse.csr_matrix | np.ndarray, array: np.ndarray, axis: int) -> np.ndarray:
    """Apply a (new, old) matrix along one axis of a float32 array."""
    moved = np.moveaxis(array, axis, 0)
    flat = np.ascontiguousarray(moved).reshape(moved.shape[0], -1)
    return np.moveaxis((matrix @ flat).reshape(matrix.shape[0], *moved.shape[1:]), 0, axis)


def coarse_axes(spacing: tuple[float, ...]) -> tuple[int, ...]:
    """Axes of slices that lie more than 3 times as far apart as the finest voxels, nnU-Net's limit."""
    return tuple(axis for axis, edge in enumerate(relative(spacing)) if edge > COARSE)


def resample_image(
    image: np.ndarray, shape: tuple[int, int, int], *, order: Order = "cubic", coarse: Collection[int] = ()
) -> np.ndarray:
    """(C, *S) float32 -> (C, *shape) float32; the image itself if it has that shape already.

    coarse  axes that are always interpolated linearly: between far slices anatomy jumps, and a cubic kernel answers a
            jump with dark and bright seams that no tissue has
    """
    if image.shape[1:] == tuple(shape):
        return image
    out = np.empty((len(image), *shape), dtype=np.float32)
    for channel, result in zip(image, out, strict=True):
        part = np.asarray(channel, dtype=np.float32)
        # Shrinking axes first keeps what lies in between small.
        for axis in sorted(range(3), key=lambda a: shape[a] / image.shape[1 + a]):
            if part.shape[axis] != shape[axis]:
                own: Order = "linear" if axis in coarse else order
                part = along(interpolation_matrix(part.shape[axis], shape[axis], order=own, smooth=True), part, axis)
        result[...] = part
    return out


def resample_labels(labels: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """(S) integers -> (*shape) of the same type: at each new voxel the label with the largest share.

    Shares are interpolated with the cubic kernel; the linear one shrinks convex structures (a ball of 24 mm, taken to
    1.5 mm and back, by 3 %). Never makes a new value. Labels are handled one after the other, each in the box that it
    occupies, so that memory does not grow with their number. Of equal shares the smaller label wins.
    """
    if labels.shape == tuple(shape):
        return labels
    matrices = [
        interpolation_matrix(o, n, order="cubic", smooth=False) for o, n in zip(labels.shape, shape, strict=True)
    ]
    values = np.unique(labels)
    best = np.zeros(shape, dtype=np.float32)
    winner = np.full(shape, values[0], dtype=labels.dtype)
    for value in values:
        target, share = _share(labels == value, matrices)
        ahead = share > best[target] + 1e-6
        best[target][ahead] = share[ahead]
        winner[target][ahead] = value
    return winner


def nearest(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(*S) -> (*shape): at each new voxel the old one in which its centre lies."""
    places = [
        ((np.arange(n) + 0.5) * (o / n)).astype(np.int64).clip(0, o - 1)
        for o, n in zip(array.shape, shape, strict=True)
    ]
    return array[np.ix_(*places)]


def _share(mask: np.ndarray, matrices: list[sparse.csr_matrix]) -> tuple[tuple[slice, ...], np.ndarray]:
    """Interpolation of a mask, only where it is not zero: (where in the output, shares of about [0, 1])."""
    source, target, parts = [], [], []
    for axis, matrix in enumerate(matrices):
        occupied = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        columns = slice(int(occupied[0]), int(occupied[-1]) + 1)
        narrow = matrix[:, columns]
        touched = np.flatnonzero(np.diff(narrow.indptr))
        rows = slice(int(touched[0]), int(touched[-1]) + 1) if touched.size else slice(0, 0)
        source.append(columns)
        target.append(rows)
        parts.append(narrow[rows])
    share = mask[tuple(source)].astype(np.float32)
    for axis, part in enumerate(parts):
        share = along(part, share, axis)
    return tuple(target), share
