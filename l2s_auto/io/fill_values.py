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
TAIL = 0.05  # voxels on the way to an extreme value, per voxel that has it: more are a tail of the image
AIR = (-1024.0, -1000.0)  # in Hounsfield units: never a fill value, however little of it is in the scan
SAMPLED = 1_000_000  # voxels that are looked at
_BACKGROUND = 0.0  # what masks leave outside, which preprocessing knows


@dataclass(frozen=True)
class Fill:
    """Voxels that are outside of the field of view.

    value    that they have; NaN for those that are NaN or infinite
    count    how many they are
    lowest, highest  the range of all others
    below, above     voxels beyond these are outside: the value, and what interpolation made of it at its border
    """

    value: float
    count: int
    lowest: float
    highest: float
    below: float = -np.inf
    above: float = np.inf

    def mask(self, channel: np.ndarray) -> np.ndarray:
        """(*S) where `channel` is outside."""
        if np.isnan(self.value):
            return ~np.isfinite(channel)
        return channel < self.below if self.below > -np.inf else channel > self.above

    @property
    def level(self) -> float:
        """What the outside is to be: 0, as masks leave it, where the image has no values below; else its minimum."""
        return 0.0 if 0 <= self.lowest <= self.highest - self.lowest else self.lowest


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
    return Fill(value=np.nan, count=count, lowest=float(good.min()), highest=float(good.max()))


def _connected_with_border(mask: np.ndarray) -> np.ndarray:
    parts, _ = ndimage.label(mask)
    at_border = np.unique(_border(parts))
    return np.isin(parts, at_border[at_border != 0])


def fill_values(channel: np.ndarray) -> list[Fill]:
    """Fill values of (X, Y, Z): at most the smallest and the largest value. Numbers that are not finite are ignored.

    One is a fill value if many voxels have exactly it, at the border of the volume more than elsewhere, and if it is
    further away from all others than they are from each other (from their 1st to their 99th percentile).
    """
    sample = sampled(channel)
    lattice = sample.astype(np.float64)
    good = np.isfinite(lattice)
    values = lattice[good]
    if values.size == 0:
        return []
    found = []
    for extreme in (float(values.min()), float(values.max())):
        limits = _limits(values[values != extreme], extreme, int((values == extreme).sum()), values.size)
        if limits is None or not _at_border(lattice == extreme):
            continue
        outside = Fill(extreme, 0, 0.0, 0.0, *limits)
        mask = outside.mask(channel)
        rest = channel[~mask]
        if channel.dtype.kind == "f":
            rest = rest[np.isfinite(rest)]
        if rest.size:
            count = int(np.count_nonzero(mask))
            found.append(Fill(extreme, count, float(rest.min()), float(rest.max()), *limits))
    if len(found) == 2:  # the range of neither holds the other
        both = [f.mask(channel) for f in found]
        rest = channel[~(both[0] | both[1])]
        rest = rest[np.isfinite(rest)] if channel.dtype.kind == "f" else rest
        if rest.size:
            lowest, highest = float(rest.min()), float(rest.max())
            found = [Fill(f.value, f.count, lowest, highest, f.below, f.above) for f in found]
    return found


def _limits(rest: np.ndarray, extreme: float, count: int, size: int) -> tuple[float, float] | None:
    """(below, above), as of a Fill, that tell a fill value from (N,) `rest`; None if it is none."""
    if count < MIN_FRACTION * size or rest.size == 0 or extreme == _BACKGROUND or AIR[0] <= extreme <= AIR[1]:
        return None
    # Another fill value at the other end would widen the range: the percentiles are those of the middle.
    lowest, highest = float(rest.min()), float(rest.max())
    middle = rest
    for other in (lowest, highest):
        share = float(np.mean(middle == other)) if middle.size else 0.0
        kept = middle[middle != other]
        if share >= MIN_FRACTION and kept.size and _apart(kept, other):
            middle = kept
    if np.unique(middle[:: max(1, middle.size // 50_000)]).size < MIN_DISTINCT:
        return None
    low, high = (float(p) for p in np.percentile(middle, [1, 99]))
    range_ = high - low
    if extreme == -1 and lowest >= 0:  # no intensity: what a program writes where there is none
        return -0.5, np.inf
    if not _apart(middle, extreme):
        return None
    below = extreme < low
    way = (extreme + low) / 2 if below else (extreme + high) / 2
    if np.count_nonzero((rest < way) if below else (rest > way) & (rest < np.inf)) > TAIL * count:
        return None
    return (low - range_, np.inf) if below else (-np.inf, high + range_)


def _apart(values: np.ndarray, extreme: float) -> bool:
    """Whether a value is further away from (N,) values than they are from each other."""
    low, high = (float(p) for p in np.percentile(values, [1, 99]))
    return high > low and max(low - extreme, extreme - high) > high - low


def _at_border(mask: np.ndarray) -> bool:
    """Whether (*S) is true at the border of the volume at least half as often as everywhere."""
    return float(_border(mask).mean()) >= 0.5 * float(mask.mean())


def _border(array: np.ndarray) -> np.ndarray:
    """The voxels of (*S) at its faces, but for those of axes with one or two planes; all if there are no others."""
    axes = [axis for axis, n in enumerate(array.shape) if n > 2]
    faces = [np.take(array, end, axis=axis).ravel() for axis in axes for end in (0, -1)]
    return np.concatenate(faces) if faces else array.ravel()
