"""Gradients by name, and pieces of a batch."""

from __future__ import annotations

import torch

from l2s_auto.core.protocols import Params


def leaves(params: Params) -> dict[str, torch.Tensor]:
    """The same values as new leaves that gradients can be asked for."""
    return {name: p.detach().requires_grad_() for name, p in params.items()}


def gradients(loss: torch.Tensor, params: Params, *, create_graph: bool = False) -> dict[str, torch.Tensor]:
    """d(loss)/d(params) by name. A parameter that the loss does not depend on is an error, never a silent None."""
    values = torch.autograd.grad(loss, list(params.values()), create_graph=create_graph)
    return dict(zip(params, values, strict=True))


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
