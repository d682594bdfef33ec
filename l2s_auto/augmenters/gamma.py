"""Gamma: a learned spread of contrasts that brighten or darken the middle of the range."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from l2s_auto.augmenters.base import AugmenterModule, normal
from l2s_auto.augmenters.bounds import level, level_raw

#: Below this intensity the curve is a straight line, so that its slope is finite at 0.
STRAIGHT = 1e-3


class Gamma(AugmenterModule):
    """image ^ γ, log γ ~ N(mean, spread²) for each image and channel.

    Intensities below 0, which only noise makes, stay as they are; the curve is continuous there.
    theta: mean, and spread >= 0. At 0 and 0 it is the identity.

    mean, spread  of the natural logarithm of γ; learning starts from them
    """

    LEVELS = EVEN = ("raw_spread",)

    def __init__(self, *, mean: float = 0.0, spread: float = 0.1) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.tensor(float(mean)))
        self.raw_spread = nn.Parameter(level_raw(spread, name="spread", scale=1.0))

    def spread(self) -> torch.Tensor:
        return level(self.raw_spread, scale=1.0)

    def draw(self, image: torch.Tensor, generator: torch.Generator) -> dict[str, torch.Tensor]:
        size = (*image.shape[:2], *[1] * (image.ndim - 2))
        return {"log_gamma": normal(image, *size, generator=generator)}

    def forward(self, image: torch.Tensor, noise: Mapping[str, torch.Tensor]) -> torch.Tensor:
        exponent = torch.exp(self.mean + self.spread() * noise["log_gamma"])
        return torch.where(image > 0, image * image.clamp_min(STRAIGHT) ** (exponent - 1), image)

    def bounded(self) -> dict[str, float]:
        return {"log_gamma_mean": self.mean.item(), "log_gamma_spread": self.spread().item()}
