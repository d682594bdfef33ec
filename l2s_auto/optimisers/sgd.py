"""Stochastic gradient descent with momentum (Sutskever et al., ICML 2013, in the form that PyTorch uses)."""

from __future__ import annotations

from typing import Any

import torch
from torch.optim.sgd import sgd

from l2s_auto.core.protocols import Params, State
from l2s_auto.optimisers.clip import clip, clip_vjp
from l2s_auto.optimisers.ranges import check
from l2s_auto.optimisers.tensors import copies, gradient_list, has_fused_kernels


class SGD:
    """buffer' = momentum · buffer + gradient;  parameter' = parameter - rate · buffer'.

    With nesterov=True the step is rate · (gradient + momentum · buffer'). Without momentum there is no buffer.

    rate          learning rate, > 0
    momentum      in [0, 1)
    weight_decay  >= 0; weight_decay · parameter is added to the clipped gradient (an L2 penalty, as PyTorch's)
    clip_norm     largest joint norm of the gradients, > 0; None = they are not clipped

    Raises ValueError for an option outside its range.
    """

    def __init__(
        self,
        *,
        rate: float = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        clip_norm: float | None = None,
    ) -> None:
        check(
            "SGD",
            {
                "rate": (rate, "> 0"),
                "momentum": (momentum, ">= 0 and < 1"),
                "weight_decay": (weight_decay, ">= 0"),
                "clip_norm": (clip_norm, "> 0"),
            },
        )
        if nesterov and momentum == 0:
            raise ValueError("SGD with nesterov=True needs momentum > 0, not 0")
        self.rate, self.momentum, self.nesterov = rate, momentum, nesterov
        self.weight_decay, self.clip_norm = weight_decay, clip_norm

    def init(self, params: Params) -> dict[str, Any]:
        return {"buffer": {name: torch.zeros_like(p) for name, p in params.items()}} if self.momentum else {}

    @torch.no_grad()
    def update(
        self, params: Params, grads: Params, state: State, *, rate_scale: float = 1.0
    ) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """No gradient passes through the update; its derivative is vjp."""
        if not params:
            return {}, dict(state)
        new = {name: p.clone() for name, p in params.items()}
        fused = has_fused_kernels(new)
        new_state = {"buffer": copies(state["buffer"], new)} if self.momentum else {}
        sgd(
            list(new.values()),
            gradient_list(clip(grads, self.clip_norm), new, fused=fused),
            list(new_state["buffer"].values()) if self.momentum else [None] * len(new),
            weight_decay=self.weight_decay,
            momentum=self.momentum,
            lr=self.rate * rate_scale,
            dampening=0.0,
            nesterov=self.nesterov,
            maximize=False,
            fused=fused,
            foreach=not fused,
        )
        return new, new_state

    @torch.no_grad()
    def vjp(self, v: Params, grads: Params, state: State, *, rate_scale: float = 1.0) -> dict[str, torch.Tensor]:
        """-rate · v without clipping, (1 + momentum) times it with nesterov; the same in every state."""
        factor = -self.rate * rate_scale * ((1 + self.momentum) if self.nesterov else 1.0)
        return clip_vjp({name: factor * x for name, x in v.items()}, grads, self.clip_norm)
