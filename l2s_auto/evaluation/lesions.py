"""Smooth bright or dark blobs near the structures, such as lesions. The reference does not change."""

from __future__ import annotations

import numpy as np

from l2s_auto.evaluation.scene import Scene

COUNT = 2
#: Radius as a fraction of the size of a typical structure (`Scene.size`).
RADIUS = (0.2, 0.35)
#: Of a radius, in finest voxel edges, at least.
SMALLEST = 1.5
#: Axes of the ellipsoid, in units of the radius.
STRETCH = (0.75, 1.3)
#: How far its middle goes from the tissue around to black or white, and how far these have to be away.
STRENGTH = 0.8
LEAST_CONTRAST = 0.4


def lesions(x: np.ndarray, scene: Scene) -> np.ndarray:
    """With `COUNT` ellipsoids, at the same places in all channels; each is dark or bright by channel, at random."""
    x = x.copy()
    shape, random = x.shape[1:], scene.random
    size = scene.size(shape)
    for _ in range(COUNT):
        centre = _place(shape, size, scene)
        radii = max(random.uniform(*RADIUS) * size, SMALLEST) * random.uniform(*STRETCH, 3) / np.array(scene.edges)
        box = tuple(
            slice(max(0, int(c - 2 * r)), min(n, int(c + 2 * r) + 2))
            for c, r, n in zip(centre, radii, shape, strict=True)
        )
        profile = _profile(box, centre, radii)
        for channel in x:
            around = float(np.average(channel[box], weights=profile + 1e-6))
            target = float(random.integers(2))
            if abs(target - around) < LEAST_CONTRAST:
                target = 1 - target
            channel[box] += STRENGTH * (target - around) * profile
    return x


def _place(shape: tuple[int, ...], size: float, scene: Scene) -> np.ndarray:
    """A voxel that is at most half a structure's size away from a labelled one; in the middle where none is known."""
    random = scene.random
    if scene.labels is None:
        return np.array([random.uniform(0.25 * n, 0.75 * n) for n in shape]).astype(int)
    labelled = np.flatnonzero(scene.labels)
    centre = np.array(np.unravel_index(labelled[random.integers(labelled.size)], shape))
    direction = random.standard_normal(3)
    away = random.uniform(0, size / 2) * direction / np.linalg.norm(direction) / np.array(scene.edges)
    return (centre + np.round(away).astype(int)).clip(0, np.array(shape) - 1)


def _profile(box: tuple[slice, ...], centre: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """exp(-d^4) at the distance d from the centre, in radii: nearly 1 inside, smooth at the border."""
    along = [(np.arange(part.start, part.stop) - c) / r for part, c, r in zip(box, centre, radii, strict=True)]
    squares = np.square(along[0])[:, None, None] + np.square(along[1])[:, None] + np.square(along[2])
    return np.exp(-np.square(squares)).astype(np.float32)
