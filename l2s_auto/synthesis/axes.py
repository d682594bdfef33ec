"""Linear maps along the axes of an image: every blur, slice profile and interpolation here is one matrix an axis.

A matrix of n x n numbers holds any kernel, with another one for each image and its borders treated exactly, and is
applied by one multiplication of matrices.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch


def along_axes(image: torch.Tensor, matrices: Sequence[torch.Tensor]) -> torch.Tensor:
    """(B, C, n1, …, nD) image, one (m, n) or (B, m, n) matrix an axis -> (B, C, m1, …, mD).

    Each multiplication takes the first axis of space and puts it last, so that in the end the order is as before.
    """
    batch, channels = image.shape[:2]
    image = image.flatten(0, 1)
    for matrix in matrices:
        if matrix.ndim == 3:
            assert len(matrix) == batch, f"{len(matrix)} matrices for a batch of {batch}"
            matrix = matrix.repeat_interleave(channels, 0) if channels > 1 else matrix
        rest = image.shape[2:]
        image = (image.flatten(2).transpose(1, 2) @ matrix.mT).reshape(len(image), *rest, matrix.shape[-2])
    return image.unflatten(0, (batch, channels))


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
    t = (position[:, None] - nodes).abs()
    return torch.where(t < 1, 2 / 3 - t**2 + t**3 / 2, (2 - t).clamp_min(0) ** 3 / 6)


def spread_over(count: int, length: int, device: torch.device) -> torch.Tensor:
    """(count,) positions evenly over voxels 0 … length - 1."""
    step = (length - 1) / max(count - 1, 1)
    return torch.arange(count, device=device, dtype=torch.float32) * step
