"""Steps along a direction in phi for differences, relative to the length of phi."""

from __future__ import annotations

import torch

from l2s_auto.core.protocols import Params
from l2s_auto.hypergradients.differentiate import norm


def step_size(step: float, phi: Params, u: Params) -> torch.Tensor:
    """h with |h u| = step · |phi|, or step where phi is 0; a scalar on the device.

    Where u is 0, so is every difference: any h will do.
    """
    length, size = norm(u), norm(phi)
    size = torch.where(size > 0, size, torch.ones_like(size))
    return torch.where(length > 0, step * size / length, torch.ones_like(length))


def moved(phi: Params, u: Params, h: torch.Tensor) -> dict[str, torch.Tensor]:
    """phi + h u."""
    return {name: p + h * u[name] for name, p in phi.items()}
