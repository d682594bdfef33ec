"""How an image is sampled: partial volume, point spread, and thick slices that are interpolated back to the grid."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch

from l2s_auto.core.constants import constant
from l2s_auto.synthesis.axes import gaussian, hat
from l2s_auto.synthesis.drawn import Drawn, uniform

#: Standard deviation of a Gaussian whose width at half of its height is 1.
HALF_WIDTH = 0.4247
#: Voxels of an axis for one thick slice, at most: as many slices remain.
FEWEST_SLICES = 4


@dataclass(frozen=True)
class ResolutionRanges:
    """partial    voxels, sigma with which tissues mix at their boundaries is U(0, partial)
    blur       voxels, sigma of the point spread is U(0, blur) an axis
    thick      share of the images that have thick slices, along one axis drawn at random
    thickest   of a slice at most, in units of the finest voxel edge; thickness is log-uniform from the voxel's own, so
               coarse axes have fewer"""

    partial: float = 0.3
    blur: float = 0.8
    thick: float = 0.1
    thickest: float = 5.0


@dataclass(frozen=True)
class Resolution(Drawn):
    """partial, blur (B, D) sigma in voxels; factor (B, D) voxels a slice, from 1 on; phase (B, D) in 0 … 1."""

    partial: torch.Tensor
    blur: torch.Tensor
    factor: torch.Tensor
    phase: torch.Tensor

    @classmethod
    def of_either(cls, first: torch.Tensor, one: Resolution, other: Resolution) -> Resolution:
        """Sample by sample, `one` where `first`, (B,) bool, is true."""
        names = [field.name for field in fields(cls)]
        return cls(**{name: torch.where(first[:, None], getattr(one, name), getattr(other, name)) for name in names})


def draw_resolution(
    batch: int,
    shape: tuple[int, ...],
    spacing: tuple[float, ...],
    ranges: ResolutionRanges,
    generator: torch.Generator,
) -> Resolution:
    """Factors are 1 in all axes but one, and in that one, too, for most of the images.

    spacing  edges of a voxel, in the unit of `ranges.thickest`
    """
    device, dims = generator.device, len(shape)
    thickest = (max(1.0, min(ranges.thickest / s, n / FEWEST_SLICES)) for n, s in zip(shape, spacing, strict=True))
    most = constant(tuple(thickest), device)
    open_axes = constant(tuple(axis for axis, n in enumerate(shape) if n > 1) or (0,), device, torch.int64)
    partial = ranges.partial * uniform(batch, 1, generator=generator).expand(-1, dims)
    blur = ranges.blur * uniform(batch, dims, generator=generator)
    choice = (uniform(batch, generator=generator) * len(open_axes)).long().clamp_max(len(open_axes) - 1)
    chosen = open_axes[choice][:, None] == torch.arange(dims, device=device)
    thick = uniform(batch, 1, generator=generator) < ranges.thick
    factor = most ** uniform(batch, 1, generator=generator)
    phase = uniform(batch, dims, generator=generator)
    return Resolution(partial, blur, torch.where(chosen & thick, factor, torch.ones_like(factor)), phase)


def blurring(sigma: torch.Tensor, shape: tuple[int, ...]) -> list[torch.Tensor]:
    """(B, D) sigma in voxels -> a (B, n, n) matrix an axis: a Gaussian, cut at the border. Sigma 0 is the identity."""
    return [slicing(s, torch.ones_like(s), torch.zeros_like(s), n) for s, n in zip(sigma.T, shape, strict=True)]


def sampling(drawn: Resolution, shape: tuple[int, ...]) -> list[torch.Tensor]:
    """Point spread and slices: a (B, n, n) matrix an axis."""
    along = zip(drawn.blur.T, drawn.factor.T, drawn.phase.T, shape, strict=True)
    return [slicing(blur, factor, phase, n) for blur, factor, phase, n in along]


def slicing(blur: torch.Tensor, factor: torch.Tensor, phase: torch.Tensor, n: int) -> torch.Tensor:
    """Blur, read every `factor`-th voxel, and interpolate linearly between what was read.

    blur    (B,) sigma in voxels of the image as it is
    factor  (B,) voxels a slice; their profile is a Gaussian that makes a resolution of one voxel one of `factor`
    phase   (B,) the first slice's place, 0 … 1, between the first voxel and the last that keeps it inside
    -> (B, n, n), rows of sum 1, so that a constant stays; the identity for blur 0 and factor 1
    """
    voxels = torch.arange(n, device=blur.device, dtype=blur.dtype)
    first = (phase * (factor - 1))[:, None]
    slices = first + factor[:, None] * voxels
    last = ((n - 1 - first) / factor[:, None] + 1e-4).floor()
    sigma = (blur**2 + HALF_WIDTH**2 * (factor**2 - 1)).sqrt()
    profile = gaussian(slices.clamp_max(n - 1), voxels, sigma)
    profile = profile / profile.sum(2, keepdim=True)
    between = ((voxels - first) / factor[:, None]).clamp_min(0).minimum(last)
    return hat(between, n) @ profile
