"""One small matrix an axis, applied to images of any number of spatial axes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch


def along_axes(image: torch.Tensor, matrices: Sequence[torch.Tensor]) -> torch.Tensor:
    """(B, C, n_1, ..., n_D) and, for each axis d, (m_d, n_d) or (B, m_d, n_d) -> (B, C, m_1, ..., m_D)."""
    for axis, matrix in enumerate(matrices):
        batch, channels, *shape = image.shape
        before, behind, rows = shape[:axis], shape[axis + 1 :], matrix.shape[-2]
        if behind:
            # All axes behind are one: a product of matrices for each index in front.
            flat = image.reshape(batch, -1, shape[axis], math.prod(behind))
            made = (matrix[:, None] if matrix.ndim == 3 else matrix) @ flat
        else:
            made = image.reshape(batch, -1, shape[axis]) @ matrix.mT
        image = made.reshape(batch, channels, *before, rows, *behind)
    return image
