"""What phantoms of heads and of bodies share: smooth noise, rotations, and volumes on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from l2s_auto.io.atomic import atomic_path


def smooth_noise(
    rng: np.random.Generator, shape: tuple[int, ...], extent: np.ndarray, *, wavelength_mm: float
) -> np.ndarray:
    """Smooth noise of zero mean and unit deviation, float32: normal numbers on a coarse grid, Gaussian bumps between.

    extent  size of the grid in mm along each axis
    """
    nodes = [max(2, round(float(e) / wavelength_mm * 2)) + 3 for e in extent]
    noise = rng.standard_normal(nodes).astype(np.float32)
    for axis, (n, m) in enumerate(zip(shape, nodes, strict=True)):
        where = (np.arange(n, dtype=np.float32) + 0.5) / n * (m - 3) + 1
        bumps = np.exp(-0.5 * ((where[:, None] - np.arange(m)) / 0.7) ** 2).astype(np.float32)
        bumps /= np.linalg.norm(bumps, axis=1, keepdims=True)  # the sum of squares is the variance at a point
        noise = np.moveaxis(np.tensordot(bumps, noise, axes=(1, axis)), 0, axis)
    return np.ascontiguousarray(noise, dtype=np.float32)


def rotation(rng: np.random.Generator, radians: float) -> np.ndarray:
    """A rotation about a random axis by up to `radians` (formula of Rodrigues)."""
    x, y, z = (axis := rng.standard_normal(3)) / np.linalg.norm(axis)
    angle = rng.uniform(-radians, radians)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def write_volume(path: Path, data: np.ndarray, affine: np.ndarray) -> None:
    """(X, Y, Z) voxels and their (4, 4) affine in mm -> a NIfTI file."""
    import nibabel

    image = nibabel.Nifti1Image(data, affine)
    image.header.set_xyzt_units("mm")
    with atomic_path(path, durable=False) as temporary:
        nibabel.save(image, temporary)
