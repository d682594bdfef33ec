"""Label maps as arrays: whole numbers checked, values found, the smallest type that holds them."""

from __future__ import annotations

import os

import numpy as np

from l2s_auto.core import counting
from l2s_auto.core.errors import UserError

# Tools that resave a label map as scaled floats leave rounding of about 1e-6; interpolation leaves far more.
WHOLE_NUMBER_TOLERANCE = 1e-3

# In the order of preference. No int8 and no 64 bits: common viewers do not read them.
STORED_TYPES = (np.uint8, np.int16, np.uint16, np.int32)


def whole_numbers(array: np.ndarray, *, path: str | os.PathLike[str]) -> np.ndarray:
    """Label values as int32. Raises UserError for NaN, infinity, fractions, and values beyond 32 bits."""
    if array.dtype.kind == "b":
        return array.astype(np.int32)
    if array.dtype.kind == "f":
        finite = np.isfinite(array)
        if not finite.all():
            _refuse(path, f"{array[~finite].flat[0]} in {int((~finite).sum())} voxels", "Replace it by 0 or a label.")
        rounded = np.rint(array)
        fractional = np.abs(array - rounded) > WHOLE_NUMBER_TOLERANCE
        if fractional.any():
            example = float(array[fractional].flat[0])
            _refuse(
                path,
                f"values that are not whole numbers, e.g. {example:g}, in {int(fractional.sum())} voxels",
                "Check that this is a label map, not an image; if it was resampled, do so with nearest neighbour.",
            )
        array = rounded
    elif array.dtype.kind not in "iu":
        _refuse(path, f"voxels of type {array.dtype}", "Save the label map with an integer type.")
    limits = np.iinfo(np.int32)
    if array.size and (array.min() < limits.min or array.max() > limits.max):
        _refuse(path, f"values from {array.min():g} to {array.max():g}", "Renumber the labels within 32 bits.")
    return array.astype(np.int32)


def _refuse(path: str | os.PathLike[str], found: str, mend: str) -> None:
    raise UserError.single(
        "A label map cannot be used.", where=str(path), found=found, expected="whole numbers", mend=mend
    )


def values_of(labels: np.ndarray) -> list[int]:
    """The distinct values of an integer array, ascending."""
    return [int(value) for value in counting.values_of(labels)]


def stored(labels: np.ndarray) -> np.ndarray:
    """The same values in the smallest of STORED_TYPES that holds them all."""
    assert labels.dtype.kind in "iub", f"labels must be integers, not {labels.dtype}"
    if labels.dtype.kind == "b" or labels.size == 0:
        return labels.astype(np.uint8)
    lowest, highest = int(labels.min()), int(labels.max())
    for dtype in STORED_TYPES:
        limits = np.iinfo(dtype)
        if limits.min <= lowest and highest <= limits.max:
            return labels.astype(dtype)
    raise AssertionError(f"label values from {lowest} to {highest} need more than 32 bits")
