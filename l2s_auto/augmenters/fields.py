"""Smooth positive random fields, the shape of a bias field (intensity non-uniformity)."""

from __future__ import annotations

import math

import torch
from torch.nn import functional

#: Nodes an axis of the low, the middle and the high spatial frequency.
NODES = (2, 4, 8)
#: A node's value is drawn uniformly from this range.
RANGE = (0.5, 2.0)


def draw_fields(image: torch.Tensor, generator: torch.Generator) -> dict[str, torch.Tensor]:
    """Node values for (B, C, *S): one (B, C, n, ..., n) grid of U(0.5, 2) a frequency, independent in each channel."""
    batch, channels, *shape = image.shape
    low, high = RANGE
    return {
        f"field_{n}": low
        + (high - low)
        * torch.rand((batch, channels, *[n] * len(shape)), generator=generator, device=image.device, dtype=image.dtype)
        for n in NODES
    }


def log_field(nodes: torch.Tensor, shape: torch.Size | tuple[int, ...]) -> torch.Tensor:
    """Logarithm of the field: (B, C, n, ..., n) nodes, interpolated linearly -> (B, C, *S)."""
    mode = {1: "linear", 2: "bilinear", 3: "trilinear"}[len(shape)]
    return functional.interpolate(nodes, size=tuple(shape), mode=mode, align_corners=True).log()


def logit(share: float) -> float:
    """Inverse of the sigmoid for a share in (0, 1)."""
    return math.log(share / (1 - share))
