"""The spacing at which a patch shows enough of a case, for data of which it shows little."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from l2s_auto.core.plan import Triple, Voxels

ENOUGH = 0.25  # of a usual case's voxels in a patch, as in nnU-Net
COARSER = 1.03  # a step, as in nnU-Net
ALIKE = 2.0  # spacings within this factor grow together; before, the finer ones alone do


def share_in_patch(median: Voxels, patch: Voxels) -> float:
    """Part of a usual case that a patch holds, at most 1."""
    return math.prod(min(n, p) for n, p in zip(median, patch, strict=True)) / math.prod(median)


def low_resolution(median: Voxels, spacing: Triple, *, patch_at: Callable[[Triple], Voxels]) -> Triple | None:
    """The finest spacing, in mm, at which a patch holds a quarter of a usual case; None if it does at `spacing`.

    median    voxels of a usual case at `spacing`
    patch_at  spacing in mm -> the patch that would be planned for it
    """
    extent = np.array(median) * spacing
    now = np.array(spacing, dtype=float)

    def enough() -> bool:
        x, y, z = (max(1, round(float(n))) for n in extent / now)
        return share_in_patch((x, y, z), patch_at((float(now[0]), float(now[1]), float(now[2])))) >= ENOUGH

    if enough():
        return None
    # A voxel as large as the case ends the search in any case.
    while not enough() and now.min() < extent.max():
        fine = now < now.max() / ALIKE
        now[fine if fine.any() else slice(None)] *= COARSER
    x, y, z = (round(float(s), 3) for s in now)
    return x, y, z
