"""Smooth positive random fields, the shape of a bias field (intensity non-uniformity): cubic B-splines.

A field's logarithm is a sum of uniform cubic B-splines on a grid of control points, evaluated separably: one small
matrix of weights an axis. The weights are >= 0 and sum to 1: they average, and the more axes, the weaker the sum. So it
is multiplied by what gives it the deviation of its control points again: a field is as strong in 2D as in 3D. As in the
paper (arXiv 2411.16719) fields are not scaled to a mean of 1: the scale that networks read takes a factor out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from l2s_auto.augmenters.base import uniform
from l2s_auto.core.separable import along_axes, cubic_spline

#: Intervals an axis between the knots of the low, the middle and the high spatial frequency. The farther these are
#: apart, the better theta can tell them from each other.
INTERVALS = (2, 5, 12)
#: Control points of a field's logarithm are drawn uniformly between those of 1 / MOST and of MOST.
MOST = 2.0


def draw_fields(image: torch.Tensor, generator: torch.Generator) -> dict[str, torch.Tensor]:
    """Control points for (B, C, *S): one (B, C, n + 3, ..., n + 3) grid for a frequency of n intervals.

    U(-log MOST, log MOST), independent in each channel. An axis of one voxel has one control point, so that a slice has
    the field of a slice.
    """
    batch, channels, *shape = image.shape
    largest = math.log(MOST)
    sizes = {n: (batch, channels, *[n + 3 if size > 1 else 1 for size in shape]) for n in INTERVALS}
    return {f"field_{n}": largest * (2 * uniform(image, *sizes[n], generator=generator) - 1) for n in INTERVALS}


def spline_weights(size: int, intervals: int, *, like: torch.Tensor) -> torch.Tensor:
    """(size > 1, intervals + 3) weights of the control points at each voxel of an axis; rows sum to 1.

    The first and the last voxel lie on the outer knots.
    """
    step = torch.arange(size, device=like.device, dtype=like.dtype)
    position = step * (intervals / (size - 1))
    points = torch.arange(-1, intervals + 2, device=like.device, dtype=like.dtype)
    return cubic_spline(position[:, None] - points)


def log_field(points: torch.Tensor, shape: torch.Size | tuple[int, ...]) -> torch.Tensor:
    """Logarithm of the field: (B, C, n + 3, ..., n + 3) control points, 1 along an axis of one voxel -> (B, C, *S).

    Independent control points of variance v give it the variance v, in the mean over the voxels.
    """
    weights = [
        spline_weights(n, m - 3, like=points) if n > 1 else points.new_ones(1, 1)
        for n, m in zip(shape, points.shape[2:], strict=True)
    ]
    kept = math.prod((w**2).sum(1).mean() for w in weights) ** 0.5
    return along_axes(points, weights) / kept


def log_fields(noise: Mapping[str, torch.Tensor], shape: torch.Size | tuple[int, ...]) -> list[torch.Tensor]:
    """Logarithms of the low, the middle and the high field of what `draw_fields` gave, (B, C, *S) each."""
    return [log_field(noise[f"field_{n}"], shape) for n in INTERVALS]
