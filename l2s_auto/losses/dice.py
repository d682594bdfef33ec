"""Soft Dice loss (Milletari et al., 3DV 2016, with p + y in the denominator)."""

from __future__ import annotations

import torch


class SoftDice:
    """1 - mean over samples and foreground classes of 2 Σ p y / (Σ p + Σ y), sums over voxels; in [0, 1].

    smooth (voxels) is added to numerator and denominator, so that a class that is absent and not predicted costs
    nothing and has a gradient.
    """

    def __init__(self, *, smooth: float = 1.0) -> None:
        if smooth <= 0:
            raise ValueError(f"smooth must be positive, not {smooth}")
        self.smooth = smooth

    def __call__(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        probability = logits.softmax(1)
        one_hot = torch.zeros_like(probability).scatter_(1, target[:, None], 1.0)
        axes = list(range(2, logits.ndim))
        overlap = (probability * one_hot).sum(axes)[:, 1:]
        total = (probability.sum(axes) + one_hot.sum(axes))[:, 1:]
        return 1 - ((2 * overlap + self.smooth) / (total + self.smooth)).mean()
