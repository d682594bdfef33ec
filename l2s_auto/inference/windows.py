"""Where the windows of a volume lie, and how much each counts where they overlap."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import torch

from l2s_auto.core.errors import UserError


def window_starts(extent: int, patch: int, *, overlap: float) -> list[int]:
    """First voxels of windows along an axis: evenly spread, no further apart than the overlap allows, all covered."""
    assert extent >= patch, f"an axis of {extent} voxels must be padded to the patch, {patch}"
    step = max(1.0, patch * (1 - overlap))
    intervals = math.ceil((extent - patch) / step)
    return [round(i * (extent - patch) / max(1, intervals)) for i in range(intervals + 1)]


def window_slices(shape: Sequence[int], patch: Sequence[int], *, overlap: float) -> list[tuple[slice, ...]]:
    """All windows of a volume that is at least as large as the patch."""
    starts = [window_starts(s, p, overlap=overlap) for s, p in zip(shape, patch, strict=True)]
    return [tuple(slice(b, b + p) for b, p in zip(begin, patch, strict=True)) for begin in product(*starts)]


def bell(patch: int) -> torch.Tensor:
    """(patch,) float64 Gaussian weights along an axis, largest in the middle; standard deviation patch / 8.

    A network knows least near the border of its window, where it lacks context; so windows are blended with weights
    that fall from the centre (Isensee et al., nnU-Net, Nature Methods 2021). The centre is voxel patch // 2 also where
    the patch is even, as nnU-Net has it: half a voxel beside the middle, but the same model gives the same in both.
    """
    offset = torch.arange(patch, dtype=torch.float64) - patch // 2
    return torch.exp(-0.5 * (offset / (patch / 8)) ** 2)


def shares(extent: int, patch: int, starts: Sequence[int]) -> list[torch.Tensor]:
    """For each window along an axis, (patch,) how much it counts at each of its voxels; over the windows they sum to 1.

    Windows lie on a product of such starts, so the share of a window in a voxel is the product over the axes.
    """
    weight, total = bell(patch), torch.zeros(extent, dtype=torch.float64)
    for start in starts:
        total[start : start + patch] += weight
    return [(weight / total[start : start + patch]).float() for start in starts]


def check_overlap(overlap: float) -> None:
    """UserError unless overlap is in [0, 1)."""
    if not 0 <= overlap < 1:
        raise UserError.single(
            "The overlap of the windows is out of range.",
            where="--overlap",
            found=str(overlap),
            expected="a number from 0 up to, but not including, 1",
            mend="Use 0.5, or 0.25 for speed.",
        )
