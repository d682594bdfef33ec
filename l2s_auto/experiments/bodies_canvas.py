"""Shapes painted over each other with soft edges: how a made body comes onto a grid.

Points are in millimetres in the body's own RAS space: x to the right, y to the front, z up. Depths are signed distances
to a surface in mm, positive inside. A layer covers a voxel by the fraction that follows from the depth at its
centre, so the image has the partial volume of a scanner, without a finer grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from l2s_auto.experiments.anatomy import Points, Triple, tube

Box = tuple[slice, slice, slice]
EVERYWHERE: Box = (slice(None), slice(None), slice(None))


class Shape(Protocol):
    """A solid: a box around it, and the depth of points in it."""

    def bounds(self) -> tuple[Triple, Triple]: ...

    def depth(self, points: Points) -> np.ndarray: ...


@dataclass(frozen=True)
class Ellipsoid:
    """An ellipsoid in any direction.

    turn  (3, 3) rotation from its own axes to the body's
    """

    centre: Triple
    radii: Triple
    turn: np.ndarray = field(default_factory=lambda: np.eye(3))

    def bounds(self) -> tuple[Triple, Triple]:
        reach = np.sqrt(((self.turn * np.array(self.radii)) ** 2).sum(axis=1))
        return _triple(np.array(self.centre) - reach), _triple(np.array(self.centre) + reach)

    def depth(self, points: Points) -> np.ndarray:
        """Distance to the surface by its gradient: exact at the surface to the first order."""
        offsets = [p - c for p, c in zip(points, self.centre, strict=True)]
        square = np.zeros_like(points[0])
        steep = np.zeros_like(points[0])
        for axis, radius in zip(self.turn.T, self.radii, strict=True):
            along = sum(float(a) * o for a, o in zip(axis, offsets, strict=True)) / radius
            square = square + along**2
            steep = steep + (along / radius) ** 2
        root = np.sqrt(square)
        return np.minimum((1 - root) * root / np.sqrt(steep + 1e-9), min(self.radii))


@dataclass(frozen=True)
class Tube:
    """A chain of tapered capsules; each entry of `path` is x, y, z and the radius there."""

    path: Sequence[tuple[float, float, float, float]]

    def bounds(self) -> tuple[Triple, Triple]:
        nodes = np.array(self.path)
        return _triple((nodes[:, :3] - nodes[:, 3:]).min(0)), _triple((nodes[:, :3] + nodes[:, 3:]).max(0))

    def depth(self, points: Points) -> np.ndarray:
        return tube(points, self.path)


@dataclass(frozen=True)
class Union:
    """All that is in at least one of the shapes."""

    shapes: tuple[Shape, ...]

    def bounds(self) -> tuple[Triple, Triple]:
        lows, highs = zip(*(shape.bounds() for shape in self.shapes), strict=True)
        return _triple(np.min(lows, axis=0)), _triple(np.max(highs, axis=0))

    def depth(self, points: Points) -> np.ndarray:
        return np.maximum.reduce([shape.depth(points) for shape in self.shapes])


@dataclass(frozen=True)
class Layer:
    """One coat of paint.

    tissue    value of bodies_anatomy.Tissue
    box       where it lies on the grid
    coverage  (box) fraction of each voxel that it covers, float32 in [0, 1]
    offset    HU that this layer has above others of its tissue
    """

    tissue: int
    box: Box
    coverage: np.ndarray
    offset: float = 0.0


class Canvas:
    """A grid with the layers painted on it so far; the last one covers the others.

    points     three (X, Y, Z) float32 arrays: where in the body each voxel's centre lies, in mm
    edge       mean edge of a voxel in mm
    roughness  (X, Y, Z) mm by which the surfaces of shapes bulge; smooth
    """

    def __init__(self, points: Points, edge: float, roughness: np.ndarray) -> None:
        self.points, self.edge, self.roughness = points, edge, roughness
        self.layers: list[Layer] = []
        across = ((1, 2), (0, 2), (0, 1))
        self._lowest = [p.min(axis=axes) for p, axes in zip(points, across, strict=True)]
        self._highest = [p.max(axis=axes) for p, axes in zip(points, across, strict=True)]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.points[0].shape

    def box(self, low: Triple, high: Triple) -> Box:
        """The smallest box of voxels with all points between two corners in mm; may be empty."""
        slices = []
        for lowest, highest, start, end in zip(self._lowest, self._highest, low, high, strict=True):
            where = np.flatnonzero((highest >= start) & (lowest <= end))
            slices.append(slice(int(where[0]), int(where[-1]) + 1) if len(where) else slice(0, 0))
        return slices[0], slices[1], slices[2]

    def at(self, box: Box) -> Points:
        """Points of a box."""
        x, y, z = self.points
        return x[box], y[box], z[box]

    def depth_of(self, shape: Shape, *, within: np.ndarray | None = None) -> tuple[Box, np.ndarray]:
        """Where a shape lies, and the depth of the voxels there in it and in the field `within` of (X, Y, Z) depths."""
        low, high = (np.array(corner) for corner in shape.bounds())
        margin = self.edge + float(np.abs(self.roughness).max())
        box = self.box(_triple(low - margin), _triple(high + margin))
        depth = shape.depth(self.at(box)) + self.roughness[box]
        return box, depth if within is None else np.minimum(depth, within[box])

    def paint(self, tissue: int, depth: np.ndarray, box: Box = EVERYWHERE, *, offset: float = 0.0) -> None:
        """Cover what has a positive depth, and a fraction of the voxels at the edge."""
        coverage = np.clip(depth / self.edge + 0.5, 0, 1).astype(np.float32)
        self.layers.append(Layer(tissue, box, coverage, offset))


def _triple(values: np.ndarray) -> Triple:
    x, y, z = (float(v) for v in values)
    return x, y, z
