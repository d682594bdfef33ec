"""From a volume as stored to the network's input: orient, crop, normalise, resample; and label maps likewise."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from l2s_auto.core.contiguous import contiguous
from l2s_auto.core.counting import number_of, values_of
from l2s_auto.core.errors import UserError
from l2s_auto.core.plan import Normalisation, Plan, Triple
from l2s_auto.core.types import Volume
from l2s_auto.preprocessing.crop import crop, nonzero_box
from l2s_auto.preprocessing.geometry import Geometry, geometry_of
from l2s_auto.preprocessing.normalise import HIGHEST, LOWEST, finite, normalise
from l2s_auto.preprocessing.orient import AS_STORED, orientation_of, to_canonical
from l2s_auto.preprocessing.repair import repaired
from l2s_auto.preprocessing.resample import coarse_axes, resample_image, resample_labels
from l2s_auto.preprocessing.restore import restore_logits, restore_slabs
from l2s_auto.preprocessing.spline import resample_by_splines, slice_axis

#: Voxels of a scan on the plan's grid, at most: a CT of 512 x 512 x 800 has 210 million.
MOST_VOXELS = 400_000_000
#: Voxels on the plan's grid for each of the scan's, at most: beyond it the header is most likely wrong.
MOST_GROWTH = 512
TOO_LARGE = "The scan is too large for the model once it is resampled."

__all__ = [
    "Geometry",
    "Prepared",
    "prepare",
    "prepare_grid",
    "prepare_labels",
    "restore_labels",
    "restore_logits",
    "restore_slabs",
]


@dataclass(frozen=True)
class Prepared:
    """A network's input and the way back.

    image     (C, *S) float32 in [-0.5, 1.5], canonical axes, the plan's spacing
    geometry  how to bring a result back to the volume's own grid
    """

    image: np.ndarray
    geometry: Geometry


def prepare(volume: Volume, plan: Plan) -> Prepared:
    """A scan on its own grid -> the network's input on the plan's grid.

    The same volume stored in another axis order gives the same image, bit by bit.
    Raises UserError if the scan has another number of channels than the plan.
    """
    wanted = plan.input_channels
    if len(volume.data) != wanted:
        names = ", ".join(plan.channels) or "one image"
        raise UserError.single(
            "The scan does not fit the model.",
            where="number of channels",
            found=str(len(volume.data)),
            expected=f"{wanted} ({names})",
            mend="Give one file a channel, in the order of the training data.",
        )
    schemes = plan.normalisation or (Normalisation(scheme="percentile", lower=0.5, upper=99.5),)
    stored = plan.orientation == "stored"
    image, _, geometry = prepare_native(volume, schemes, spacing=plan.spacing, in_place=True, stored=stored)
    size = math.prod(geometry.resampled)
    if size > MOST_VOXELS or size > MOST_GROWTH * math.prod(geometry.cropped):
        raise UserError.single(
            "The scan is too coarse for the model." if size <= MOST_VOXELS else TOO_LARGE,
            where="voxel edges",
            found=f"{_times(geometry.spacing)} mm, which makes {_times(geometry.resampled)} voxels",
            expected=f"about the {_times(plan.spacing)} mm of the training data; at most {MOST_VOXELS:,} voxels, and "
            f"{MOST_GROWTH} for each of the scan's",
            mend="Correct the spacing in the file's header, or cut the scan.",
        )
    if plan.resampling == "spline":
        resampled = resample_by_splines(image, geometry.resampled, slices=slice_axis(geometry.spacing, plan.spacing))
    else:
        resampled = resample_image(image, geometry.resampled, coarse=coarse_axes(geometry.spacing))
    if resampled is not image:
        for channel, scheme in zip(resampled, schemes, strict=True):
            if scheme.bounded:
                np.clip(channel, LOWEST, HIGHEST, out=channel)  # cubic interpolation overshoots at edges
    return Prepared(image=resampled, geometry=geometry)


def _times(numbers: tuple[float, ...]) -> str:
    return " x ".join(f"{number:g}" for number in numbers)


def prepare_native(
    volume: Volume,
    schemes: tuple[Normalisation, ...],
    *,
    spacing: Triple | None,
    in_place: bool = False,
    stored: bool = False,
) -> tuple[np.ndarray, np.ndarray, Geometry]:
    """The steps before resampling: (normalised image, the same in original units, geometry).

    in_place  the image in original units is not wanted: both are the normalised one, and memory is saved
    stored    whether the axes stay as the file has them

    What lies outside of the field of view, and a CT with a scanner's offset, are repaired before.
    """
    volume = repaired(volume, schemes)
    canonical = to_canonical(finite(volume.data), AS_STORED if stored else orientation_of(volume.affine))
    box = nonzero_box(canonical)
    x, y, z = volume.data.shape[1:]
    raw = contiguous(crop(canonical, box))
    del canonical
    return (
        normalise(raw, schemes, in_place=in_place),
        raw,
        geometry_of((x, y, z), volume.affine, spacing, box=box, stored=stored),
    )


def prepare_grid(shape: tuple[int, int, int], affine: np.ndarray, plan: Plan) -> Geometry:
    """The geometry of a label map without an image: nothing is cropped."""
    return geometry_of(shape, affine, plan.spacing)


def prepare_labels(labels: np.ndarray, geometry: Geometry, plan: Plan) -> np.ndarray:
    """(X, Y, Z) original label values on the file's grid -> (*S) int16 indices of the network's classes.

    Voxels that nobody labelled have the number of classes.

    Raises UserError if the map holds values that the plan does not know.
    """
    values = values_of(labels)
    index = plan.class_of
    unknown = [int(value) for value in values if int(value) not in index]
    if unknown:
        raise UserError.single(
            "A label map holds values that are not among the dataset's labels.",
            where="label map",
            found=", ".join(map(str, unknown[:20])),
            expected=f"values among {', '.join(map(str, index))}",
            mend="Add the values to the dataset's labels, or remove them from the label map.",
        )
    lookup = np.array([index[int(value)] for value in values], dtype=np.int16)
    inside = geometry.enter(number_of(labels, values))  # in the smallest type, which is turned around the fastest
    return resample_labels(lookup[inside], geometry.resampled)


def restore_labels(classes: np.ndarray, geometry: Geometry, plan: Plan) -> np.ndarray:
    """(*S) class indices on the plan's grid -> (X, Y, Z) int32 original label values on the file's grid."""
    values = np.asarray(plan.label_values, dtype=np.int32)
    inside = resample_labels(np.asarray(classes), geometry.cropped)
    return geometry.leave(values[inside], fill=plan.label_values[0])
