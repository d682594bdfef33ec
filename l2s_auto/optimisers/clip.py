"""Clipping of gradients by their joint Euclidean norm, and its derivative (Pascanu et al., ICML 2013)."""

from __future__ import annotations

import torch

from l2s_auto.core.protocols import Params

#: PyTorch's term beside the norm, so that results are those of torch.nn.utils.clip_grad_norm_.
MARGIN = 1e-6


def clip(grads: Params, clip_norm: float | None) -> Params:
    """g · min(1, clip_norm / (|g| + 1e-6)), with |g| over all tensors together; None = as they are."""
    if clip_norm is None or not grads:
        return grads
    factor = _factor(_norm(grads), clip_norm)
    return {name: g * factor for name, g in grads.items()}


def clip_vjp(v: Params, grads: Params, clip_norm: float | None) -> dict[str, torch.Tensor]:
    """v · d(clipped gradients)/d(gradients), at the gradients before they are clipped.

    With n = |g| and c = clip_norm / (n + 1e-6): v where c >= 1, else c · (v - g · <g, v> / (n · (n + 1e-6))), which
    takes away the part of v along g, since a longer g is only cut further. At g = 0 the second term is its limit, 0.
    """
    if clip_norm is None or not grads:
        return dict(v)
    norm = _norm(grads)
    factor = _factor(norm, clip_norm)
    along = torch.stack([(g * v[name]).sum() for name, g in grads.items()]).sum()
    along = torch.where((factor < 1) & (norm > 0), along / norm / (norm + MARGIN), 0)
    return {name: factor * (v[name] - along * g) for name, g in grads.items()}


def _norm(grads: Params) -> torch.Tensor:
    return torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in grads.values()]))


def _factor(norm: torch.Tensor, clip_norm: float) -> torch.Tensor:
    """A scalar tensor, so that the device need not be waited for."""
    return (clip_norm / (norm + MARGIN)).clamp(max=1.0)
