"""What preprocessing did to a volume's grid: everything that is needed to undo it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from l2s_auto.core.contiguous import contiguous
from l2s_auto.core.plan import Triple, Voxels
from l2s_auto.preprocessing.crop import Box, crop, full_box, uncrop
from l2s_auto.preprocessing.orient import (
    AS_STORED,
    Orientation,
    canonical_spacing,
    from_canonical,
    orientation_of,
    to_canonical,
)
from l2s_auto.preprocessing.resample import resampled_shape


@dataclass(frozen=True)
class Geometry:
    """The way from a file's grid to the plan's grid.

    shape        (X, Y, Z) voxels in the file
    affine       (4, 4) voxel -> RAS+ mm of the file
    orientation  file axes -> canonical axes (closest to R, A, S)
    spacing      mm, canonical axes, as in the file
    box          what was kept, in canonical axes and the file's voxels
    resampled    voxels on the plan's grid
    """

    shape: Voxels
    affine: np.ndarray = field(compare=False)
    orientation: Orientation
    spacing: Triple
    box: Box
    resampled: Voxels

    @property
    def canonical(self) -> Voxels:
        """Voxels in canonical axes before cropping."""
        x, y, z = (self.shape[axis] for axis in self.orientation.permutation)
        return x, y, z

    @property
    def cropped(self) -> Voxels:
        """Voxels in canonical axes after cropping."""
        x, y, z = (stop - start for start, stop in self.box)
        return x, y, z

    def enter(self, array: np.ndarray) -> np.ndarray:
        """(..., X, Y, Z) on the file's grid -> (..., *cropped), canonical and cropped; not resampled."""
        assert array.shape[-3:] == self.shape, f"the grid is {self.shape}, not {array.shape[-3:]}"
        return contiguous(crop(to_canonical(array, self.orientation), self.box))

    def leave(self, array: np.ndarray, *, fill: float = 0) -> np.ndarray:
        """(..., *cropped) -> (..., X, Y, Z) on the file's grid; `fill` outside of the box."""
        assert array.shape[-3:] == self.cropped, f"the cropped grid is {self.cropped}, not {array.shape[-3:]}"
        return from_canonical(uncrop(array, self.box, self.canonical, fill=fill), self.orientation)

    def to_json(self) -> dict[str, Any]:
        """Plain values, for `from_json`."""
        return {
            "shape": list(self.shape),
            "affine": self.affine.tolist(),
            "permutation": list(self.orientation.permutation),
            "flips": list(self.orientation.flips),
            "spacing": list(self.spacing),
            "box": [list(limits) for limits in self.box],
            "resampled": list(self.resampled),
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Geometry:
        """The inverse of `to_json`."""
        (a, b), (c, d), (e, f) = values["box"]
        return cls(
            shape=tuple(values["shape"]),
            affine=np.asarray(values["affine"], dtype=np.float64),
            orientation=Orientation(permutation=tuple(values["permutation"]), flips=tuple(values["flips"])),
            spacing=tuple(values["spacing"]),
            box=((a, b), (c, d), (e, f)),
            resampled=tuple(values["resampled"]),
        )


def geometry_of(
    shape: Voxels, affine: np.ndarray, spacing: Triple | None, *, box: Box | None = None, stored: bool = False
) -> Geometry:
    """The Geometry of a volume of this (X, Y, Z) shape and affine.

    spacing  mm on the grid aimed at; None: not resampled
    box      what to keep, canonical axes; None: all
    stored   whether the axes stay as the file has them
    """
    orientation = AS_STORED if stored else orientation_of(affine)
    own = canonical_spacing(affine, orientation)
    x, y, z = (shape[axis] for axis in orientation.permutation)
    kept = box or full_box((x, y, z))
    a, b, c = (stop - start for start, stop in kept)
    return Geometry(
        shape=shape,
        affine=np.asarray(affine, dtype=np.float64),
        orientation=orientation,
        spacing=own,
        box=kept,
        resampled=resampled_shape((a, b, c), own, spacing) if spacing else (a, b, c),
    )
