"""The first network of a cascade: what it finds on a coarse grid, brought to the grid of the second."""

from __future__ import annotations

import numpy as np
import torch

from l2s_auto.core.plan import Triple
from l2s_auto.inference.ensemble import windowing_of
from l2s_auto.inference.load import Model
from l2s_auto.inference.sliding_window import sliding_window_classes
from l2s_auto.preprocessing.normalise import HIGHEST, LOWEST
from l2s_auto.preprocessing.resample import coarse_axes, nearest, resample_image, resampled_shape


def context_in(
    image: np.ndarray,
    low: Model,
    *,
    spacing: Triple,
    device: torch.device,
    overlap: float = 0.5,
    tta: bool = False,
) -> np.ndarray:
    """(C, *S) image on a grid of `spacing` mm -> (1, *S) float32 class indices that the model `low` finds in it."""
    x, y, z = shape = image.shape[1:]
    small = resample_image(image, resampled_shape((x, y, z), spacing, low.plan.spacing), coarse=coarse_axes(spacing))
    if small is not image:
        np.clip(small, LOWEST, HIGHEST, out=small)
    windowing = windowing_of(low.plan, small.shape[1:], device=device, overlap=overlap, tta=tta, abreast=True)
    found = sliding_window_classes(low.networks, torch.from_numpy(small), windowing)
    return nearest(found.numpy(), shape)[None].astype(np.float32)
