"""Regions of several labels, as in nnU-Net's region-based training: learned as what they are scored as."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from l2s_auto.core.protocols import Loss


class WithRegions:
    """A loss, plus 1 - the mean soft Dice over the regions that a sample has, in the mean of the samples.

    The network tells labels apart, and a region's probability is the sum of its labels'. So label maps keep their
    values, and regions may overlap.

    regions  indices of the output classes that make up each
    """

    def __init__(self, loss: Loss, regions: Sequence[Sequence[int]], *, smooth: float = 1.0) -> None:
        self.loss, self.regions, self.smooth = loss, [tuple(region) for region in regions], smooth

    def __call__(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        probability = logits.softmax(1)
        axes = list(range(1, target.ndim))
        costs, there = [], []
        for region in self.regions:
            inside = torch.isin(target, torch.tensor(region, device=target.device)).to(probability.dtype)
            found = probability[:, list(region)].sum(1)
            overlap, total = (found * inside).sum(axes), (found + inside).sum(axes)
            costs.append(1 - (2 * overlap + self.smooth) / (total + self.smooth))
            there.append(inside.flatten(1).amax(1))
        cost, present = torch.stack(costs, 1), torch.stack(there, 1)
        return self.loss(logits, target) + ((cost * present).sum(1) / present.sum(1).clamp(min=1)).mean()
