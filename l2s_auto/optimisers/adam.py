"""Adam (Kingma and Ba, ICLR 2015, algorithm 1) with a term under the square root, and its derivative."""

from __future__ import annotations

from typing import Any

import torch

from l2s_auto.core.protocols import Params, State


class Adam:
    """parameter' = parameter - rate · m̂ / (sqrt(v̂ + root_epsilon) + epsilon).

    The square root has no derivative at 0, which a weight whose gradients were all exactly 0 would reach;
    root_epsilon keeps the derivative finite there without changing any step that matters.
    """

    def __init__(
        self,
        *,
        rate: float = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        root_epsilon: float = 1e-16,
    ) -> None:
        if rate <= 0 or not 0 <= beta1 < 1 or not 0 <= beta2 < 1 or root_epsilon <= 0:
            raise ValueError("Adam needs rate > 0, 0 <= beta1 < 1, 0 <= beta2 < 1 and root_epsilon > 0")
        self.rate, self.beta1, self.beta2 = rate, beta1, beta2
        self.epsilon, self.root_epsilon = epsilon, root_epsilon

    def init(self, params: Params) -> dict[str, Any]:
        return {
            "count": 0,
            "mean": {name: torch.zeros_like(p) for name, p in params.items()},
            "square": {name: torch.zeros_like(p) for name, p in params.items()},
        }

    def _moments(self, grad: torch.Tensor, mean: torch.Tensor, square: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return torch.lerp(grad, mean, self.beta1), torch.lerp(grad * grad, square, self.beta2)

    def _corrections(self, count: int) -> tuple[float, float]:
        return 1 - self.beta1**count, 1 - self.beta2**count

    def update(
        self, params: Params, grads: Params, state: State, *, rate_scale: float = 1.0
    ) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        count = state["count"] + 1
        c1, c2 = self._corrections(count)
        rate = self.rate * rate_scale
        new, mean, square = {}, {}, {}
        for name, p in params.items():
            m, s = self._moments(grads[name], state["mean"][name], state["square"][name])
            new[name] = p - rate * (m / c1) / ((s / c2 + self.root_epsilon).sqrt() + self.epsilon)
            mean[name], square[name] = m, s
        return new, {"count": count, "mean": mean, "square": square}

    def vjp(self, v: Params, grads: Params, state: State, *, rate_scale: float = 1.0) -> dict[str, torch.Tensor]:
        c1, c2 = self._corrections(state["count"] + 1)
        rate = self.rate * rate_scale
        out = {}
        for name, x in v.items():
            g = grads[name]
            m, s = self._moments(g, state["mean"][name], state["square"][name])
            root = (s / c2 + self.root_epsilon).sqrt()
            denominator = root + self.epsilon
            by_mean = (1 - self.beta1) / c1 / denominator
            by_square = (m / c1) / denominator**2 * ((1 - self.beta2) / c2) * g / root
            out[name] = -rate * x * (by_mean - by_square)
        return out
