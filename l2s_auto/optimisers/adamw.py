"""AdamW (Loshchilov and Hutter, ICLR 2019, algorithm 2, in the form that PyTorch uses)."""

from __future__ import annotations

from l2s_auto.optimisers.adam import Adam
from l2s_auto.optimisers.ranges import check


class AdamW(Adam):
    """Adam's step from (1 - rate · weight_decay) · parameter; so its derivative by the gradient is Adam's.

    weight_decay  >= 0; the other options are Adam's
    """

    def __init__(
        self,
        *,
        rate: float = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay: float = 0.01,
        clip_norm: float | None = None,
    ) -> None:
        super().__init__(rate=rate, beta1=beta1, beta2=beta2, epsilon=epsilon, clip_norm=clip_norm)
        check("AdamW", {"weight_decay": (weight_decay, ">= 0")})
        self.weight_decay = weight_decay
