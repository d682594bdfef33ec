"""Gradients by name, and pieces of a batch."""

from __future__ import annotations

import math
from collections.abc import Collection

import torch

from l2s_auto.core.protocols import Params


def leaves(params: Params) -> dict[str, torch.Tensor]:
    """The same values as new leaves that gradients can be asked for."""
    return {name: p.detach().requires_grad_() for name, p in params.items()}


def gradients(
    loss: torch.Tensor, params: Params, *, create_graph: bool = False, optional: Collection[str] = ()
) -> dict[str, torch.Tensor]:
    """d(loss)/d(params) by name. A parameter that the loss does not depend on is an error, never a silent None.

    optional  names of which the loss may be independent: their gradient is then 0
    """
    values = torch.autograd.grad(loss, list(params.values()), create_graph=create_graph, allow_unused=bool(optional))
    found = dict(zip(params, values, strict=True))
    for name in optional:
        found[name] = torch.zeros_like(params[name]) if found[name] is None else found[name]
    unused = [name for name, value in found.items() if value is None]
    if unused:
        raise RuntimeError(f"parameters that the loss does not depend on: {', '.join(unused)} have not been used")
    return found


def gradient(value: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
    """d(value)/d(by), 0 where the value does not depend on it."""
    if not value.requires_grad:
        return torch.zeros_like(by)
    return torch.autograd.grad(value, by, allow_unused=True, materialize_grads=True)[0]


def inner(u: Params, v: Params) -> torch.Tensor:
    """Inner product over all parameters."""
    return torch.stack([(u[name] * v[name]).sum() for name in u]).sum()


def norm(u: Params) -> torch.Tensor:
    """Euclidean norm over all parameters."""
    return torch.stack(torch._foreach_norm(list(u.values()))).norm()


def pieces_of(samples: int, size: int | None) -> list[slice]:
    """Slices of at most `size` samples that cover range(samples)."""
    size = size or samples
    return [slice(start, min(start + size, samples)) for start in range(0, samples, size)]


def part_of(samples: int, part: float) -> int:
    """The share `part`, in (0, 1], of some samples, rounded up."""
    return math.ceil(part * samples)
