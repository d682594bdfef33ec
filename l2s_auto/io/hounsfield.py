"""Whether a CT is in Hounsfield units, as far as its numbers tell: air is -1000, water 0, and soft tissue near 50."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from l2s_auto.io.fill_values import sampled

CT = "CT"
#: What a channel that is called CT is called where none of its scans is in Hounsfield units.
OTHER_CT = "CT (other units)"
OFFSETS = (1024, 1000)  # raw numbers of scanners, less these, are Hounsfield units
EXPECTED = "Hounsfield units (air -1000, water 0)"

Kind = Literal["hounsfield", "clipped", "offset", "other"]

_NARROW = 20.0  # the whole range of a CT is wider: noise alone is
_WIDEST = 32767.0  # beyond it, numbers below 0 were stored without their sign
_TISSUE = (-150, 200)  # Hounsfield units of fat, water, soft tissue
_SOME = 0.1  # of the voxels: soft tissue, where a scan has any
_LITTLE = 0.005  # of the voxels: the least of a body in a field of view
_BODY = 0.4  # of the voxels: a body, where what was taken for soft tissue is air
_PADDED = -1100.0  # below air and its noise
_LOWEST = -4096.0  # what the 12 bits of a scanner reach
_DENSE = 1000.0  # Hounsfield units of compact bone: most of a scan is less dense
_FEW = 1e-3  # of the voxels: negative numbers that interpolation leaves


@dataclass(frozen=True)
class Units:
    """What a scan's numbers are.

    kind    hounsfield; clipped: the same, if it is so, without what is below 0; offset: larger by `offset`; other
    lowest, highest  of the scan
    offset  what has to be subtracted
    """

    kind: Kind
    lowest: float
    highest: float
    offset: int = 0

    @property
    def found(self) -> str:
        """What a message says was found."""
        if self.kind == "offset":
            return f"{self.range}, {self.offset} above Hounsfield units: soft tissue is near {self.offset + 50}"
        return f"{self.range}, which are not Hounsfield units"

    @property
    def range(self) -> str:
        return f"intensities from {self.lowest:.5g} to {self.highest:.5g}"


def is_ct(name: str) -> bool:
    """Whether a channel of that name is a CT in Hounsfield units."""
    return name.strip().upper() == CT


def units_of(channel: np.ndarray) -> Units:
    """(X, Y, Z) finite numbers without fill values -> what they are.

    Numbers that go below 0, or that are a range of soft tissue, are taken as Hounsfield units, as they always were.
    """
    values = sampled(channel).ravel().astype(np.float64)
    lowest, highest = float(channel.min()), float(channel.max())
    if lowest < _PADDED and (values != lowest).any():  # what scanners write outside of the circle that they image
        values = values[values != lowest]
        lowest = float(values.min())
    kind, offset = _kind(values[np.isfinite(values)], lowest, highest)
    if kind == "clipped" and channel.dtype == np.uint8:  # of 8 bits are pictures, which are windowed
        kind = "other"
    return Units(kind, lowest, highest, offset)


def _kind(values: np.ndarray, lowest: float, highest: float) -> tuple[Kind, int]:
    def share(low: float, high: float) -> float:
        return float(np.mean((values >= low) & (values <= high)))

    if highest - lowest < _NARROW or (highest > _WIDEST and lowest >= 0) or share(-np.inf, _LOWEST) > 0.01:
        return "other", 0
    if share(-np.inf, -100) < 0.01:  # raw numbers may go a little below 0, where they were interpolated
        tissue = share(1024 + _TISSUE[0], 1024 + _TISSUE[1])
        if tissue >= max(_LITTLE, 3 * share(350, 700), 0.5 * share(600, np.inf)):
            return "offset", _offset(values)
    if share(-np.inf, -0.5) >= _FEW or lowest <= -_NARROW:
        twice = lowest <= -1500 and share(-1024 + _TISSUE[0], -1024 + _TISSUE[1]) >= _SOME
        return ("other" if twice and share(-300, 300) < 0.01 else "hounsfield"), 0
    return _without_negative(values, lowest, highest), 0


def _without_negative(values: np.ndarray, lowest: float, highest: float) -> Kind:
    """Hounsfield units clipped at 0, or below a tissue that has no fat or air: or something else."""
    inside = values[(values > lowest) & (values < highest)]
    if inside.size == 0:
        return "other"
    soft = float(np.mean((inside >= 10) & (inside <= 120)))
    if _has_peak_above(inside):
        return "other"
    if highest in (255.0, 65535.0) or (highest <= 255 and soft < 0.5):
        return "other"
    mode = _mode(inside)
    if 25 <= mode <= 120 and soft >= 3 * _SOME:
        return "clipped"
    cut = float(np.mean(values == lowest))
    if cut >= 0.02:
        return "clipped" if 10 <= mode <= 120 and soft >= _SOME else "other"
    air = float(np.mean(values <= lowest + 5))
    return "clipped" if air < 0.01 and float(np.percentile(values, 75)) < _DENSE else "other"


def _has_peak_above(values: np.ndarray) -> bool:
    """Whether much of (N,) numbers lies around a peak above soft tissue, with next to nothing in between."""
    above = values[values > 150]
    if above.size < _BODY * values.size or above.size > 0.95 * values.size:
        return False
    bins = np.linspace(0, float(np.percentile(above, 99)), 41)
    counts = np.histogram(values, bins=bins)[0]
    first = int(np.searchsorted(bins, 150))
    peak = first + int(np.argmax(counts[first:])) if first < len(counts) else 0
    start = int(np.argmax(counts[: max(1, first)]))
    return peak > start + 1 and 3 * int(counts[start + 1 : peak].min()) < int(counts[peak])


def _mode(values: np.ndarray) -> float:
    """The usual one of (N,) numbers, within 2."""
    lowest, highest = float(np.floor(values.min())), float(values.max())
    counts, edges = np.histogram(values, bins=np.arange(lowest, min(highest, lowest + 40_000) + 5, 4))
    return float(edges[int(np.argmax(counts))]) + 2


def _offset(values: np.ndarray) -> int:
    """1024, DICOM's usual, unless the air of the scan lies nearer to 0 than to 24."""
    air = values[(values < 100) & (values != values.min()) & (values != 0)]  # either may be padding
    if air.size < 0.02 * values.size:
        return OFFSETS[0]
    return OFFSETS[1] if _mode(air) < 8 else OFFSETS[0]
