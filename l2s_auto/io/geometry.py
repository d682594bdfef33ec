"""Whether two volumes lie on the same grid, and how far apart they are if not."""

from __future__ import annotations

from itertools import product

import numpy as np

#: Volume of a voxel whose edges are scaled to 1, below which they lie in one plane.
_FLAT = 1e-6


def corner_offset(shape: tuple[int, ...], first: np.ndarray, second: np.ndarray) -> tuple[float, np.ndarray]:
    """(largest distance in mm between the corner voxels of one (X, Y, Z) shape under two affines, its vector)."""
    corners = np.array([(*corner, 1) for corner in product(*((0, n - 1) for n in shape))], dtype=float)
    offsets = (corners @ (second - first).T)[:, :3]
    distances = np.linalg.norm(offsets, axis=1)
    farthest = int(distances.argmax())
    return float(distances[farthest]), offsets[farthest]


def default_tolerance(affine: np.ndarray) -> float:
    """A tenth of the smallest voxel edge, at most 0.1 mm: far above rounding, far below what a label can show."""
    return min(0.1, 0.1 * float(np.linalg.norm(affine[:3, :3], axis=0).min()))


def is_invertible(affine: np.ndarray) -> bool:
    """Whether an affine is finite and gives each voxel a place of its own, in whatever unit it is."""
    if not np.isfinite(affine).all():
        return False
    edges = np.linalg.norm(affine[:3, :3], axis=0)
    return bool(edges.min() > 0) and bool(abs(np.linalg.det(affine[:3, :3] / edges)) > _FLAT)
