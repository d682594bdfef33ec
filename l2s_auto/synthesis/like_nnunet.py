"""Intensities of real scans changed as nnU-Net does (Isensee et al., Nature Methods 2021), by batchgenerators."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
import torch

#: An axis whose spacing is so many times the smallest keeps its resolution, as one of a single voxel does.
ANISOTROPIC = 3.0


def changed_like_nnunet(image: torch.Tensor, seeds: Sequence[int], *, spacing: Sequence[float]) -> torch.Tensor:
    """(B, C, *S), of mean 0 and deviation 1 at first, and at times with noise, blur, another brightness or contrast, a
    low resolution, another gamma.

    seeds    one for each image: the same gives the same, whatever else is in the batch
    spacing  of the axes, in any unit
    """
    shape = image.shape[2:]
    thick = [ANISOTROPIC * min(spacing) < one for one in spacing]
    kept = tuple(axis for axis, size in enumerate(shape) if size == 1 or thick[axis])
    axes = tuple(range(2, image.ndim))
    deviation, mean = torch.std_mean(image, axes, correction=0, keepdim=True)
    data = ((image - mean) / deviation.clamp_min(1e-6)).cpu().numpy()
    for index, seed in enumerate(seeds):
        with seeded(seed):
            data[index] = changes(kept)(data=data[index : index + 1].copy())["data"][0]
    return torch.from_numpy(data).to(image)


@lru_cache(maxsize=8)
def changes(kept: tuple[int, ...]) -> Any:
    """nnU-Net's transforms of intensity, with its probabilities and ranges; axes that keep their resolution."""
    # Imported here: it takes seconds, and no other method needs it.
    from batchgenerators.transforms import abstract_transforms, color_transforms, noise_transforms, resample_transforms

    gamma = {"gamma_range": (0.7, 1.5), "per_channel": True, "retain_stats": True}
    return abstract_transforms.Compose(
        [
            noise_transforms.GaussianNoiseTransform(noise_variance=(0, 0.1), p_per_sample=0.1),
            noise_transforms.GaussianBlurTransform(
                (0.5, 1.0), different_sigma_per_axis=True, p_per_sample=0.2, p_per_channel=0.5
            ),
            color_transforms.BrightnessMultiplicativeTransform(multiplier_range=(0.75, 1.25), p_per_sample=0.15),
            color_transforms.ContrastAugmentationTransform(contrast_range=(0.75, 1.25), p_per_sample=0.15),
            resample_transforms.SimulateLowResolutionTransform(
                zoom_range=(0.5, 1),
                per_channel=True,
                p_per_channel=0.5,
                order_downsample=0,
                order_upsample=3,
                p_per_sample=0.25,
                ignore_axes=kept or None,
            ),
            color_transforms.GammaTransform(invert_image=True, p_per_sample=0.1, **gamma),
            color_transforms.GammaTransform(invert_image=False, p_per_sample=0.3, **gamma),
        ]
    )


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """batchgenerators draws from Python's and NumPy's global random numbers: begun at the seed, put back afterwards."""
    python, numpy = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
