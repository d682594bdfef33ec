"""Small scans with what real ones have: a CT in Hounsfield units, an MRI magnitude, label maps of many regions."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

SHAPE = (40, 38, 24)
GRID = np.stack(np.meshgrid(*[np.arange(n) for n in SHAPE], indexing="ij")).astype(float)


def ellipsoid(centre: tuple[float, ...], radii: tuple[float, ...]) -> np.ndarray:
    c, r = (np.array(v, dtype=float)[:, None, None, None] for v in (centre, radii))
    return (((GRID - c) / r) ** 2).sum(axis=0) < 1


BODY = ellipsoid((20, 19, 12), (16, 15, 60))
OUTSIDE = ((GRID[0] - 19.5) / 19.5) ** 2 + ((GRID[1] - 18.5) / 18.5) ** 2 > 1  # of the circle that a scanner images
LUNGS = ellipsoid((14, 17, 12), (4, 6, 8)) | ellipsoid((26, 17, 12), (4, 6, 8))
SPINE = ellipsoid((20, 28, 12), (3, 3, 60))
ORGAN = ellipsoid((20, 10, 12), (6, 4, 6))
BRAIN = ellipsoid((20, 19, 12), (14, 13, 9))


def ct(seed: int = 0, *, noise: float = 12.0) -> np.ndarray:
    """(X, Y, Z) int16 Hounsfield units: air, fat, soft tissue, lungs, bone, and noise."""
    hu = np.full(SHAPE, -1000.0)
    hu[BODY] = 45
    hu[BODY & ~ellipsoid((20, 19, 12), (14, 13, 60))] = -95
    hu[LUNGS], hu[SPINE], hu[ORGAN] = -850, 500, 110
    smooth = ndimage.gaussian_filter(hu, 0.6) + np.random.default_rng(seed).normal(0, noise, SHAPE)
    return np.rint(smooth).clip(-1024).astype(np.int16)


def mri(seed: int = 0) -> np.ndarray:
    """(X, Y, Z) int16 magnitudes from 0 to about 900."""
    rng = np.random.default_rng(seed)
    signal = np.where(BODY, 350.0, 0.0) + np.where(BRAIN, 200.0, 0.0) + np.where(SPINE, 250.0, 0.0)
    noisy = np.hypot(signal + rng.normal(0, 15, SHAPE), rng.normal(0, 15, SHAPE))
    return np.rint(noisy).astype(np.int16)


def organs() -> np.ndarray:
    """(X, Y, Z) uint8 label map that fits both."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[ORGAN], labels[SPINE] = 1, 2
    return labels


def regions(count: int, *, shape: tuple[int, int, int] = (48, 48, 48), largest: int = 10_000) -> np.ndarray:
    """(X, Y, Z) int32 label map of `count` regions around random points, with values up to `largest`."""
    rng = np.random.default_rng(count)
    seeds = np.ones(shape, bool)
    flat = rng.choice(seeds.size, size=count, replace=False)
    seeds.flat[flat] = False
    nearest = ndimage.distance_transform_edt(seeds, return_distances=False, return_indices=True)
    values = np.zeros(shape, np.int32)
    values.flat[flat] = [*(1 + rng.choice(largest - 1, size=count - 1, replace=False)).tolist(), largest]
    return values[tuple(nearest)]
