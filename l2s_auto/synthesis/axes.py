"""Weights of interpolation and of kernels along an axis: every blur and slice profile here is one matrix an axis."""

from __future__ import annotations

import torch

from l2s_auto.core.separable import cubic_spline


def hat(position: torch.Tensor, count: int) -> torch.Tensor:
    """Linear interpolation: (..., m) positions in 0 … count - 1, held at the ends -> (..., m, count) weights."""
    nodes = torch.arange(count, device=position.device, dtype=position.dtype)
    return (1 - (position.clamp(0, count - 1)[..., None] - nodes).abs()).clamp_min(0)


def gaussian(position: torch.Tensor, nodes: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """exp(-d² / 2 sigma²): (B, m) positions, (n,) nodes, (B,) sigma in one unit -> (B, m, n). sigma 0: d = 0 alone."""
    distance = (position[..., None] - nodes) / sigma[:, None, None].clamp_min(1e-3)
    return torch.exp(-0.5 * distance**2)


def cubic(position: torch.Tensor, count: int) -> torch.Tensor:
    """Cubic B-spline with knots at the integers: (m,) positions in 1 … count - 2 -> (m, count), rows of sum 1."""
    nodes = torch.arange(count, device=position.device, dtype=position.dtype)
    return cubic_spline(position[:, None] - nodes)


def spread_over(count: int, length: int, device: torch.device) -> torch.Tensor:
    """(count,) positions evenly over voxels 0 … length - 1."""
    step = (length - 1) / max(count - 1, 1)
    return torch.arange(count, device=device, dtype=torch.float32) * step
