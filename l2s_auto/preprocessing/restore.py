"""Logits back to a scan's own grid. Slab by slab, since all classes on a large grid do not fit into memory."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from l2s_auto.core.plan import Plan
from l2s_auto.preprocessing.geometry import Geometry

if TYPE_CHECKING:
    import torch

    #: Planes along an axis of the plan's grid, and their (K, *slab) logits.
    Slab = tuple[slice, torch.Tensor]

_SLAB = 2**25  # numbers of a slab of logits: 128 MiB in float32
_ROWS = 2**24  # voxels of the scan that are looked at together


def restore_logits(logits: torch.Tensor, geometry: Geometry, plan: Plan) -> np.ndarray:
    """(K, *S) logits on the plan's grid -> (X, Y, Z) int32 original label values on the scan's own grid."""
    return restore_slabs([(slice(0, logits.shape[1]), logits)], geometry, plan)


def restore_slabs(slabs: Iterable[Slab], geometry: Geometry, plan: Plan, *, axis: int = 0) -> np.ndarray:
    """Slabs of logits on the plan's grid, in order along the axis -> (X, Y, Z) int32 original label values.

    Logits are interpolated linearly before the largest is taken, which gives smooth borders on a finer grid. Between
    voxels of one class that class stays the largest, so only what lies between voxels of different classes is
    interpolated, and of the classes those that win in one of the voxels around; with few classes, all.
    Memory is that of a slab, and of the scan without its classes.
    """
    classes = np.empty(geometry.cropped, dtype=np.int16)
    for planes, found in _restored(slabs, geometry, len(plan.labels), axis):
        place = [slice(None)] * 3
        place[axis] = planes
        classes[tuple(place)] = found
    values = np.asarray(plan.label_values, dtype=np.int32)
    return geometry.leave(values[classes], fill=plan.label_values[0])


@dataclass(frozen=True)
class _Between:
    """Where the voxels of a scan lie along an axis of the plan's grid: (N,) the voxels around, and the second's share.

    Grids are aligned at the corners of their outermost voxels, as in `resample`.
    """

    below: torch.Tensor
    above: torch.Tensor
    share: torch.Tensor

    @classmethod
    def of(cls, old: int, new: int, device: torch.device) -> _Between:
        import torch

        centres = ((torch.arange(new, dtype=torch.float64) + 0.5) * old / new - 0.5).clamp(0, old - 1)
        below = centres.floor()
        share = centres - below
        above = torch.where(share > 0, below + 1, below)
        return cls(below.long().to(device), above.long().to(device), share.float().to(device))

    def part(self, which: slice | torch.Tensor, base: int = 0) -> _Between:
        """Of some of the voxels; base: the first voxel of what is at hand of the plan's grid."""
        return _Between(self.below[which] - base, self.above[which] - base, self.share[which])


def _restored(slabs: Iterable[Slab], geometry: Geometry, classes: int, axis: int) -> Iterator[tuple[slice, np.ndarray]]:
    """Finished planes of the cropped grid along the axis, and their classes."""
    import torch

    held: torch.Tensor | None = None  # the last plane of the slab before
    done, axes = 0, None
    for planes, logits in slabs:
        assert len(logits) == classes, f"{classes} labels need as many logits, not {len(logits)}"
        if axes is None:
            axes = [_Between.of(o, n, logits.device) for o, n in zip(geometry.resampled, geometry.cropped, strict=True)]
            highest = axes[axis].above.cpu()
        block = logits if held is None else torch.cat([held, logits], axis + 1)
        base = planes.stop - block.shape[axis + 1]
        ready = int((highest < planes.stop).sum())  # `above` rises along the axis
        others = math.prod(n for other, n in enumerate(geometry.cropped) if other != axis)
        thickness = max(1, _ROWS // others)
        for start in range(done, ready, thickness):
            rows = slice(start, min(ready, start + thickness))
            around = [part.part(rows, base) if n == axis else part for n, part in enumerate(axes)]
            yield rows, _classes(block, around).cpu().numpy()
        done = max(done, ready)
        held = block.narrow(axis + 1, block.shape[axis + 1] - 1, 1).clone()
    assert done == geometry.cropped[axis], f"slabs of the plan's grid {geometry.resampled} end early"


def _classes(block: torch.Tensor, axes: list[_Between]) -> torch.Tensor:
    """(K, *S) logits -> (*N) int16 the class of the largest interpolated logit at voxels between those of the block."""
    import torch

    winners = block.argmax(0).to(torch.int16)
    found, alike = winners, None
    for axis, around in enumerate(axes):
        first, second = found.index_select(axis, around.below), found.index_select(axis, around.above)
        same = first == second
        if alike is not None:
            same &= alike.index_select(axis, around.below)
            same &= alike.index_select(axis, around.above)
        found, alike = first, same
    assert alike is not None
    place = (~alike).nonzero(as_tuple=True)
    for start in range(0, len(place[0]), _ROWS // 8):
        some = tuple(axis[start : start + _ROWS // 8] for axis in place)
        found[some] = _interpolated(block, winners, [axes[n].part(at) for n, at in enumerate(some)])
    return found


def _interpolated(block: torch.Tensor, winners: torch.Tensor, axes: list[_Between]) -> torch.Tensor:
    """(N,) int16 classes of N voxels, each between eight of the block."""
    import torch

    _, y, z = winners.shape
    corners, weights = [], []
    for sides in product((False, True), repeat=3):
        x_at, y_at, z_at = (a.above if far else a.below for a, far in zip(axes, sides, strict=True))
        corners.append((x_at * y + y_at) * z + z_at)
        near = [a.share if far else 1 - a.share for a, far in zip(axes, sides, strict=True)]
        weights.append(near[0] * near[1] * near[2])
    flat, won = block.reshape(len(block), -1), winners.reshape(-1)
    few = len(block) <= len(corners)
    candidates = (
        [torch.full_like(corners[0], k) for k in range(len(block))] if few else [won[c].long() for c in corners]
    )
    best = torch.full(corners[0].shape, -math.inf, device=block.device)
    found = torch.zeros(corners[0].shape, dtype=torch.int64, device=block.device)
    for candidate in candidates:
        value = sum(
            (flat[candidate, corner].float() * weight for corner, weight in zip(corners, weights, strict=True)),
            start=torch.zeros((), device=block.device),
        )
        better = (value > best) | ((value == best) & (candidate < found))
        best = torch.where(better, value, best)
        found = torch.where(better, candidate, found)
    return found.to(torch.int16)


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
    around = _Between.of(logits.shape[1], size, logits.device).part(rows)
    slab = torch.lerp(
        logits.index_select(1, around.below).float(),
        logits.index_select(1, around.above).float(),
        around.share[None, :, None, None],
    )
    if slab.shape[2:] == (across, along):
        return slab
    return interpolate(slab, size=(across, along), mode="bilinear", align_corners=False)
