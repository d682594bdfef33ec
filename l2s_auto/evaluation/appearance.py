"""Changes of a scan's appearance that a model has to bear: other contrasts, a bias field, noise.

Intensities x run from 0 to 1 between the scan's 0.5 % and 99.5 % quantiles; what is changed keeps the scan's range.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping

import numpy as np
from scipy.ndimage import zoom

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


def changed(data: np.ndarray, name: str) -> np.ndarray:
    """(C, X, Y, Z) a scan's channels -> the same with another appearance, one of `APPEARANCES`, float32."""
    if name == AS_THEY_ARE:
        return data.astype(np.float32, copy=False)
    return np.stack([_of_channel(channel, CHANGES[name]) for channel in data])


def _of_channel(channel: np.ndarray, change: Change) -> np.ndarray:
    low, high = np.percentile(channel, (0.5, 99.5))
    width = max(float(high - low), 1e-6)
    x = ((channel - low) / width).astype(np.float32)
    return (low + width * change(x)).astype(np.float32)


def mean_of_changed(dice: Mapping[str, float]) -> float:
    """The mean over the changes, of what is given for each appearance."""
    return float(np.mean([dice[name] for name in CHANGES]))
