"""Logits back to a scan's own grid. Slab by slab, since all classes on a large grid do not fit into memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from l2s_auto.core.plan import Plan
from l2s_auto.preprocessing.geometry import Geometry

if TYPE_CHECKING:
    import torch

_SLAB = 2**25  # numbers of a slab of logits: 128 MiB in float32


def restore_logits(logits: torch.Tensor, geometry: Geometry, plan: Plan) -> np.ndarray:
    """(K, *S) logits on the plan's grid -> (X, Y, Z) int32 original label values on the scan's own grid.

    Logits are interpolated linearly before the largest is taken, which gives smooth borders on a finer grid.
    Beside the logits and the result, memory is that of one slab whatever the number of classes.
    """
    assert len(logits) == len(plan.labels), f"{len(plan.labels)} labels need as many logits, not {len(logits)}"
    classes = np.empty(geometry.cropped, dtype=np.int16)
    for rows, slab in _slabs(logits, geometry):
        classes[rows] = slab.argmax(dim=0).to("cpu").numpy()
    values = np.asarray(plan.label_values, dtype=np.int32)
    return geometry.leave(values[classes], fill=plan.label_values[0])


def restore_probabilities(logits: torch.Tensor, geometry: Geometry, plan: Plan) -> np.ndarray:
    """(K, *S) logits on the plan's grid -> (K, X, Y, Z) float32 probabilities on the scan's own grid, sum 1.

    Outside of what was cropped away all is background. Memory grows with K times the full grid.
    """
    assert len(logits) == len(plan.labels), f"{len(plan.labels)} labels need as many logits, not {len(logits)}"
    inside = np.empty((len(logits), *geometry.cropped), dtype=np.float32)
    for rows, slab in _slabs(logits, geometry):
        inside[:, rows] = slab.softmax(dim=0).to("cpu").numpy()
    whole = np.empty((len(logits), *geometry.shape), dtype=np.float32)
    for index, part in enumerate(inside):
        whole[index] = geometry.leave(part, fill=1.0 if index == 0 else 0.0)
    return whole


def _slabs(logits: torch.Tensor, geometry: Geometry) -> Iterator[tuple[slice, torch.Tensor]]:
    """Float32 logits on the cropped grid, in slabs along its first axis: (rows, (K, rows, Y, Z))."""
    classes, *source = logits.shape
    assert tuple(source) == geometry.resampled, f"the plan's grid is {geometry.resampled}, not {tuple(source)}"
    size, across, along = geometry.cropped
    thickness = max(1, _SLAB // (classes * max(across, source[1]) * max(along, source[2])))
    for start in range(0, size, thickness):
        rows = slice(start, min(size, start + thickness))
        yield rows, _slab(logits, rows, geometry)


def _slab(logits: torch.Tensor, rows: slice, geometry: Geometry) -> torch.Tensor:
    """Linear interpolation with aligned corners of voxels, as in `resample`."""
    import torch
    from torch.nn.functional import interpolate

    size, across, along = geometry.cropped
    old = logits.shape[1]
    if old == size:
        slab = logits[:, rows].float()
    else:
        centres = (torch.arange(rows.start, rows.stop, dtype=torch.float64) + 0.5) * old / size - 0.5
        centres = centres.clamp(0, old - 1)
        below = centres.floor().long()
        weight = (centres - below).to(logits.device, torch.float32)[None, :, None, None]
        above = (below + 1).clamp(max=old - 1)
        slab = torch.lerp(
            logits.index_select(1, below.to(logits.device)).float(),
            logits.index_select(1, above.to(logits.device)).float(),
            weight,
        )
    if slab.shape[2:] == (across, along):
        return slab
    return interpolate(slab, size=(across, along), mode="bilinear", align_corners=False)
