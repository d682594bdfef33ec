"""Stochastic gradient descent with momentum (Sutskever et al., ICML 2013, in the form that PyTorch uses)."""

from __future__ import annotations

from typing import Any

import torch

from l2s_auto.core.protocols import Params, State


class SGD:
    """buffer' = momentum · buffer + gradient;  parameter' = parameter - rate · buffer'.

    With nesterov=True the step is rate · (gradient + momentum · buffer').
    """

    def __init__(self, *, rate: float = 0.01, momentum: float = 0.9, nesterov: bool = False) -> None:
        if rate <= 0 or not 0 <= momentum < 1:
            raise ValueError(f"SGD needs rate > 0 and 0 <= momentum < 1, not rate={rate}, momentum={momentum}")
        self.rate, self.momentum, self.nesterov = rate, momentum, nesterov

    def init(self, params: Params) -> dict[str, Any]:
        return {"buffer": {name: torch.zeros_like(p) for name, p in params.items()}}

    def update(
        self, params: Params, grads: Params, state: State, *, rate_scale: float = 1.0
    ) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        buffer = {name: self.momentum * state["buffer"][name] + g for name, g in grads.items()}
        rate = self.rate * rate_scale
        step = {name: g + self.momentum * buffer[name] for name, g in grads.items()} if self.nesterov else buffer
        return {name: p - rate * step[name] for name, p in params.items()}, {"buffer": buffer}

    def vjp(self, v: Params, grads: Params, state: State, *, rate_scale: float = 1.0) -> dict[str, torch.Tensor]:
        factor = -self.rate * rate_scale * ((1 + self.momentum) if self.nesterov else 1.0)
        return {name: factor * x for name, x in v.items()}
