"""Intensities of any unit to about [0, 1]."""

from __future__ import annotations

import warnings

import numpy as np
from scipy import ndimage

from l2s_auto.core.contiguous import contiguous
from l2s_auto.core.plan import Normalisation
from l2s_auto.io.fill_values import MANY

LOWEST, HIGHEST = -0.5, 1.5  # normalised intensities are clipped to this range
_TINY = 1e-8  # a smaller deviation or range is none
_MANY_ZEROS = MANY  # from this share of exact zeros on, the zeros are air or a mask and do not count
_ENOUGH = 4_000_000  # voxels that percentiles are taken of; more changes them by less than noise does


def finite(image: np.ndarray) -> np.ndarray:
    """(C, *S) any real type -> (C, *S) float32 in which each channel's NaN and inf became its smallest finite value.

    Warns if there were any. A channel without a finite value becomes zero.
    """
    out = contiguous(image, np.float32, copy=True)
    good = np.isfinite(out)
    if good.all():
        return out
    bad = int(good.size - np.count_nonzero(good))
    warnings.warn(
        f"{bad} of {good.size} voxels are NaN or infinite; they were set to the image's minimum.", stacklevel=2
    )
    for channel, usable in zip(out, good, strict=True):
        channel[~usable] = channel[usable].min() if usable.any() else 0.0
    return out


def normalise(image: np.ndarray, schemes: tuple[Normalisation, ...], *, in_place: bool = False) -> np.ndarray:
    """(C, *S) original units, one scheme a channel -> (C, *S) float32 in [-0.5, 1.5], most of it in [0, 1].

    By the schemes of nnU-Net's models, numbers lie elsewhere.

    in_place  the image may be overwritten; it then has to be finite float32, as `finite` gives it
    """
    assert len(image) == len(schemes), f"{len(image)} channels need as many schemes, not {len(schemes)}"
    if not (in_place and image.dtype == np.float32 and image.flags.writeable):
        image = finite(image)
    inside = (
        ndimage.binary_fill_holes((image != 0).any(axis=0))
        if any(scheme.scheme == "z-score of nonzero" for scheme in schemes)
        else None
    )
    for channel, scheme in zip(image, schemes, strict=True):
        if not scheme.bounded:
            _as_nnunet(channel, scheme, inside)
            continue
        lower, upper = _bounds(channel, scheme)
        if upper > lower:
            # In float64, since an image may lie far from zero compared with its range; a plane at a time for memory.
            for plane in channel:
                plane[...] = np.clip((plane.astype(np.float64) - lower) / (upper - lower), LOWEST, HIGHEST)
        else:
            channel[...] = 0.0
    return image


def _as_nnunet(channel: np.ndarray, scheme: Normalisation, inside: np.ndarray | None) -> None:
    """(*S) float32, in place, by the definitions of nnU-Net's normalisations.

    inside  (*S) where the scan is not 0, its holes filled; for "z-score of nonzero"
    """
    if scheme.scheme == "z-score":
        channel -= channel.mean()
        channel /= max(float(channel.std()), _TINY)
    elif scheme.scheme == "z-score of nonzero":
        assert inside is not None
        values = channel[inside]
        channel[inside] = (values - values.mean()) / max(float(values.std()), _TINY)
    elif scheme.scheme == "clipped z-score":
        np.clip(channel, scheme.lower, scheme.upper, out=channel)
        channel -= scheme.mean
        channel /= scheme.std
    elif scheme.scheme == "range":
        channel -= channel.min()
        channel /= max(float(channel.max()), _TINY)


def _bounds(channel: np.ndarray, scheme: Normalisation) -> tuple[float, float]:
    """The intensities that become 0 and 1; equal if the channel is constant."""
    if scheme.scheme == "fixed":
        return scheme.lower, scheme.upper
    values = channel[channel != 0] if np.mean(channel == 0) > _MANY_ZEROS else channel.ravel()
    if values.size == 0:
        return 0.0, 0.0
    if values.size > _ENOUGH:
        values = values[np.random.default_rng(0).integers(values.size, size=_ENOUGH)]
    lower, upper = (float(p) for p in np.percentile(values, [scheme.lower, scheme.upper]))
    if upper > lower:
        return lower, upper
    # Nearly constant: a few voxels differ, and the percentiles miss them.
    return float(channel.min()), float(channel.max())
