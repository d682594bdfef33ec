"""Numbers by their significant digits, so that a length of any size keeps its meaning: 0.02 mm as well as 200 mm."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

#: Significant digits of a plan's voxel size: headers hold 32-bit floats, which are exact to 7.
SPACING_DIGITS = 6
#: Of a ratio of two voxel sizes, so that what `SPACING_DIGITS` cuts off does not show.
RATIO_DIGITS = 4
#: Of a volume that people read, at least.
SHOWN_DIGITS = 4
#: Smaller numbers are written with an exponent.
_SMALLEST_DECIMAL = 1e-6

Lengths = TypeVar("Lengths", bound=Sequence[float])


def significant(value: float, digits: int) -> float:
    """The number with so many significant digits: 0.0123456 with 3 of them is 0.0123, and 1234.5 is 1230."""
    return float(f"{value:.{digits - 1}e}")


def relative(spacing: Lengths) -> Lengths:
    """Voxel size in units of its finest edge, such as 1, 1, 2.5; the same whatever the unit of length is.

    The unit of all lengths in synthesis and planning. Ratios are rounded to `RATIO_DIGITS`: affines that differ only by
    a factor then give the same numbers, bit by bit, though each is rounded in its own way.
    """
    finest = min(spacing)
    return tuple(significant(edge / finest, RATIO_DIGITS) for edge in spacing)  # type: ignore[return-value]


def extent_in(voxels: int, old: float, new: float) -> float:
    """Voxels of size `new` that cover `voxels` of size `old`, without the rounding errors of the sizes.

    Rounded to 0.001: 35 voxels of 0.15 mm are 52.5 of 0.1 mm, not 52.49999, so that what is decided by this number does
    not depend on the unit.
    """
    return round(voxels * old / new, 3)


def shown(value: float, digits: int = SHOWN_DIGITS, *, grouped: bool = False) -> str:
    """For people, with at least so many significant digits: 0.008, 12.35, 12346. No zeros at the end of a fraction.

    grouped  whether thousands are set apart: 12,346
    """
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    if abs(value) < _SMALLEST_DECIMAL:
        return f"{value:.{digits}g}"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{decimals}f}" if grouped else f"{value:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
