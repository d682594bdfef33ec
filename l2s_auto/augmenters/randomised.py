"""Domain randomisation: the same model of a scanner with its strengths drawn from wide, fixed ranges (SynthSeg)."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from l2s_auto.augmenters.base import AugmenterModule
from l2s_auto.augmenters.fields import NODES, draw_fields, log_field


class Randomised(AugmenterModule):
    """image · Π_k field_k ^ U(0, exponent) + U(0, sigma) · noise, strengths drawn anew for each image.

    There is nothing to learn. exponent and sigma (a share of the intensity range) are the upper ends of the ranges.
    """

    def __init__(self, *, exponent: float = 0.5, sigma: float = 0.15) -> None:
        super().__init__()
        if exponent < 0 or sigma < 0:
            raise ValueError(f"exponent and sigma must not be negative, not {exponent}, {sigma}")
        self.exponent, self.sigma = exponent, sigma

    def draw(self, image: torch.Tensor, generator: torch.Generator) -> dict[str, torch.Tensor]:
        def uniform(*shape: int) -> torch.Tensor:
            return torch.rand(shape, generator=generator, device=image.device, dtype=image.dtype)

        white = torch.randn(image.shape, generator=generator, device=image.device, dtype=image.dtype)
        ones = [1] * (image.ndim - 1)  # channels and space
        return {
            **draw_fields(image, generator),
            "noise": white,
            "exponents": self.exponent * uniform(len(image), len(NODES), *ones),
            "sigma": self.sigma * uniform(len(image), *ones),
        }

    def forward(self, image: torch.Tensor, noise: Mapping[str, torch.Tensor]) -> torch.Tensor:
        fields = torch.stack([log_field(noise[f"field_{n}"], image.shape[2:]) for n in NODES], 1)
        return image * torch.exp((noise["exponents"] * fields).sum(1)) + noise["sigma"] * noise["noise"]

    def bounded(self) -> dict[str, float]:
        return {}
