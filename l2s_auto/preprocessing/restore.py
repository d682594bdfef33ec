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
    placed = geometry.leave(classes, fill=0)  # before the values, which take twice the memory
    del classes
    return np.asarray(plan.label_values, dtype=np.int32)[placed]


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


class Planes:
    """From slabs on the plan's grid, in order along an axis, to the planes of the cropped grid that they complete."""

    def __init__(self, geometry: Geometry, *, axis: int = 0) -> None:
        self.geometry, self.axis, self.done = geometry, axis, 0
        self.others = math.prod(n for other, n in enumerate(geometry.cropped) if other != axis)
        self._held: torch.Tensor | None = None  # the last plane of the slab before
        self._axes: list[_Between] = []

    def add(self, slab: Slab, *, most: int) -> Iterator[tuple[slice, torch.Tensor, list[_Between]]]:
        """A slab -> runs of finished planes, of about `most` voxels at most; logits around; where they lie there."""
        import torch

        planes, logits = slab
        grids = zip(self.geometry.resampled, self.geometry.cropped, strict=True)
        self._axes = self._axes or [_Between.of(old, new, logits.device) for old, new in grids]
        block = logits if self._held is None else torch.cat([self._held, logits], self.axis + 1)
        base = planes.stop - block.shape[self.axis + 1]
        ready = int((self._axes[self.axis].above < planes.stop).sum())  # `above` rises along the axis
        thickness = max(1, most // self.others)
        for start in range(self.done, ready, thickness):
            rows = slice(start, min(ready, start + thickness))
            yield rows, block, [a.part(rows, base) if n == self.axis else a for n, a in enumerate(self._axes)]
        self.done = max(self.done, ready)
        self._held = block.narrow(self.axis + 1, block.shape[self.axis + 1] - 1, 1).clone()

    def check(self) -> None:
        """To be called after the last slab."""
        assert self.done == self.geometry.cropped[self.axis], (
            f"slabs of the plan's grid {self.geometry.resampled} end early"
        )


def _restored(slabs: Iterable[Slab], geometry: Geometry, classes: int, axis: int) -> Iterator[tuple[slice, np.ndarray]]:
    """Finished planes of the cropped grid along the axis, and their classes."""
    planes = Planes(geometry, axis=axis)
    for slab in slabs:
        assert len(slab[1]) == classes, f"{classes} labels need as many logits, not {len(slab[1])}"
        for rows, block, around in planes.add(slab, most=_ROWS):
            yield rows, _classes(block, around).cpu().numpy()
    planes.check()


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


def probabilities_of(slab: Slab, planes: Planes) -> Iterator[tuple[slice, torch.Tensor]]:
    """A slab of logits -> runs of finished planes of the cropped grid, and their (K, *N) float32 probabilities."""
    import torch

    for rows, block, around in planes.add(slab, most=max(1, _SLAB // len(slab[1]))):
        found = block
        for axis, own in enumerate(around, start=1):
            below, above = found.index_select(axis, own.below).float(), found.index_select(axis, own.above).float()
            found = torch.lerp(below, above, own.share.view([-1 if n == axis else 1 for n in range(4)]))
        yield rows, found.softmax(dim=0)
