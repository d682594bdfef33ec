"""The share of the synthetic images that are to look like the real ones, learned."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from l2s_auto.augmenters.base import AugmenterModule
from l2s_auto.augmenters.bounds import unit, unit_raw


class Share(AugmenterModule):
    """Which family an image is drawn from: with this probability it is to look like the real ones.

    The image itself stays as it is. theta: the share, between its bounds; the rest of the images is of the other
    families, in the proportions that the recipe gives them, so that the network stays agnostic of contrast.

    start        share that learning starts from
    least, most  bounds, 0 < least <= start <= most < 1
    """

    SHARES = ("raw_share",)
    learns_share = True

    def __init__(self, *, start: float = 0.5, least: float = 0.05, most: float = 0.9) -> None:
        super().__init__()
        if not 0 < least <= start <= most < 1 or least == most:
            raise ValueError(f"0 < least <= start <= most < 1, least < most needed, not {least}, {start}, {most}")
        self.least, self.most = least, most
        self.raw_share = nn.Parameter(unit_raw((start - least) / (most - least), name="start"))

    def own_share(self) -> torch.Tensor:
        return self.least + (self.most - self.least) * unit(self.raw_share)

    def draw(self, image: torch.Tensor, generator: torch.Generator) -> dict[str, torch.Tensor]:
        return {}

    def forward(self, image: torch.Tensor, noise: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return image

    def bounded(self) -> dict[str, float]:
        return {"share": self.own_share().item()}
