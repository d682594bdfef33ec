"""From generation classes to intensities: a Gaussian mixture, gamma, and the scale that networks read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from l2s_auto.core.constants import constant
from l2s_auto.core.separable import along_axes
from l2s_auto.synthesis.drawn import Drawn


@dataclass(frozen=True)
class Mixture(Drawn):
    """A drawn Gaussian for each class: mean and std, both (B, C, G) in units of the intensity range."""

    mean: torch.Tensor
    std: torch.Tensor


@dataclass(frozen=True)
class PriorTensors:
    """The real images' class statistics as tensors, each (C, G)."""

    mean: torch.Tensor
    mean_spread: torch.Tensor
    std: torch.Tensor
    std_spread: torch.Tensor


#: Intensity below which the curve of gamma is straight.
STRAIGHT = 1e-4


def paint(
    classes: torch.Tensor, mixture: Mixture, noise: torch.Tensor, *, mix: Sequence[torch.Tensor] = ()
) -> torch.Tensor:
    """(B, *S) class indices, (B, C, *S) noise of unit variance -> (B, C, *S) image: mean + std · noise of each class.

    mix  matrices along the axes that blur the means, which is partial volume; the noise stays sharp
    """
    flat = classes.flatten(1)[:, None].expand(-1, mixture.mean.shape[1], -1)
    mean = mixture.mean.gather(2, flat).view_as(noise)
    std = mixture.std.gather(2, flat).view_as(noise)
    if mix:
        mean = along_axes(mean, mix)
    return torch.addcmul(mean, std, noise)


def gamma(image: torch.Tensor, exponent: torch.Tensor) -> torch.Tensor:
    """clamp(image, 0, 1) ^ exponent, exponent (B, C) > 0; straight where the slope would go to infinity."""
    image = image.clamp(0, 1)
    return image * image.clamp_min(STRAIGHT) ** (_spread(exponent, image) - 1)


def rescale(image: torch.Tensor, *, lower: float = 0.005, upper: float = 0.995) -> torch.Tensor:
    """Each image and channel on its own: the lower quantile becomes 0, the upper 1. (B, C, *S), differentiable.

    It is what preprocessing does to real scans. Quantiles are those of at most 8,192 evenly spread voxels.
    """
    flat = image.flatten(2)
    stride = -(-flat.shape[2] // 8192) | 1  # odd, so that it does not step along one plane of an even grid
    low, high = flat[..., ::stride].quantile(constant((lower, upper), image.device, image.dtype), 2)
    low, high = _spread(low, image), _spread(high, image)
    return (image - low) / (high - low).clamp_min(1e-6)


def _spread(values: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
    """(B, C) -> (B, C, 1, …), to go with (B, C, *S)."""
    return values.view(*values.shape, *[1] * (image.ndim - 2))
