"""What a structural change of appearance may know of a scan: its voxel size, its reference, and random numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from l2s_auto.core.digits import relative


@dataclass(frozen=True)
class Scene:
    """The grid and the reference of a scan.

    edges   voxel size in units of the finest edge among the axes with more than one voxel; 1 for the other axes. So
            lengths mean the same in millimetres and micrometres, and the thickness of a single slice does not count
    labels  (X, Y, Z) integers, 0 is background; None where no reference is known, or where it is empty
    random  the same for the same scan
    """

    edges: tuple[float, ...]
    labels: np.ndarray | None
    random: np.random.Generator

    def extents(self, shape: Sequence[int]) -> np.ndarray:
        """Field of view along the axes with more than one voxel, in finest edges."""
        return np.array([n * edge for n, edge in zip(shape, self.edges, strict=True) if n > 1] or [1.0])

    def size(self, shape: Sequence[int]) -> float:
        """Edge of a cube (a square in a slice) as large as a typical structure, in finest edges.

        The median over the labels; a quarter of the field of view where no reference is known. At most half of its
        shortest side.
        """
        extents = self.extents(shape)
        if self.labels is None:
            return float(extents.min() / 4)
        counts = np.unique(self.labels[self.labels != 0], return_counts=True)[1]
        voxel = np.prod([edge for n, edge in zip(shape, self.edges, strict=True) if n > 1])
        return float(min(np.median((counts * voxel) ** (1 / len(extents))), extents.min() / 2))


#: (C, X, Y, Z) intensities, 0 to 1 between the quantiles of each channel -> the same, changed.
Structural = Callable[[np.ndarray, Scene], np.ndarray]


def scene_of(
    shape: Sequence[int], spacing: Sequence[float], labels: np.ndarray | None, random: np.random.Generator
) -> Scene:
    """The scene of a scan of that shape (X, Y, Z) and voxel size, in any unit of length."""
    assert labels is None or labels.shape == tuple(shape), f"labels {labels.shape}, scan {tuple(shape)}"
    wide = [axis for axis, n in enumerate(shape) if n > 1]
    ratios = dict(zip(wide, relative([spacing[axis] for axis in wide]), strict=True)) if wide else {}
    known = labels if labels is not None and labels.any() else None
    return Scene(tuple(ratios.get(axis, 1.0) for axis in range(len(shape))), known, random)
