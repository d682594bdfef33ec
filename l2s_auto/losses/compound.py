"""Dice and cross-entropy together, as nnU-Net found it to be robust."""

from __future__ import annotations

import torch

from l2s_auto.losses.cross_entropy import CrossEntropy
from l2s_auto.losses.dice import SoftDice


class DiceCrossEntropy:
    """dice_weight · soft Dice + cross_entropy_weight · cross-entropy.

    smooth, absent  as of `SoftDice`; cross-entropy keeps classes from where they are not
    """

    def __init__(
        self,
        *,
        dice_weight: float = 1.0,
        cross_entropy_weight: float = 1.0,
        smooth: float = 1.0,
        absent: bool = False,
    ) -> None:
        self.dice, self.cross_entropy = SoftDice(smooth=smooth, absent=absent), CrossEntropy()
        self.dice_weight, self.cross_entropy_weight = dice_weight, cross_entropy_weight

    def __call__(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return self.dice_weight * self.dice(logits, target) + self.cross_entropy_weight * self.cross_entropy(
            logits, target
        )
