"""Slices of volumes as a radiologist looks at them: upright, patient's right on the left, in millimetres."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Name, axis that is cut through, axes across and up in (right, anterior, superior), and letters left and right.
PLANES = (
    ("axial", 2, 0, 1, "R", "L"),
    ("coronal", 1, 0, 2, "R", "L"),
    ("sagittal", 0, 1, 2, "A", "P"),
)


_ENOUGH = 1_000_000  # voxels for percentiles


@dataclass(frozen=True)
class Upright:
    """Volumes in canonical axes (closest to right, anterior, superior).

    spacing  mm along these axes
    """

    image: np.ndarray
    labels: np.ndarray
    spacing: tuple[float, float, float]

    def extent(self, axis: int) -> float:
        """Length of the field of view in mm."""
        return self.image.shape[axis] * self.spacing[axis]


def upright(image: np.ndarray, labels: np.ndarray, affine: np.ndarray) -> Upright:
    """(X, Y, Z) image and labels on one grid, (4, 4) affine -> the same in canonical axes."""
    from nibabel.orientations import apply_orientation, io_orientation

    orientation = io_orientation(affine)
    lengths = np.linalg.norm(np.asarray(affine, dtype=float)[:3, :3], axis=0)
    order = np.argsort(orientation[:, 0])
    x, y, z = (float(lengths[axis]) for axis in order)
    return Upright(apply_orientation(image, orientation), apply_orientation(labels, orientation), (x, y, z))


def cut(volume: np.ndarray, axis: int, index: int) -> np.ndarray:
    """(X, Y, Z) canonical -> (rows from below, columns), mirrored so that R, or A, is on the left."""
    return volume.take(index, axis=axis)[::-1].T


def centre_of(labels: np.ndarray) -> tuple[int, int, int]:
    """Voxel of the labels' centre of mass; along an axis where that plane has no label, the plane with the most.

    The middle of the volume where there are no labels.
    """
    count = np.count_nonzero(labels, axis=2)
    profiles = (count.sum(axis=1), count.sum(axis=0), np.count_nonzero(labels.any(axis=0), axis=0))
    if not count.any():
        x, y, z = (n // 2 for n in labels.shape)
        return x, y, z
    centre = []
    for profile in profiles:
        middle = round(float(np.average(np.arange(len(profile)), weights=profile)))
        centre.append(middle if profile[middle] else int(profile.argmax()))
    return centre[0], centre[1], centre[2]


def window(image: np.ndarray) -> tuple[float, float]:
    """Intensities shown as black and white: percentiles, so that single bright voxels do not darken the rest."""
    some = image.ravel()[:: 1 + image.size // _ENOUGH]
    some = some[np.isfinite(some)]
    lower, upper = np.percentile(some, [0.5, 99.7]) if some.size else (0.0, 1.0)
    return float(lower), float(upper) if upper > lower else float(lower) + 1.0


def show_image(axes: Axes, plane: np.ndarray, *, limits: tuple[float, float], aspect: float) -> None:
    """A grey slice without ticks; aspect = mm up a voxel / mm across a voxel."""
    axes.imshow(plane, cmap="gray", vmin=limits[0], vmax=limits[1], origin="lower", aspect=aspect)
    axes.set_anchor("N")  # titles of panels of different heights stand in one line
    axes.set_axis_off()
