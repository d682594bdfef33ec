"""An anatomy in formulas: which tissue is at a point of a standard head.

Points are in millimetres in the head's own RAS space: x to the right, y to the front, z up; the origin is near the
middle of the brain. Every function takes three arrays of one shape and returns an array of that shape. Signed depths
are positive inside and roughly in millimetres.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise

import numpy as np

Points = tuple[np.ndarray, np.ndarray, np.ndarray]
Triple = tuple[float, float, float]


class Tissue(IntEnum):
    """What can be at a point."""

    AIR = 0
    SKIN = 1
    FAT = 2
    MUSCLE = 3
    SKULL = 4
    MARROW = 5
    CSF = 6
    CORTEX = 7
    WHITE_MATTER = 8
    LEFT_VENTRICLE = 9
    RIGHT_VENTRICLE = 10
    LEFT_NUCLEI = 11
    RIGHT_NUCLEI = 12
    HIPPOCAMPUS = 13
    BRAINSTEM = 14
    CEREBELLUM = 15
    CEREBELLUM_WHITE = 16
    EYE = 17
    LENS = 18
    SINUS = 19


@dataclass(frozen=True)
class Build:
    """What differs between persons, apart from size and smooth deformation.

    ventricles  radius of the lateral ventricles relative to the standard, about 0.8 (young) to 1.4 (old)
    cortex_mm   thickness of the cortex
    sulcus_mm   depth of the sulci
    """

    ventricles: float = 1.0
    cortex_mm: float = 3.6
    sulcus_mm: float = 11.0


def ellipsoid(points: Points, centre: Triple, radii: Triple) -> np.ndarray:
    """Depth below the surface of an ellipsoid with axes along x, y, z; exact on the surface, approximate elsewhere."""
    x, y, z = ((p - c) / r for p, c, r in zip(points, centre, radii, strict=True))
    radius = np.sqrt(x * x + y * y + z * z)
    return (1 - radius) * min(radii)


def tube(points: Points, path: Sequence[tuple[float, float, float, float]]) -> np.ndarray:
    """Depth inside a chain of tapered capsules; each entry of `path` is x, y, z and the radius there."""
    depth = np.full(points[0].shape, -np.inf, dtype=points[0].dtype)
    for start, end in pairwise(path):
        axis = [b - a for a, b in zip(start[:3], end[:3], strict=True)]
        offset = [p - a for p, a in zip(points, start[:3], strict=True)]
        along = sum(o * a for o, a in zip(offset, axis, strict=True)) / sum(a * a for a in axis)
        along = np.clip(along, 0, 1)
        distance = np.sqrt(sum((o - along * a) ** 2 for o, a in zip(offset, axis, strict=True)))
        np.maximum(depth, start[3] + along * (end[3] - start[3]) - distance, out=depth)
    return depth


def tissue_at(points: Points, folding: np.ndarray, build: Build) -> np.ndarray:
    """Tissue at each point, as the values of Tissue (uint8).

    folding  smooth noise of about unit deviation and a wavelength of one or two centimetres; sulci run along its
             zero crossings
    """
    x, y, z = points
    mirrored = (np.abs(x), y, z)
    tissue = np.full(x.shape, Tissue.AIR, dtype=np.uint8)
    cranium = _intracranial(mirrored)
    _paint_outside(tissue, mirrored, cranium)
    tissue[cranium > 0] = Tissue.CSF
    _paint_hindbrain(tissue, mirrored, folding)
    _paint_cerebrum(tissue, mirrored, folding, build)
    _paint_core(tissue, points, mirrored, build)
    return tissue


def _intracranial(mirrored: Points) -> np.ndarray:
    """Depth inside the skull: forebrain, temporal fossae and the posterior fossa."""
    _x, y, z = mirrored
    parts = (
        np.minimum(ellipsoid(mirrored, (0, -3, 16), (69, 86, 58)), z + 17 - 0.12 * np.abs(y)),
        ellipsoid(mirrored, (40, 7, -19), (27, 43, 24)),
        ellipsoid(mirrored, (0, -48, -30), (57, 35, 27)),
        tube(mirrored, [(0, -14, -24, 19), (0, -24, -50, 14), (0, -30, -110, 11)]),
    )
    return np.maximum.reduce(parts)


def _paint_outside(tissue: np.ndarray, mirrored: Points, cranium: np.ndarray) -> None:
    """Skin, fat, muscle, skull, eyes and the air of the nose."""
    _x, _y, z = mirrored
    vault = ellipsoid(mirrored, (0, -2, 12), (80, 99, 72))
    face = np.maximum.reduce(
        (
            ellipsoid(mirrored, (0, 42, -52), (60, 50, 52)),
            tube(mirrored, [(0, -20, -40, 58), (0, -26, -120, 52)]),
            tube(mirrored, [(0, 88, -18, 5), (0, 101, -44, 9)]),
            ellipsoid(mirrored, (79, -8, -24), (7, 15, 22)),
        )
    )
    head = np.maximum(vault, face)
    tissue[head > 0] = Tissue.SKIN
    tissue[head > 2.5] = Tissue.FAT
    tissue[(head > 6.5) & (z < -8)] = Tissue.MUSCLE
    bone = (cranium > -8.5) & (head > 2)
    tissue[bone] = Tissue.SKULL
    tissue[bone & (cranium > -5.5) & (cranium < -3)] = Tissue.MARROW
    jaw = ellipsoid(mirrored, (0, 52, -72), (40, 38, 8))
    tissue[(jaw > 0) & (jaw < 6)] = Tissue.SKULL
    tissue[ellipsoid(mirrored, (32, 67, -24), (15, 17, 14)) > 0] = Tissue.FAT
    tissue[ellipsoid(mirrored, (32, 72, -24), (12.5, 12.5, 12.5)) > 0] = Tissue.EYE
    tissue[ellipsoid(mirrored, (32, 82, -24), (5, 2.5, 5)) > 0] = Tissue.LENS
    tissue[ellipsoid(mirrored, (9, 62, -40), (7, 26, 15)) > 0] = Tissue.SINUS
    tissue[ellipsoid(mirrored, (13, 80, 2), (9, 5, 9)) > 0] = Tissue.SINUS
    tissue[tube(mirrored, [(0, 36, -48, 8), (0, 20, -80, 8), (0, 16, -120, 9)]) > 0] = Tissue.SINUS


def _paint_hindbrain(tissue: np.ndarray, mirrored: Points, folding: np.ndarray) -> None:
    """Cerebellum with its folia and white core, brainstem with the pons."""
    lobes = np.maximum(
        ellipsoid(mirrored, (24, -50, -33), (29, 29, 21)), ellipsoid(mirrored, (0, -48, -32), (14, 26, 20))
    )
    tissue[lobes > 0] = Tissue.CEREBELLUM
    _x, y, z = mirrored
    angle = np.arctan2(z + 32, -(y + 30))
    leaves = np.cos(9 * angle + 1.2 * folding)
    core = ellipsoid(mirrored, (16, -44, -33), (24, 20, 11))
    tissue[(lobes > 3.5) & (core + 2.5 * leaves > 1)] = Tissue.CEREBELLUM_WHITE
    stem = np.maximum(
        tube(mirrored, [(0, -14, -4, 12), (0, -20, -30, 11.5), (0, -30, -62, 8.5), (0, -32, -120, 6.5)]),
        ellipsoid(mirrored, (0, -12, -28), (17, 13, 14)),
    )
    tissue[stem > 0] = Tissue.BRAINSTEM
    tissue[tube(mirrored, [(0, -31, -22, 2.5), (0, -37, -34, 5), (0, -35, -48, 2.5)]) > 0] = Tissue.CSF


def _paint_cerebrum(tissue: np.ndarray, mirrored: Points, folding: np.ndarray, build: Build) -> None:
    """Folded cortex and white matter: hemispheres and temporal lobes, parted by the Sylvian and long fissures.

    Depth below the smooth outer surface decides: a sulcus pushes cortex and fluid inward along the zero crossings of
    the folding noise.
    """
    x, y, z = mirrored
    hemisphere = np.minimum(ellipsoid(mirrored, (0, -3, 18), (65, 82, 53)), z + 14 - 0.12 * np.abs(y))
    temporal = ellipsoid(mirrored, (41, 6, -20), (23, 40, 21))
    surface = np.maximum(hemisphere, temporal)
    callosum = 1 - np.hypot((y + 2) / 42, (z - 4) / 26)
    depth = np.minimum(surface, x - 0.8 + 60 * np.clip(callosum, 0, None))
    fluid = 0.5 + build.sulcus_mm * np.exp(-((folding / 0.13) ** 2))
    cortex = build.cortex_mm + (build.sulcus_mm + 1.5) * np.exp(-((folding / 0.7) ** 4))
    inside = surface > 0
    tissue[inside & (depth <= fluid)] = Tissue.CSF
    tissue[inside & (depth > fluid)] = Tissue.CORTEX
    tissue[inside & (depth > cortex)] = Tissue.WHITE_MATTER


def _paint_core(tissue: np.ndarray, points: Points, mirrored: Points, build: Build) -> None:
    """Deep nuclei, hippocampi, lateral and third ventricles."""
    left = points[0] < 0
    nuclei = np.maximum.reduce(
        (
            ellipsoid(mirrored, (13, -14, 7), (11, 17, 12)),
            tube(mirrored, [(24, 20, 4, 9.5), (29, 4, 4, 10), (30, -8, 4, 8)]),
            tube(mirrored, [(13, 24, 6, 7.0), (16, 12, 16, 6.0), (19, -6, 20, 4.0)]),
        )
    )
    tissue[(nuclei > 0) & left] = Tissue.LEFT_NUCLEI
    tissue[(nuclei > 0) & ~left] = Tissue.RIGHT_NUCLEI
    tissue[tube(mirrored, [(25, -4, -16, 7.5), (27, -18, -14, 6), (25, -32, -6, 5)]) > 0] = Tissue.HIPPOCAMPUS
    wide = build.ventricles
    path = [
        (15, 36, 8, 5.0),
        (8, 18, 16, 6.0),
        (11, -12, 23, 6.0),
        (22, -38, 14, 8.0),
        (23, -60, 8, 4.0),
    ]
    horn = [(22, -38, 14, 7.0), (33, -26, -8, 4.0), (33, -8, -14, 3.0)]
    ventricle = np.maximum(
        tube(mirrored, [(a, b, c, r * wide) for a, b, c, r in path]),
        tube(mirrored, [(a, b, c, r * wide) for a, b, c, r in horn]),
    )
    ventricle = np.minimum(ventricle, mirrored[0] - 1.0)  # the septum parts left from right
    tissue[(ventricle > 0) & left] = Tissue.LEFT_VENTRICLE
    tissue[(ventricle > 0) & ~left] = Tissue.RIGHT_VENTRICLE
    tissue[ellipsoid(mirrored, (0, -8, 2), (2.2 * wide, 14, 10)) > 0] = Tissue.CSF
