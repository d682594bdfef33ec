"""The parametric A_theta of the paper: bias field of three frequencies, Gaussian noise (arXiv 2411.16719)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import nn

from l2s_auto.augmenters.base import AugmenterModule, normal, one_an_image, uniform
from l2s_auto.augmenters.bounds import level, level_raw, unit, unit_raw
from l2s_auto.augmenters.fields import INTERVALS, draw_fields, log_fields
from l2s_auto.augmenters.starts import noise_start
from l2s_auto.core.plan import GenerationPlan

EXPONENTS = (0.15, 0.15, 0.15)


class BiasAndNoise(AugmenterModule):
    """image · Π_k field_k ^ exponent_k + level · noise; what the noise's level is, is the subclass's.

    theta: an exponent in [0, 1] a frequency, both ends included.

    exponents  low, middle and high frequency; learning starts from them
    """

    SHARES = ("raw_exponents",)
    EVEN: tuple[str, ...] = ("raw_exponents",)

    def __init__(self, *, exponents: Sequence[float]) -> None:
        super().__init__()
        if len(exponents) != len(INTERVALS):
            raise ValueError(f"{len(INTERVALS)} exponents in [0, 1] needed, not {exponents}")
        self.raw_exponents = nn.Parameter(unit_raw(exponents, name="exponents"))

    def exponents(self) -> torch.Tensor:
        return unit(self.raw_exponents)

    @abstractmethod
    def noise_level(self, noise: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """What `draw` gave -> standard deviation of the noise: a scalar, or one an image."""

    def draw(self, image: torch.Tensor, generator: torch.Generator) -> dict[str, torch.Tensor]:
        return {**draw_fields(image, generator), "noise": normal(image, *image.shape, generator=generator)}

    def forward(self, image: torch.Tensor, noise: Mapping[str, torch.Tensor]) -> torch.Tensor:
        fields = log_fields(noise, image.shape[2:])
        exponent = sum(e * field for e, field in zip(self.exponents(), fields, strict=True))
        return image * torch.exp(exponent) + self.noise_level(noise) * noise["noise"]

    def bounded(self) -> dict[str, float]:
        names = ("exponent_low", "exponent_middle", "exponent_high")
        return dict(zip(names, self.exponents().tolist(), strict=True))


class Parametric(BiasAndNoise):
    """Noise of one level: sigma >= 0, as a share of the intensity range.

    exponents, sigma  values that learning starts from; sigma None: from the fingerprint
    generation        what the plan knows of the real images' classes
    """

    LEVELS = ("raw_sigma",)
    EVEN = ("raw_exponents", "raw_sigma")

    def __init__(
        self,
        *,
        exponents: Sequence[float] = EXPONENTS,
        sigma: float | None = None,
        generation: GenerationPlan | None = None,
    ) -> None:
        super().__init__(exponents=exponents)
        self.raw_sigma = nn.Parameter(level_raw(noise_start(generation) if sigma is None else sigma, name="sigma"))

    def sigma(self) -> torch.Tensor:
        return level(self.raw_sigma)

    def noise_level(self, noise: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return self.sigma()

    def bounded(self) -> dict[str, float]:
        return {**super().bounded(), "sigma": self.sigma().item()}


class ParametricRandom(Parametric):
    """Noise of a random level: sigma · s, s ~ N(0, 1) for each image."""

    def draw(self, image: torch.Tensor, generator: torch.Generator) -> dict[str, torch.Tensor]:
        noise = super().draw(image, generator)
        return {**noise, "level": normal(image, *one_an_image(image), generator=generator)}

    def noise_level(self, noise: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return self.sigma() * noise["level"]


class ParametricRange(BiasAndNoise):
    """Noise of a level from a learned range: U(sigma_min, sigma_max) for each image, 0 <= sigma_min <= sigma_max.

    theta: the lower end and the width, so that the ends never cross.

    exponents, sigma_min, sigma_max  values that learning starts from; sigma_max None: from the fingerprint
    generation                       what the plan knows of the real images' classes
    """

    LEVELS = ("raw_min", "raw_width")

    def __init__(
        self,
        *,
        exponents: Sequence[float] = EXPONENTS,
        sigma_min: float = 0.0,
        sigma_max: float | None = None,
        generation: GenerationPlan | None = None,
    ) -> None:
        super().__init__(exponents=exponents)
        largest = sigma_min + noise_start(generation) if sigma_max is None else sigma_max
        self.raw_min = nn.Parameter(level_raw(sigma_min, name="sigma_min"))
        self.raw_width = nn.Parameter(level_raw(largest - sigma_min, name="sigma_max - sigma_min"))

    def draw(self, image: torch.Tensor, generator: torch.Generator) -> dict[str, torch.Tensor]:
        noise = super().draw(image, generator)
        return {**noise, "level": uniform(image, *one_an_image(image), generator=generator)}

    def noise_level(self, noise: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return level(self.raw_min) + noise["level"] * level(self.raw_width)

    def effects(self, theta: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Of the noise its mean square and the variance of its level: what images show, and nearly by themselves."""
        lowest, width = theta["raw_min"], theta["raw_width"]
        variance = width**2 / 12
        return {**super().effects(theta), "raw_min": (lowest + width / 2) ** 2 + variance, "raw_width": variance}

    def of_effects(self, effects: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        square = effects["raw_min"].clamp_min(0)
        # A level that is uniform from 0 on has a quarter of its mean square as its variance.
        variance = effects["raw_width"].clamp_min(0).minimum(square / 4)
        width = (12 * variance).sqrt()
        lowest = (square - variance).sqrt() - width / 2
        return super().of_effects({**effects, "raw_min": lowest, "raw_width": width})

    def bounded(self) -> dict[str, float]:
        lowest, width = level(self.raw_min).item(), level(self.raw_width).item()
        return {**super().bounded(), "sigma_min": lowest, "sigma_max": lowest + width}
