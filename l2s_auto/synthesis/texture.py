"""What varies within a tissue: white noise, mixed with noise that is correlated over a random length."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from l2s_auto.core.separable import along_axes
from l2s_auto.synthesis.axes import gaussian, spread_over
from l2s_auto.synthesis.drawn import Drawn, normal, uniform


@dataclass(frozen=True)
class TextureRanges:
    """correlated  largest share of the variance that is correlated, drawn from U(0, correlated)
    shortest, longest  standard deviation of the kernel that correlates, drawn log-uniformly, in units of the finest
                       voxel edge; at least one voxel along each axis"""

    correlated: float = 0.25
    shortest: float = 1.0
    longest: float = 4.0


@dataclass(frozen=True)
class Texture(Drawn):
    """white (B, C, *S) and coarse (B, C, *about S / 2) are standard normal; share (B,) in [0, 1]; length (B,), in the
    unit of `spacing`."""

    white: torch.Tensor
    coarse: torch.Tensor
    share: torch.Tensor
    length: torch.Tensor


def draw_texture(
    batch: int, channels: int, shape: tuple[int, ...], ranges: TextureRanges, generator: torch.Generator
) -> Texture:
    """The correlated part comes from noise on every second voxel, which its kernel, a voxel wide or more, fills up."""
    ratio = ranges.longest / ranges.shortest
    return Texture(
        white=normal(batch, channels, *shape, generator=generator),
        coarse=normal(batch, channels, *((n + 1) // 2 for n in shape), generator=generator),
        share=ranges.correlated * uniform(batch, generator=generator),
        length=ranges.shortest * ratio ** uniform(batch, generator=generator),
    )


def texture(drawn: Texture, spacing: tuple[float, ...]) -> torch.Tensor:
    """sqrt(1 - share) white + sqrt(share) smooth: (B, C, *S) of unit variance at every voxel.

    Smooth: the coarse noise under a Gaussian along each axis, whose weights at each voxel have a sum of squares of 1.
    """
    device = drawn.white.device
    matrices = []
    for n, points, step in zip(drawn.white.shape[2:], drawn.coarse.shape[2:], spacing, strict=True):
        voxels = torch.arange(n, device=device, dtype=torch.float32)
        weights = gaussian(voxels, spread_over(points, n, device), (drawn.length / step).clamp_min(1.0))
        matrices.append((weights / weights.square().sum(2, keepdim=True).sqrt()).to(drawn.coarse.dtype))
    share = drawn.share.to(drawn.white.dtype).view(-1, *[1] * (drawn.white.ndim - 1))
    return (1 - share).sqrt() * drawn.white + share.sqrt() * along_axes(drawn.coarse, matrices)
