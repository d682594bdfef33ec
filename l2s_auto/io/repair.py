"""What is made of a scan's numbers before they are normalised, the same in training and prediction, and how it is said.

Voxels outside of the field of view (`fill_values`) become background, and a CT that is larger than Hounsfield units by
a scanner's offset (`hounsfield`) is shifted. Any other scan is left as it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from l2s_auto.io.fill_values import Fill, fill_values, not_finite
from l2s_auto.io.hounsfield import Units, units_of

AIR, AIR_ABOVE = -1024.0, -1000.0  # Hounsfield units: the lowest that scanners write, and what air has
_ROUNDS = 3  # several fill values at one end of a scan are found one after the other


@dataclass(frozen=True)
class Repaired:
    """A channel as it is to be normalised.

    data   (X, Y, Z); what was given, if nothing was changed
    notes  what was changed, one sentence each
    units  of a CT, as they were found
    """

    data: np.ndarray
    notes: tuple[str, ...] = ()
    units: Units | None = None


def repair(channel: np.ndarray, *, ct: bool) -> Repaired:
    """(X, Y, Z) of real numbers -> the same without fill values, and of a CT in Hounsfield units where it can be.

    ct  whether the channel should be in Hounsfield units; numbers below air are then clipped by normalisation, unsaid

    NaN and infinity that are scattered in the image stay: they are damage.
    """
    if channel.size == 0 or channel.min() == channel.max():
        return Repaired(channel)
    notes: list[str] = []
    fills = _fills(channel)
    units = _units(channel, fills) if ct else None
    offset = units.offset if units is not None and units.kind == "offset" else 0
    for fill in fills:
        if ct and fill.value <= AIR_ABOVE:
            continue
        level = AIR + offset if ct else fill.level
        mask = fill.mask(channel)
        channel = _replaced(channel, mask, level)
        notes.append(_told(fill, level - offset))
    if offset:
        channel = channel.astype(np.float32) - np.float32(offset)
        notes.append(
            f"intensities are {offset} above Hounsfield units, as a scanner's raw numbers; {offset} was subtracted."
        )
    if units is not None and units.kind == "clipped":
        notes.append("a CT without intensities below 0; taken as Hounsfield units that were clipped at 0.")
    return Repaired(channel, tuple(notes), units)


def _fills(channel: np.ndarray) -> list[Fill]:
    """NaN around the image, and fill values; those that only show once others are set aside too."""
    outside = not_finite(channel)
    fills = [] if outside is None else [outside]
    rest = channel
    for _ in range(_ROUNDS):
        found = fill_values(rest)
        if not found:
            break
        fills += found
        for fill in found:
            rest = _replaced(rest, fill.mask(rest), fill.lowest)
    return fills


def _units(channel: np.ndarray, fills: list[Fill]) -> Units:
    """Of what is no fill value."""
    rest = channel
    for fill in fills:
        rest = _replaced(rest, fill.mask(rest), fill.lowest)
    return units_of(rest)


def _replaced(channel: np.ndarray, mask: np.ndarray, level: float) -> np.ndarray:
    """A copy with a level in place of what the mask shows, in a type that holds it."""
    kind = channel.dtype
    if kind.kind in "iu" and not (level == int(level) and np.iinfo(kind).min <= level <= np.iinfo(kind).max):
        kind = np.dtype(np.float32)
    copy = channel.astype(kind)
    copy[mask] = level
    return copy


def _told(fill: Fill, level: float) -> str:
    """The same words for all scans of a kind, so that they are said once."""
    to = "0" if level == 0 else "air" if level == AIR else "the smallest of the others"
    if np.isnan(fill.value):
        return f"NaN or infinity around the image was taken as outside of it, and set to {to}."
    return (
        f"voxels with the value {fill.value:g}, apart from all others, were taken as outside of the field of view, "
        f"and set to {to}."
    )
