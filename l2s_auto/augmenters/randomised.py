"""Domain randomisation: the same model of a scanner with its strengths drawn from wide, fixed ranges (SynthSeg)."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from l2s_auto.augmenters.base import AugmenterModule, normal, one_an_image, uniform
from l2s_auto.augmenters.fields import INTERVALS, draw_fields, log_fields


class Randomised(AugmenterModule):
    """image · Π_k field_k ^ U(0, exponent) + U(0, sigma) · noise, strengths drawn anew for each image.

    There is nothing to learn. exponent and sigma (a share of the intensity range) are the upper ends of the ranges.
    """

    def __init__(self, *, exponent: float = 0.3, sigma: float = 0.15) -> None:
        super().__init__()
        if exponent < 0 or sigma < 0:
            raise ValueError(f"exponent and sigma must not be negative, not {exponent}, {sigma}")
        self.exponent, self.sigma = exponent, sigma

    def draw(self, image: torch.Tensor, generator: torch.Generator) -> dict[str, torch.Tensor]:
        exponents = uniform(image, len(image), len(INTERVALS), *one_an_image(image)[1:], generator=generator)
        return {
            **draw_fields(image, generator),
            "noise": normal(image, *image.shape, generator=generator),
            "exponents": self.exponent * exponents,
            "sigma": self.sigma * uniform(image, *one_an_image(image), generator=generator),
        }

    def forward(self, image: torch.Tensor, noise: Mapping[str, torch.Tensor]) -> torch.Tensor:
        fields = torch.stack(log_fields(noise, image.shape[2:]), 1)
        return image * torch.exp((noise["exponents"] * fields).sum(1)) + noise["sigma"] * noise["noise"]

    def bounded(self) -> dict[str, float]:
        return {}
