"""Cross-entropy, the mean over voxels."""

from __future__ import annotations

import torch
from torch.nn import functional


class CrossEntropy:
    """-log p of the right class, mean over batch and voxels; >= 0."""

    def __call__(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(logits, target)
