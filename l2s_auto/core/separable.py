"""Linear maps along the axes of an image, and the spline that their matrices are made of.

A matrix of n x n numbers holds any kernel, with another one for each image and its borders treated exactly, and is
applied by one multiplication of matrices.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch


def along_axes(image: torch.Tensor, matrices: Sequence[torch.Tensor]) -> torch.Tensor:
    """(B, C, n1, …, nD) image, one (m, n) or (B, m, n) matrix an axis -> (B, C, m1, …, mD).

    Each multiplication takes the first axis of space and puts it last, so that in the end the order is as before.
    """
    batch, channels = image.shape[:2]
    image = image.flatten(0, 1)
    for matrix in matrices:
        if matrix.ndim == 3:
            assert len(matrix) == batch, f"{len(matrix)} matrices for a batch of {batch}"
            matrix = matrix.repeat_interleave(channels, 0) if channels > 1 else matrix
        rest = image.shape[2:]
        image = (image.reshape(*image.shape[:2], -1).transpose(1, 2) @ matrix.mT).reshape(
            len(image), *rest, matrix.shape[-2]
        )
    return image.unflatten(0, (batch, channels))


def cubic_spline(distance: torch.Tensor) -> torch.Tensor:
    """The uniform cubic B-spline at a distance from its centre, in intervals between knots; 0 from 2 on."""
    far = distance.abs()
    return torch.where(far < 1, 2 / 3 - far**2 + far**3 / 2, (2 - far).clamp_min(0) ** 3 / 6)
