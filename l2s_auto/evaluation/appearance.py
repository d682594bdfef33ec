"""Changes of a scan's appearance that a model has to be robust to, to test it.

`CHANGES` are of intensity: other contrasts, a bias field, noise. `STRUCTURAL` are no function of intensity alone: they
need the voxel size, some of them the reference. No training draws images from these, so they tell what a model has
learned beyond curves of intensity. Intensities x run from 0 to 1 between the scan's 0.5 % and 99.5 % quantiles; what is
changed keeps the scan's range.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from scipy.ndimage import zoom

from l2s_auto.evaluation.acquisition import ghosts, low_pass, thick_slices
from l2s_auto.evaluation.lesions import lesions
from l2s_auto.evaluation.scene import Structural, scene_of
from l2s_auto.evaluation.tissues import exchanged_tissues

#: Of the scan as it is.
AS_THEY_ARE = "as they are"
#: Corners of the curve that is not monotone: intensity, and what it becomes.
ZIGZAG = ((0.0, 0.35, 0.65, 1.0), (0.2, 0.9, 0.1, 0.7))
GAMMA = 2.5
#: The bias field's largest factor; its smallest is the inverse. Its logarithm is linear between 3 x 3 x 3 random nodes.
BIAS = 2.0
NOISE = 0.15

Change = Callable[[np.ndarray], np.ndarray]


def _random_of(x: np.ndarray) -> np.random.Generator:
    """The same for the same scan."""
    return np.random.default_rng(zlib.crc32(np.ascontiguousarray(x).tobytes()))


def _with_bias(x: np.ndarray) -> np.ndarray:
    nodes = _random_of(x).uniform(-np.log(BIAS), np.log(BIAS), (3,) * x.ndim)
    field = zoom(nodes, [n / 3 for n in x.shape], order=1, grid_mode=True, mode="nearest")
    return x * np.exp(field[tuple(slice(0, n) for n in x.shape)])


#: Name -> function of x. Each is deterministic.
CHANGES: dict[str, Change] = {
    "inverted": lambda x: 1 - x,
    "not monotone": lambda x: np.interp(x, *ZIGZAG),
    "gamma": lambda x: x.clip(0, 1) ** GAMMA,
    "bias": _with_bias,
    "noise": lambda x: x + NOISE * _random_of(x).standard_normal(x.shape),
}
APPEARANCES = (AS_THEY_ARE, *CHANGES)
#: Name -> function of (C, X, Y, Z) x and the scene. Each is deterministic, and reported apart from `CHANGES`.
STRUCTURAL: dict[str, Structural] = {
    "tissues exchanged": exchanged_tissues,
    "lesions": lesions,
    "thick slices": thick_slices,
    "low-pass": low_pass,
    "ghosts": ghosts,
}


def changed(
    data: np.ndarray, name: str, *, spacing: Sequence[float] = (1, 1, 1), labels: np.ndarray | None = None
) -> np.ndarray:
    """(C, X, Y, Z) a scan's channels -> the same with another appearance, float32.

    name     one of `APPEARANCES` or `STRUCTURAL`
    spacing  voxel size in any unit: only its ratios count; of structural changes alone, as is
    labels   (X, Y, Z) the reference, 0 is background; None: not known
    """
    if name == AS_THEY_ARE:
        return data.astype(np.float32, copy=False)
    if name in STRUCTURAL:
        return _structural(data, STRUCTURAL[name], spacing, labels)
    return np.stack([_of_channel(channel, CHANGES[name]) for channel in data])


def _structural(
    data: np.ndarray, change: Structural, spacing: Sequence[float], labels: np.ndarray | None
) -> np.ndarray:
    """Intensities stay within the extremes of each channel, and voxels that are NaN or infinite stay as they are."""
    data = data.astype(np.float32)
    finite = np.isfinite(data)
    scales = [_scale(channel[there]) for channel, there in zip(data, finite, strict=True)]
    lows, widths = (np.array(part).reshape(-1, 1, 1, 1) for part in zip(*scales, strict=True))
    x = ((np.where(finite, data, lows) - lows) / widths).astype(np.float32)
    y = change(x, scene_of(data.shape[1:], spacing, labels, _random_of(x)))
    y = y.clip(x.min((1, 2, 3), keepdims=True), x.max((1, 2, 3), keepdims=True))
    return np.where(finite, lows + widths * y, data).astype(np.float32)


def _scale(values: np.ndarray) -> tuple[float, float]:
    """Intensity that is x = 0, and the difference from that of x = 1."""
    low, high = np.percentile(values, (0.5, 99.5)) if values.size else (0.0, 1.0)
    return float(low), max(float(high - low), 1e-6)


def _of_channel(channel: np.ndarray, change: Change) -> np.ndarray:
    low, width = _scale(channel)
    x = ((channel - low) / width).astype(np.float32)
    return (low + width * change(x)).astype(np.float32)


def mean_of_changed(dice: Mapping[str, float]) -> float:
    """The mean over the changes, of what is given for each appearance."""
    return float(np.mean([dice[name] for name in CHANGES]))
