"""Voxels that nobody labelled cost nothing, whatever the loss."""

from __future__ import annotations

import torch

from l2s_auto.core.protocols import Loss

#: Logit of background, and minus that of all else: a probability of 1 in float32.
CERTAIN = 30.0


class Ignoring:
    """A loss of which voxels whose target is the number of classes are no part.

    There the network is taken to have said background, and to be right: no loss knows of a foreground, and no gradient
    flows. A mean over all voxels counts these as perfect.
    """

    def __init__(self, loss: Loss) -> None:
        self.loss = loss

    def __call__(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        ignored = target == logits.shape[1]
        certain = torch.full_like(logits, -CERTAIN)
        certain[:, 0] = CERTAIN
        return self.loss(torch.where(ignored[:, None], certain, logits), target.masked_fill(ignored, 0))
