"""What every A_theta has in common: a PyTorch module whose randomness is drawn first and applied second."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn


class AugmenterModule(nn.Module, ABC):
    """Base of the augmenters; theta is its parameters. A class of a user's own needs the same three methods."""

    #: Whether `mixture` does anything, so that images are rendered anew from what it gives.
    changes_mixture = False
    #: Whether `own_share` gives the share of the images that are to look like the real ones.
    learns_share = False
    #: Names of parameters that are reflected at 0 (`bounds.level`), and at 0 and 1 (`bounds.unit`).
    LEVELS: tuple[str, ...] = ()
    SHARES: tuple[str, ...] = ()
    #: Names of those that multiply something without a preferred sign: what they do begins with their square.
    EVEN: tuple[str, ...] = ()

    @abstractmethod
    def draw(self, image: torch.Tensor, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Random numbers for images of the shape, type and device of `image` (B, C, *S), the batch first in each.

        They depend neither on theta nor on what the image shows: a process draws those of the others too.
        """

    @abstractmethod
    def forward(self, image: torch.Tensor, noise: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """(B, C, *S) image, what `draw` gave -> (B, C, *S) augmented image; differentiable in theta."""

    @abstractmethod
    def bounded(self) -> dict[str, float]:
        """Theta as a user reads it."""

    def mixture(self, mixture: Any, noise: Mapping[str, torch.Tensor]) -> Any:
        """Class means and deviations that were drawn (`synthesis.intensity.Mixture`) -> those to paint an image with.

        Differentiable in theta; here, as they are.
        """
        return mixture

    def nearest(self, theta: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Parameters -> the nearest ones whose numbers are within their bounds without being reflected there."""
        bounds = {**dict.fromkeys(self.LEVELS, (0, None)), **dict.fromkeys(self.SHARES, (0, 1))}
        return {name: p.clamp(*bounds[name]) if name in bounds else p for name, p in theta.items()}

    def effects(self, theta: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Parameters within their bounds -> coordinates in which the mean of what they do is nearly linear."""
        return {name: p**2 if name in self.EVEN else p for name, p in theta.items()}

    def of_effects(self, effects: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The inverse of `effects`; what no parameter does becomes the nearest that one does."""
        theta = {name: q.clamp_min(0).sqrt() if name in self.EVEN else q for name, q in effects.items()}
        return self.nearest(theta)


def normal(image: torch.Tensor, *size: int, generator: torch.Generator) -> torch.Tensor:
    """N(0, 1) of the given size, of the image's type and device."""
    return torch.randn(size, generator=generator, device=image.device, dtype=image.dtype)


def uniform(image: torch.Tensor, *size: int, generator: torch.Generator) -> torch.Tensor:
    """U(0, 1) of the given size, of the image's type and device."""
    return torch.rand(size, generator=generator, device=image.device, dtype=image.dtype)


def one_an_image(image: torch.Tensor) -> tuple[int, ...]:
    """(B, 1, 1, ..., 1): the size of a number for each image that channels and voxels share."""
    return (len(image), *[1] * (image.ndim - 1))
