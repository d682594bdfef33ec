"""A chain of changes whose parameters are sought where they hurt most (AdvChain: Chen et al., Medical Image Analysis
2022): bias field, noise, elastic deformation, affine map.

Parameters are in units of their ranges: noise and velocities have a root mean square of at most 1 an image, all others
lie in [-1, 1].
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import torch

from l2s_auto.augmenters.base import normal, uniform
from l2s_auto.augmenters.fields import log_field
from l2s_auto.synthesis.deform import Deformation, coarse_positions, refine, rotation_matrices, warp_image
from l2s_auto.synthesis.velocity import nodes_of

Values = Mapping[str, torch.Tensor]
#: Parameters that are bounded by their root mean square; the others one by one.
BY_SIZE = ("noise", "velocity")


@dataclass(frozen=True)
class Ranges:
    """How far the changes may go; 0 turns each off.

    noise        standard deviation, as a share of the intensity range
    bias         logarithm of the largest factor at the field's control points
    elastic      root mean square of the velocity, in units of the finest voxel edge
    rotation     degrees about each axis
    scale        logarithm of the largest factor
    translation  in units of the finest voxel edge
    """

    noise: float
    bias: float
    elastic: float
    rotation: float
    scale: float
    translation: float


@dataclass(frozen=True)
class Chain:
    """The changes of images.

    spacing    edges of a voxel in units of the finest one (`core.digits.relative`)
    intervals  of the bias field's knots, an axis
    apart      between the velocity's nodes, at most, in the same unit
    """

    spacing: tuple[float, ...]
    ranges: Ranges
    intervals: int = 4
    apart: float = 12.0

    def draw(self, image: torch.Tensor, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Random parameters for images like (B, C, *S), the batch first in each."""
        batch, channels, *shape = image.shape
        dims = len(shape)
        knots = [self.intervals + 3 if n > 1 else 1 for n in shape]
        nodes = nodes_of(tuple(shape), self.spacing, self.apart)
        moves = image.new_tensor([float(n > 1) for n in shape])

        def symmetric(*size: int) -> torch.Tensor:
            return 2 * uniform(image, *size, generator=generator) - 1

        return bounded(
            {
                "noise": normal(image, *image.shape, generator=generator),
                "bias": symmetric(batch, channels, *knots),
                "velocity": moves.view(-1, *[1] * dims) * normal(image, batch, dims, *nodes, generator=generator),
                "angles": symmetric(batch, dims * (dims - 1) // 2),
                "scale": symmetric(batch, dims),
                "shift": symmetric(batch, dims),
            }
        )

    def painted(self, image: torch.Tensor, values: Values) -> torch.Tensor:
        """(B, C, *S) with the bias field and the noise."""
        field = self.ranges.bias * log_field(values["bias"], image.shape[2:])
        return image * field.exp() + self.ranges.noise * values["noise"]

    def positions(self, shape: tuple[int, ...], values: Values) -> torch.Tensor:
        """(B, D, *shape) voxels that each voxel of the deformed image is read from; an axis of one voxel stays."""
        moves = values["shift"].new_tensor([float(n > 1) for n in shape])
        pairs = list(combinations(range(len(shape)), 2))
        turns = moves.new_tensor([float(shape[i] > 1 and shape[j] > 1) for i, j in pairs])
        angles = values["angles"] * turns * (self.ranges.rotation * torch.pi / 180)
        scale = torch.diag_embed(torch.exp(values["scale"] * moves * self.ranges.scale))
        deformation = Deformation(
            matrix=rotation_matrices(angles, len(shape)) @ scale,
            shift=values["shift"] * moves * self.ranges.translation,
            velocity=values["velocity"] * moves.view(-1, *[1] * len(shape)) * self.ranges.elastic,
            flip=torch.zeros(len(values["shift"]), dtype=torch.bool, device=moves.device),
        )
        return refine(coarse_positions(deformation, shape=shape, box=shape, spacing=self.spacing), shape)


def bounded(values: Values) -> dict[str, torch.Tensor]:
    """The nearest parameters within the ranges."""
    found = {}
    for name, value in values.items():
        if name in BY_SIZE:
            size = value.flatten(1).square().mean(1).sqrt().clamp_min(1.0)
            found[name] = value / size.view(-1, *[1] * (value.ndim - 1))
        else:
            found[name] = value.clamp(-1, 1)
    return found


def ascended(values: Values, slopes: Values, *, step: float) -> dict[str, torch.Tensor]:
    """A step uphill, as long in each image and each part of the chain, within the ranges."""
    moved = {}
    for name, value in values.items():
        slope = slopes[name]
        size = slope.flatten(1).square().mean(1).sqrt().clamp_min(1e-12)
        moved[name] = value + step * slope / size.view(-1, *[1] * (slope.ndim - 1))
    return bounded(moved)


def nearest(values: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """(B, C, *S) values of which none lie between, such as numbers of labels, at the nearest voxels."""
    return warp_image(values.to(positions), positions, mode="nearest").to(values.dtype)


def disagreement(found: torch.Tensor, expected: torch.Tensor) -> torch.Tensor:
    """Half the squared distance of two distributions over the classes, (B, K, *S) both, mean over voxels; in [0, 1]."""
    return (found - expected).square().sum(1).mean() / 2
