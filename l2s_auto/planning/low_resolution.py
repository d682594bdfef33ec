"""The spacing at which a patch shows enough of a case, for data of which it shows little."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from l2s_auto.core.digits import RATIO_DIGITS, SPACING_DIGITS, extent_in, relative, significant
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
    unit, edges = min(spacing), relative(spacing)  # counted in the finest edge, so that every unit gives the same
    extent = np.array(median) * edges
    now = np.array(edges, dtype=float)

    def at(coarse: np.ndarray) -> Triple:
        x, y, z = (significant(significant(float(n), RATIO_DIGITS) * unit, SPACING_DIGITS) for n in coarse)
        return x, y, z

    def enough() -> bool:
        x, y, z = (max(1, round(extent_in(n, s, t))) for n, s, t in zip(median, edges, now.tolist(), strict=True))
        return share_in_patch((x, y, z), patch_at(at(now))) >= ENOUGH

    if enough():
        return None
    # A voxel as large as the case ends the search in any case.
    while not enough() and now.min() < extent.max():
        fine = now < now.max() / ALIKE
        now[fine if fine.any() else slice(None)] *= COARSER
    return at(now)
