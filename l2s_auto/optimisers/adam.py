"""Adam (Kingma and Ba, ICLR 2015, algorithm 1) in the form that PyTorch uses, and its derivative."""

from __future__ import annotations

from typing import Any

import torch
from torch.optim.adamw import adamw

from l2s_auto.core.protocols import Params, State
from l2s_auto.optimisers.clip import clip, clip_vjp
from l2s_auto.optimisers.ranges import check
from l2s_auto.optimisers.tensors import copies, gradient_list, has_fused_kernels


class Adam:
    """parameter' = parameter - rate · m̂ / (sqrt(v̂) + epsilon).

    rate          learning rate, > 0
    beta1, beta2  shares, in [0, 1), that the running means of gradients and of their squares keep
    epsilon       > 0
    clip_norm     largest joint norm of the gradients, > 0; None = they are not clipped

    Raises ValueError for an option outside its range.
    """

    weight_decay: float = 0.0

    def __init__(
        self,
        *,
        rate: float = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        clip_norm: float | None = None,
    ) -> None:
        check(
            type(self).__name__,
            {
                "rate": (rate, "> 0"),
                "beta1": (beta1, ">= 0 and < 1"),
                "beta2": (beta2, ">= 0 and < 1"),
                "epsilon": (epsilon, "> 0"),
                "clip_norm": (clip_norm, "> 0"),
            },
        )
        self.rate, self.beta1, self.beta2 = rate, beta1, beta2
        self.epsilon, self.clip_norm = epsilon, clip_norm

    def init(self, params: Params) -> dict[str, Any]:
        return {
            "count": 0,
            "mean": {name: torch.zeros_like(p) for name, p in params.items()},
            "square": {name: torch.zeros_like(p) for name, p in params.items()},
        }

    @torch.no_grad()
    def update(
        self, params: Params, grads: Params, state: State, *, rate_scale: float = 1.0
    ) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """No gradient passes through the update; its derivative is vjp."""
        if not params:
            return {}, {**state, "count": state["count"] + 1}
        new = {name: p.clone() for name, p in params.items()}
        fused = has_fused_kernels(new)
        mean, square = copies(state["mean"], new), copies(state["square"], new)
        # As torch.optim has it: beside the weights for fused kernels, else on the CPU, where reading it is free.
        device = next(iter(new.values())).device if fused else torch.device("cpu")
        counts = torch.full((len(new),), float(state["count"]), dtype=torch.float32, device=device)
        adamw(  # without weight decay this is Adam
            list(new.values()),
            gradient_list(clip(grads, self.clip_norm), new, fused=fused),
            list(mean.values()),
            list(square.values()),
            [],
            list(counts.unbind()),
            amsgrad=False,
            beta1=self.beta1,
            beta2=self.beta2,
            lr=self.rate * rate_scale,
            weight_decay=self.weight_decay,
            eps=self.epsilon,
            maximize=False,
            fused=fused,
            foreach=not fused,
        )
        return new, {"count": state["count"] + 1, "mean": mean, "square": square}

    @torch.no_grad()
    def vjp(self, v: Params, grads: Params, state: State, *, rate_scale: float = 1.0) -> dict[str, torch.Tensor]:
        """v · d(new parameters)/d(gradients). With g the clipped gradient, m and s the means before the update,
        c1 and c2 their corrections after it, root = sqrt(v̂) and d = root + epsilon, the derivative of m̂ / d is

            ((1-beta1) beta2 s - beta1 (1-beta2) m g) / (c1 c2 root d²) + (1-beta1) epsilon / (c1 d²),

        in which the terms in g² are cancelled by hand: after the first updates they nearly make up the two parts of the
        derivative, and float32 would leave the rounding of their difference.

        Where root is 0 the gradient has never been other than 0 (or so small that its square is 0 in this precision);
        the first term is then its limit, 0, and what remains is
        (1-beta1) / (c1 epsilon), which is exact and finite but large, 1e7 at the default epsilon and c1 = 1: such a
        weight has a say only if its v is not 0. (With beta2 = 0 alone there is a kink at g = 0; its middle is taken.)
        """
        count = state["count"] + 1
        c1, c2 = 1 - self.beta1**count, 1 - self.beta2**count
        by_square = (1 - self.beta1) * self.beta2 / (c1 * c2)
        by_mean = self.beta1 * (1 - self.beta2) / (c1 * c2)
        by_epsilon = (1 - self.beta1) * self.epsilon / c1
        clipped = clip(grads, self.clip_norm)
        out = {}
        for name, x in v.items():
            g, m, s = clipped[name], state["mean"][name], state["square"][name]
            root = (self.beta2 * s).addcmul_(g, g, value=1 - self.beta2).div_(c2).sqrt_()
            inverse = root.reciprocal().masked_fill_(root == 0, 0)
            d = root + self.epsilon
            # g · inverse is bounded, m · g is not: in this order no product overflows.
            slope = (g * inverse).mul_(m).mul_(-by_mean).addcmul_(s, inverse, value=by_square).add_(by_epsilon)
            out[name] = slope.div_(d).div_(d).mul_(x).mul_(-self.rate * rate_scale)
        return clip_vjp(out, grads, self.clip_norm)
