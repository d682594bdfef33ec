"""Smooth positive random fields, the shape of a bias field (intensity non-uniformity): cubic B-splines.

A field is a sum of uniform cubic B-splines on a grid of control points, evaluated separably: one small matrix of
weights an axis. The weights are >= 0 and sum to 1, so that a field stays within the range of its control points. As in
the paper (arXiv 2411.16719) fields are not scaled to a mean of 1: the scale that networks read takes a factor out.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from l2s_auto.augmenters.base import uniform
from l2s_auto.core.separable import along_axes, cubic_spline

#: Intervals an axis between the knots of the low, the middle and the high spatial frequency.
INTERVALS = (2, 4, 8)
#: A control point's value is drawn uniformly from this range.
RANGE = (0.5, 2.0)


def draw_fields(image: torch.Tensor, generator: torch.Generator) -> dict[str, torch.Tensor]:
    """Control points for (B, C, *S): one (B, C, n + 3, ..., n + 3) grid of U(0.5, 2) for a frequency of n intervals.

    Independent in each channel. An axis of one voxel has one control point, so that a slice has the field of a slice.
    """
    batch, channels, *shape = image.shape
    low, high = RANGE
    sizes = {n: (batch, channels, *[n + 3 if size > 1 else 1 for size in shape]) for n in INTERVALS}
    return {f"field_{n}": low + (high - low) * uniform(image, *sizes[n], generator=generator) for n in INTERVALS}


def spline_weights(size: int, intervals: int, *, like: torch.Tensor) -> torch.Tensor:
    """(size > 1, intervals + 3) weights of the control points at each voxel of an axis; rows sum to 1.

    The first and the last voxel lie on the outer knots.
    """
    step = torch.arange(size, device=like.device, dtype=like.dtype)
    position = step * (intervals / (size - 1))
    points = torch.arange(-1, intervals + 2, device=like.device, dtype=like.dtype)
    return cubic_spline(position[:, None] - points)


def log_field(points: torch.Tensor, shape: torch.Size | tuple[int, ...]) -> torch.Tensor:
    """Logarithm of the field: (B, C, n + 3, ..., n + 3) control points, 1 along an axis of one voxel -> (B, C, *S)."""
    weights = [
        spline_weights(n, m - 3, like=points) if n > 1 else points.new_ones(1, 1)
        for n, m in zip(shape, points.shape[2:], strict=True)
    ]
    return along_axes(points, weights).log()


def log_fields(noise: Mapping[str, torch.Tensor], shape: torch.Size | tuple[int, ...]) -> list[torch.Tensor]:
    """Logarithms of the low, the middle and the high field of what `draw_fields` gave, (B, C, *S) each."""
    return [log_field(noise[f"field_{n}"], shape) for n in INTERVALS]
