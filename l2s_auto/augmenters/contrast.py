"""The contrast prior: how bright each class of tissue is in the real images, and how much it varies, learned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from l2s_auto.augmenters.base import AugmenterModule, normal
from l2s_auto.augmenters.bounds import INTENSITY, level, level_raw
from l2s_auto.core.plan import GenerationPlan

#: Mean and deviation of the means and the deviations that are uniform: where learning starts without real images.
WIDE = {"mean": 0.5, "mean_spread": 0.29, "std": 0.065, "std_spread": 0.03}
#: Deviations within a class are at least this at the start: a logarithm is learned.
SMALLEST = 0.005


class Contrast(AugmenterModule):
    """Class g's mean is N(m_g, s_g²), and the logarithm of its deviation N(l_g, t_g²).

    Images are rendered anew from what `mixture` gives, those that are to look like the real ones; the others keep the
    intensities that were drawn for them, so that the network stays agnostic of contrast.
    theta: m, s >= 0, l and t >= 0, one for each channel and class, all from the fingerprint at the start.

    channels     of the image
    generation   what the plan knows of the real images' classes; without their statistics the start is wide
    """

    changes_mixture = True
    start: torch.Tensor

    LEVELS = ("raw_spread", "raw_log_spread")

    def __init__(self, *, channels: int = 1, generation: GenerationPlan | None = None) -> None:
        super().__init__()
        start = {name: start_of(name, channels, generation) for name in WIDE}
        std = start["std"].clamp_min(SMALLEST)
        # The log-normal distribution of the same mean and deviation.
        log_variance = torch.log1p((start["std_spread"] / std) ** 2)
        self.raw_mean = nn.Parameter(start["mean"] * INTENSITY)
        self.raw_spread = nn.Parameter(level_raw(start["mean_spread"].tolist(), name="mean_spread"))
        self.log_std = nn.Parameter(std.log() - log_variance / 2)
        self.raw_log_spread = nn.Parameter(log_variance.sqrt())
        self.register_buffer("start", start["mean"], persistent=False)

    def mean(self) -> torch.Tensor:
        """(C, G) in units of the intensity range."""
        return self.raw_mean / INTENSITY

    def spread(self) -> torch.Tensor:
        """(C, G) standard deviation of a class's mean over images."""
        return level(self.raw_spread)

    def log_spread(self) -> torch.Tensor:
        """(C, G) standard deviation over images of the logarithm of the deviation within a class."""
        return level(self.raw_log_spread, scale=1.0)

    def draw(self, image: torch.Tensor, generator: torch.Generator) -> dict[str, torch.Tensor]:
        size = (len(image), *self.raw_mean.shape)
        return {
            "mean": normal(image, *size, generator=generator),
            "std": normal(image, *size, generator=generator),
        }

    def mixture(self, mixture: Any, noise: Mapping[str, torch.Tensor]) -> Any:
        """Means and deviations that were drawn, (B, C, G) each -> learned ones."""
        mean = self.mean() + self.spread() * noise["mean"]
        return replace(mixture, mean=mean, std=torch.exp(self.log_std + self.log_spread() * noise["std"]))

    def forward(self, image: torch.Tensor, noise: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return image

    def bounded(self) -> dict[str, float]:
        """Over all classes: how far the means have moved (root mean square), and the average widths."""
        return {
            "contrast_shift": (self.mean() - self.start).square().mean().sqrt().item(),
            "contrast_spread": self.spread().mean().item(),
            "contrast_std": self.log_std.exp().mean().item(),
            "contrast_log_std_spread": self.log_spread().mean().item(),
        }


def start_of(name: str, channels: int, generation: GenerationPlan | None) -> torch.Tensor:
    """(C, G) of one statistic of the classes, as `core.plan.ClassPrior.drawn` names it."""
    if generation is None or not generation.priors:
        return torch.full((channels, generation.classes if generation else 1), WIDE[name])
    values = torch.tensor([prior.drawn[name] for prior in generation.priors]).T.contiguous()
    assert len(values) == channels, f"{name} of the priors has {len(values)} channels, not {channels}"
    return values
