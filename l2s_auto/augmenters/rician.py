"""Rician noise: that of a magnitude image, whose real and imaginary parts have Gaussian noise."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from l2s_auto.augmenters.base import AugmenterModule, normal
from l2s_auto.augmenters.bounds import level, level_raw
from l2s_auto.augmenters.starts import noise_start
from l2s_auto.core.plan import GenerationPlan


class Rician(AugmenterModule):
    """√((image + sigma · n₁)² + (sigma · n₂)²), n₁ and n₂ white: noise lifts what is dark and is not Gaussian there.

    theta: sigma >= 0, as a share of the intensity range. At 0 it is the identity for intensities >= 0; others lose
    their sign, as in a magnitude image.

    sigma       that learning starts from; None: from the fingerprint
    generation  what the plan knows of the real images' classes
    """

    LEVELS = EVEN = ("raw_sigma",)

    def __init__(self, *, sigma: float | None = None, generation: GenerationPlan | None = None) -> None:
        super().__init__()
        self.raw_sigma = nn.Parameter(level_raw(noise_start(generation) if sigma is None else sigma, name="sigma"))

    def sigma(self) -> torch.Tensor:
        return level(self.raw_sigma)

    def draw(self, image: torch.Tensor, generator: torch.Generator) -> dict[str, torch.Tensor]:
        return {name: normal(image, *image.shape, generator=generator) for name in ("real", "imaginary")}

    def forward(self, image: torch.Tensor, noise: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return magnitude(image + self.sigma() * noise["real"], self.sigma() * noise["imaginary"])

    def bounded(self) -> dict[str, float]:
        return {"rician_sigma": self.sigma().item()}


def magnitude(real: torch.Tensor, imaginary: torch.Tensor) -> torch.Tensor:
    """√(real² + imaginary²) with a gradient that is 0 where both are 0, in place of 0/0."""
    square = real**2 + imaginary**2
    is_zero = square == 0
    return torch.where(is_zero, 0.0, torch.where(is_zero, 1.0, square).sqrt())
