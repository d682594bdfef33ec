"""The parametric A_theta of the paper: bias field of three frequencies, Gaussian noise (arXiv 2411.16719)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import nn

from l2s_auto.augmenters.base import AugmenterModule
from l2s_auto.augmenters.fields import NODES, draw_fields, log_field, logit


def softplus_inverse(value: float) -> float:
    """x with log(1 + exp(x)) = value > 0."""
    return value + math.log(-math.expm1(-value))


class Parametric(AugmenterModule):
    """image · Π_k field_k ^ exponent_k + sigma · noise.

    theta: an exponent in (0, 1) a frequency, through a sigmoid; sigma > 0, as a share of the intensity range,
    through a softplus of 10 · its parameter, so that one step of the outer optimiser means about as much for each.

    exponents, sigma  values that learning starts from
    """

    SCALE = 10.0

    def __init__(self, *, exponents: Sequence[float] = (0.25, 0.25, 0.25), sigma: float = 0.05) -> None:
        super().__init__()
        if len(exponents) != len(NODES) or not all(0 < e < 1 for e in exponents) or sigma <= 0:
            raise ValueError(f"{len(NODES)} exponents in (0, 1) and sigma > 0 are needed, not {exponents}, {sigma}")
        self.raw_exponents = nn.Parameter(torch.tensor([logit(e) for e in exponents]))
        self.raw_sigma = nn.Parameter(torch.tensor(softplus_inverse(self.SCALE * sigma)))

    def exponents(self) -> torch.Tensor:
        return self.raw_exponents.sigmoid()

    def sigma(self) -> torch.Tensor:
        return nn.functional.softplus(self.raw_sigma) / self.SCALE

    def draw(self, image: torch.Tensor, generator: torch.Generator) -> dict[str, torch.Tensor]:
        white = torch.randn(image.shape, generator=generator, device=image.device, dtype=image.dtype)
        return {**draw_fields(image, generator), "noise": white}

    def forward(self, image: torch.Tensor, noise: Mapping[str, torch.Tensor]) -> torch.Tensor:
        fields = [log_field(noise[f"field_{n}"], image.shape[2:]) for n in NODES]
        exponent = sum(e * field for e, field in zip(self.exponents(), fields, strict=True))
        return image * torch.exp(exponent) + self.sigma() * noise["noise"]

    def bounded(self) -> dict[str, float]:
        names = ("exponent_low", "exponent_middle", "exponent_high")
        return {**dict(zip(names, self.exponents().tolist(), strict=True)), "sigma": self.sigma().item()}


class ParametricRandom(Parametric):
    """The same with noise of a random level: sigma · s, s ~ N(0, 1) for each image."""

    def draw(self, image: torch.Tensor, generator: torch.Generator) -> dict[str, torch.Tensor]:
        noise = super().draw(image, generator)
        level = torch.randn(
            (len(image), *[1] * (image.ndim - 1)), generator=generator, device=image.device, dtype=image.dtype
        )
        return {**noise, "noise": noise["noise"] * level}
