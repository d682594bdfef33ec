"""Point spread: a Gaussian blur of learned strength, by the discrete heat equation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import nn

from l2s_auto.augmenters.base import AugmenterModule, uniform
from l2s_auto.augmenters.bounds import level, level_raw
from l2s_auto.core.digits import relative
from l2s_auto.core.separable import along_axes


class Blur(AugmenterModule):
    """Gaussian blur of sigma · u mm along each axis, u ~ U(0, 1) for each image and axis; mirrored at the border.

    theta: sigma² >= 0 in units of the finest axis's voxel, so that images which differ only in the size of their
    voxels teach it the same; it is read in mm. The variance is what is learned, because a slight blur
    changes an image in proportion to it: the gradient is finite at 0, and does not vanish there. At 0, nothing changes.

    sigma    mm, the upper end of the range that learning starts from; None: half a voxel of the finest axis
    spacing  mm of each axis; None: everything is in voxels
    """

    LEVELS = ("raw_variance",)

    def __init__(self, *, sigma: float | None = None, spacing: Sequence[float] | None = None) -> None:
        super().__init__()
        self.edges = relative(tuple(spacing)) if spacing else None
        self.unit = min(spacing) if spacing else 1.0
        started = 0.5 if sigma is None else sigma / self.unit
        if not started >= 0:
            raise ValueError(f"sigma >= 0 needed, not {sigma}")
        self.raw_variance = nn.Parameter(level_raw(started**2, name="sigma", scale=1.0))

    def variance(self) -> torch.Tensor:
        """In voxels² of the finest axis."""
        return level(self.raw_variance, scale=1.0)

    def draw(self, image: torch.Tensor, generator: torch.Generator) -> dict[str, torch.Tensor]:
        return {"share": uniform(image, len(image), image.ndim - 2, generator=generator)}

    def forward(self, image: torch.Tensor, noise: Mapping[str, torch.Tensor]) -> torch.Tensor:
        edges = self.edges or (1.0,) * (image.ndim - 2)
        matrices = [
            heat_kernel(self.variance() * (noise["share"][:, axis] / edge) ** 2, size)
            for axis, (size, edge) in enumerate(zip(image.shape[2:], edges, strict=True))
        ]
        return along_axes(image, matrices)

    def bounded(self) -> dict[str, float]:
        return {"blur_sigma": self.variance().sqrt().item() * self.unit}


def heat_kernel(variance: torch.Tensor, size: int) -> torch.Tensor:
    """(B,) variances in voxels², an axis of `size` voxels -> (B, size, size): its blur; rows and columns sum to 1.

    exp(variance / 2 · L), L the second difference along an axis that is mirrored at its ends: the discrete Gaussian
    (Lindeberg, *Scale-space for discrete signals*, IEEE PAMI 1990). Smooth in the variance, at 0 too, and not cut off
    anywhere: the cosine transform makes L diagonal, with -2 (1 - cos(π k / size)) for frequency k.
    """
    frequency = torch.arange(size, device=variance.device, dtype=variance.dtype)
    angle = frequency * (math.pi / size)
    # The constant, of frequency 0, is never damped: its length does not matter.
    basis = math.sqrt(2 / size) * torch.cos(angle[:, None] * (frequency + 0.5))
    damping = torch.expm1(-variance[:, None] * (1 - angle.cos()))
    identity = torch.eye(size, device=variance.device, dtype=variance.dtype)
    return identity + basis.T @ (damping[..., None] * basis)
