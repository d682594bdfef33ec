"""What a header says: where the voxels are in the file, and where in space. ITK's world is LPS, here it is RAS+."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from l2s_auto.io.gunzip import DamagedFile
from l2s_auto.io.stored import StoredArray

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
AS_ITK = (
    "Assumed: x runs from right to left, y from anterior to posterior, z from inferior to superior, as ITK does. "
    "Check left and right."
)
#: What is assumed of a header that gives no distance between voxels.
NO_SPACING = "The header gives no voxel size. A voxel was assumed to be 1 x 1 x 1 mm."
FLAT = "The header has two axes and no slice thickness. A thickness of 1 mm was assumed."


@dataclass(frozen=True)
class Frame:
    """The coordinates of a header.

    space   its name
    signs   that take its first two axes to left and posterior
    unit    as the header spells it; empty: it does not say
    factor  millimetres of the unit
    """

    space: str = "left-posterior-superior"
    signs: tuple[int, int] = (1, 1)
    unit: str = ""
    factor: float = 1.0

    def columns_and_origin(self, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(4, 4) voxel -> RAS+ mm -> (3, 3) steps of the axes as columns, and (3,) origin, in these coordinates."""
        own = np.diag([*self.signs, 1.0, 1.0]) @ LPS_TO_RAS @ affine
        return own[:3, :3] / self.factor, own[:3, 3] / self.factor


LPS_IN_MM = Frame()


@dataclass(frozen=True)
class Header:
    """A volume that has not been read.

    stored   its array; one axis holds the channels, the others are X, Y[, Z[, T]]
    affine   voxel -> RAS+ mm
    channel_axis  the axis of `stored` with the channels
    notes    what was assumed, as in `Volume`
    frame    how the header gives places, which a result is written in too
    """

    stored: StoredArray
    affine: np.ndarray
    channel_axis: int = 0
    notes: tuple[str, ...] = ()
    frame: Frame = field(default_factory=lambda: LPS_IN_MM)

    @property
    def size(self) -> tuple[int, ...]:
        """(X, Y, Z, T), 1 where an axis is missing."""
        axes = [n for k, n in enumerate(self.stored.shape) if k != self.channel_axis]
        return (*axes, 1, 1)[:4]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(X, Y, Z)"""
        return self.size[0], self.size[1], self.size[2]

    @property
    def channels(self) -> int:
        """Values per voxel, times volumes of a series."""
        return self.stored.shape[self.channel_axis] * self.size[3]

    def arrange(self, array: np.ndarray) -> np.ndarray:
        """The array as stored -> (C, X, Y, Z)."""
        array = np.moveaxis(array, self.channel_axis, 0).reshape((-1, *self.size), order="F")
        return np.moveaxis(array, 4, 1).reshape((-1, *self.shape)) if self.size[3] > 1 else array[..., 0]


def lps_affine(columns: np.ndarray, origin: Sequence[float] | np.ndarray) -> np.ndarray:
    """(n, n) steps of the axes and origin, LPS -> (4, 4) voxel -> RAS+ mm.

    A missing third axis has a spacing of 1 mm; a fourth one is not spatial. DamagedFile where space and other axes mix.
    """
    n = min(len(columns), 3)
    lps = np.eye(4)
    lps[:n, :n] = columns[:n, :n]
    lps[:n, 3] = origin[:n]
    if len(columns) > 3 and (np.any(columns[3, :3]) or np.any(columns[:3, 3])):
        raise DamagedFile("directions that mix space with the fourth axis")
    return LPS_TO_RAS @ lps
