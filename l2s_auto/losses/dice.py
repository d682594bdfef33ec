"""Soft Dice loss (Milletari et al., 3DV 2016, with p + y in the denominator)."""

from __future__ import annotations

import torch


class SoftDice:
    """1 - mean over samples and foreground classes of 2 Σ p y / (Σ p + Σ y), sums over voxels; in [0, 1].

    smooth  voxels that are added to numerator and denominator, so that a class that is absent and not predicted costs
            nothing and has a gradient
    absent  whether the mean of a sample is over classes that it lacks too. The gradient of an absent class is largest
            where next to nothing of it is predicted, so that a class that most samples lack may never be predicted.
    """

    def __init__(self, *, smooth: float = 1.0, absent: bool = True) -> None:
        if smooth <= 0:
            raise ValueError(f"smooth must be positive, not {smooth}")
        self.smooth, self.absent = smooth, absent

    def __call__(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        probability = logits.softmax(1)
        one_hot = torch.zeros_like(probability).scatter_(1, target[:, None], 1.0)
        axes = list(range(2, logits.ndim))
        overlap = (probability * one_hot).sum(axes)[:, 1:]
        voxels = one_hot.sum(axes)[:, 1:]
        total = probability.sum(axes)[:, 1:] + voxels
        cost = 1 - (2 * overlap + self.smooth) / (total + self.smooth)
        if self.absent:
            return cost.mean()
        present = (voxels > 0).to(cost.dtype)
        return ((cost * present).sum(1) / present.sum(1).clamp(min=1)).mean()
