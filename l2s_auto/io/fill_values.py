"""Voxels outside of the field of view: NaN, or one value far outside the range of all others, such as -32768 or 1e30.

They are no measurements. Where they are taken for some, they decide how a scan is normalised.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

MIN_FRACTION = 1e-3  # of the voxels: fewer with an extreme value are not outside of anything
MIN_NOT_FINITE = 1e-2  # of the voxels: fewer that are NaN or infinite are damage
CONNECTED = 0.5  # fraction of the NaN that has to be connected with the border
MIN_DISTINCT = 20  # values that the rest has to have: fewer are a label map, or a drawing
TAIL = 0.1  # voxels on the way to an extreme value, per voxel that has it: more are a tail of the image
FAR = 2.0  # ranges of the rest that a fill value is away from it
DARK, BRIGHT = 4.0, 15.0  # ranges of the rest that its own tails reach
AIR = (-1024.0, -1000.0)  # in Hounsfield units: no fill value of what may be a CT
SOFT = 200.0  # Hounsfield units that soft tissue does not exceed
MANY = 0.25  # of the voxels: zeros that do not count in normalisation
SAMPLED = 1_000_000  # voxels that are looked at
_BACKGROUND = 0.0  # what masks leave outside, which preprocessing knows


@dataclass(frozen=True)
class Fill:
    """Voxels that are outside of the field of view.

    value    that they have; NaN for those that are NaN or infinite
    count    how many they are
    size     how many voxels there are in all
    lowest, highest  the range of all others
    below, above     voxels beyond these are outside: the value, and what interpolation made of it at its border
    """

    value: float
    count: int
    size: int
    lowest: float
    highest: float
    below: float = -np.inf
    above: float = np.inf

    def mask(self, channel: np.ndarray) -> np.ndarray:
        """(*S) where `channel` is outside."""
        if np.isnan(self.value):
            return ~np.isfinite(channel)
        return _beyond(channel, self.below, self.above)

    @property
    def level(self) -> float:
        """What the outside is to be: 0, as masks leave it, where the image has no values below; else its minimum.

        The minimum too where 0 is far from the image, and so few voxels are outside that normalisation counts them.
        """
        near = self.lowest <= self.highest - self.lowest or self.count >= MANY * self.size
        return 0.0 if self.lowest >= 0 and near else self.lowest


def sampled(channel: np.ndarray) -> np.ndarray:
    """(X, Y, Z) -> a view of at most about `SAMPLED` voxels, evenly placed."""
    step = max(1, int(np.ceil((channel.size / SAMPLED) ** (1 / 3))))
    return channel[tuple(slice(None, None, step) if n > 2 * step else slice(None) for n in channel.shape)]


def not_finite(channel: np.ndarray) -> Fill | None:
    """The NaN and infinity of (X, Y, Z), if they are outside of the image: many, and connected with its border."""
    if channel.dtype.kind != "f":
        return None
    bad = ~np.isfinite(channel)
    count = int(np.count_nonzero(bad))
    if count < MIN_NOT_FINITE * bad.size or count == bad.size:
        return None
    if np.count_nonzero(_connected_with_border(bad)) < CONNECTED * count:
        return None
    good = channel[~bad]
    return Fill(np.nan, count, bad.size, lowest=float(good.min()), highest=float(good.max()))


def _connected_with_border(mask: np.ndarray) -> np.ndarray:
    parts, _ = ndimage.label(mask)
    at_border = np.unique(_border(parts))
    return np.isin(parts, at_border[at_border != 0])


def fill_values(channel: np.ndarray) -> list[Fill]:
    """Fill values of (X, Y, Z): at most the smallest and the largest value. Numbers that are not finite are ignored.

    One is a fill value if many voxels have exactly it, at the border of the volume more than elsewhere, and if it is
    far away from all others, compared with what these differ by (from their 15th to their 85th percentile).
    """
    lattice = sampled(channel).astype(np.float64)
    values = lattice[np.isfinite(lattice)]
    if values.size == 0:
        return []
    limits = [_limits(values, extreme) for extreme in (float(values.min()), float(values.max()))]
    found = [limit for limit in limits if limit is not None and _at_border(lattice == limit[0])]
    if not found:
        return []
    masks = [_beyond(channel, below, above) for _, below, above in found]
    rest = channel[~np.logical_or.reduce(masks)]
    rest = rest[np.isfinite(rest)] if channel.dtype.kind == "f" else rest
    if rest.size == 0:
        return []
    counts, lowest, highest = [int(np.count_nonzero(mask)) for mask in masks], float(rest.min()), float(rest.max())
    return [
        Fill(extreme, count, channel.size, lowest, highest, below, above)
        for (extreme, below, above), count in zip(found, counts, strict=True)
    ]


def _beyond(channel: np.ndarray, below: float, above: float) -> np.ndarray:
    return channel < below if below > -np.inf else channel > above


def _limits(values: np.ndarray, extreme: float) -> tuple[float, float, float] | None:
    """(extreme, below, above), as of a Fill, if the smallest or largest of (N,) values may be one."""
    at = values == extreme
    rest = values[~at]
    if rest.size == 0 or _is_usual(extreme, rest) or np.count_nonzero(at) < MIN_FRACTION * at.size:
        return None
    low_end = extreme < float(rest.min())
    opposite = float(rest.max() if low_end else rest.min())
    others = rest[rest != opposite]
    if others.size and not _is_usual(opposite, others) and _apart(others, opposite) is not None:
        rest = others  # there may be a fill value at each end
    if np.unique(rest[:: max(1, rest.size // 50_000)]).size < MIN_DISTINCT:
        return None
    if extreme <= -1 and extreme.is_integer() and low_end and opposite > 0 and float(rest.min()) >= 0:
        return extreme, extreme / 2, np.inf  # what programs write where there is no intensity
    range_ = _apart(rest, extreme)
    if range_ is None:
        return None
    low, high = range_
    middle = (extreme + low) / 2 if low_end else (extreme + high) / 2
    if np.count_nonzero(rest < middle if low_end else rest > middle) > TAIL * np.count_nonzero(at):
        return None
    if low_end:
        return extreme, max(middle, low - DARK * (high - low)), np.inf
    return extreme, -np.inf, min(middle, high + BRIGHT * (high - low))


def _is_usual(value: float, others: np.ndarray) -> bool:
    """Whether it is background by itself: what masks leave outside, or air of what may be a CT by its other values."""
    may_be_ct = float(others.min()) < 0 or float(others.max()) <= SOFT
    return value == _BACKGROUND or (AIR[0] <= value <= AIR[1] and may_be_ct)


def _apart(values: np.ndarray, extreme: float) -> tuple[float, float] | None:
    """The range of (N,) values, if one at an end is further away from them than `FAR` times that range.

    From their 15th to their 85th percentile, so that what interpolation made at the border of a fill value does not
    count; zeros, which may be nearly all, are in it.
    """
    tissue = values[values != _BACKGROUND]
    if tissue.size == 0:
        return None
    low, high = (float(p) for p in np.percentile(tissue, [15, 85]))
    if tissue.size < values.size:
        low, high = min(low, _BACKGROUND), max(high, _BACKGROUND)
    return (low, high) if high > low and max(low - extreme, extreme - high) > FAR * (high - low) else None


def _at_border(mask: np.ndarray) -> bool:
    """Whether (*S) is true at the border of the volume at least half as often as everywhere."""
    return float(_border(mask).mean()) >= 0.5 * float(mask.mean())


def _border(array: np.ndarray) -> np.ndarray:
    """The voxels of (*S) at its faces, but for those of axes with one or two planes; all if there are no others."""
    axes = [axis for axis, n in enumerate(array.shape) if n > 2]
    faces = [np.take(array, end, axis=axis).ravel() for axis in axes for end in (0, -1)]
    return np.concatenate(faces) if faces else array.ravel()
