"""Changes by how a scan is acquired: thick slices, low resolution, motion ghosts. None needs a reference."""

from __future__ import annotations

import numpy as np
from scipy.fft import dct, idct

from l2s_auto.evaluation.scene import Scene

#: Thickness of a slice in finest voxel edges: 4 mm in a scan with voxels of 1 mm.
THICKNESS = 4.0
#: Voxels that a thick slice is averaged over, at least: where slices are thick already they become twice as thick.
FEWEST_VOXELS = 2.0
#: Thick slices that remain along the axis, at least.
FEWEST_SLICES = 3
#: Resolution of the low-pass scan in finest voxel edges.
RESOLUTION = 2.5
#: Shift of the first ghost as a fraction of the axis, and amplitude of the first and second ghosts on each side.
GHOST_SHIFT = 0.21
GHOSTS = (0.14, 0.05)


def thick_slices(x: np.ndarray, scene: Scene) -> np.ndarray:
    """Averaged over thick slices along one axis, and interpolated linearly back to the grid.

    The axis is that of the coarsest voxels, along which a scan has its slices (of equal ones the last); the next one
    where fewer than `FEWEST_SLICES` would remain. Single slices are averaged along an axis of the slice.
    """
    for axis in sorted(range(3), key=lambda axis: (scene.edges[axis], axis), reverse=True):
        n = x.shape[1 + axis]
        voxels = max(THICKNESS / scene.edges[axis], FEWEST_VOXELS)
        if n >= FEWEST_SLICES * voxels:
            moved = np.tensordot(x, _through_slices(n, voxels), axes=(1 + axis, 1))
            return np.moveaxis(moved, -1, 1 + axis).astype(np.float32)
    return x


def _through_slices(n: int, voxels: float) -> np.ndarray:
    """(n, n): means over slices of so many voxels, centred on the axis, interpolated linearly. Rows sum to 1."""
    count = int(np.ceil(n / voxels))
    starts = (n - count * voxels) / 2 + voxels * np.arange(count)
    left = np.arange(n)
    overlap = np.minimum(left + 1, starts[:, None] + voxels) - np.maximum(left, starts[:, None])
    mean = overlap.clip(0)
    mean /= mean.sum(1, keepdims=True)
    centres = starts + voxels / 2
    back = np.stack([np.interp(left + 0.5, centres, one) for one in np.eye(count)], axis=1)
    return (back @ mean).astype(np.float32)


def low_pass(x: np.ndarray, scene: Scene) -> np.ndarray:
    """Without the frequencies that a scan of voxels of `RESOLUTION` finest edges does not have, along each axis.

    k-space is cut off, as in a quick MRI scan, so that sharp edges ring. Of the scan mirrored at its borders, by a
    cosine transform, so that nothing wraps around. Axes of coarser voxels stay as they are.
    """
    for axis, edge in enumerate(scene.edges, start=1):
        n = x.shape[axis]
        kept = max(1, round(n * edge / RESOLUTION))
        if kept < n:
            spectrum = dct(x, axis=axis, norm="ortho")
            spectrum[(slice(None),) * axis + (slice(kept, None),)] = 0
            x = idct(spectrum, axis=axis, norm="ortho")
    return x


def ghosts(x: np.ndarray, scene: Scene) -> np.ndarray:
    """With periodic ghosts along one axis, as of motion with the breath: attenuated copies, which wrap around.

    The axis with most voxels is that of the phase encoding. What the ghosts have, the scan itself lacks.
    """
    axis = 1 + int(np.argmax(x.shape[1:]))
    shift = max(1, round(GHOST_SHIFT * x.shape[axis]))
    ghosted = (1 - 2 * sum(GHOSTS)) * x
    for number, amplitude in enumerate(GHOSTS, start=1):
        for side in (-1, 1):
            ghosted += amplitude * np.roll(x, side * number * shift, axis=axis)
    return ghosted
