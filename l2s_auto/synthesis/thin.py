"""Label maps read at the nearest voxel, without losing what is one voxel thin.

Where a deformation makes a structure smaller, the points that are read lie more than a voxel apart, and a sheet or tube
of one voxel falls between them here and there. Each voxel of the output stands for a cell of the box, as far as halfway
to the next points. So it takes a thin label whose voxel's centre is in its cell, even if another voxel's is nearer.
Sheets and tubes whose voxels share faces then stay connected, and become little thicker.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import reduce
from itertools import product

import torch

from l2s_auto.core.constants import constant

#: Voxels whose centres are on the border of a cell belong to it, whatever the rounding.
_ROUNDING = 1e-3
_everywhere: ContextVar[bool] = ContextVar("everywhere", default=False)
#: How much larger cells are for tubes, which break where a sheet only has a hole.
TUBE = 1.15


def warp_labels(labels: torch.Tensor, positions: torch.Tensor, slope: torch.Tensor | None = None) -> torch.Tensor:
    """Labels at positions in the box; outside of it its border continues.

    labels     (B, *box) integers, quickest as uint8
    positions  (B, D, *shape) voxels of the box
    slope      (B, D, D, *coarse) derivative of the positions (`deform.jacobian`), with which thin labels are kept.
               None: the nearest voxel alone
    -> (B, *shape), of the labels' type
    """
    nearest = positions.round()
    for axis, n in enumerate(labels.shape[1:]):
        nearest[:, axis].clamp_(0, n - 1)
    index = flat_index(nearest, labels.shape)
    out = labels.flatten().index_select(0, index.flatten())
    if slope is not None:
        keep = _keep_thin_everywhere if _everywhere.get() else _keep_thin
        keep(out, _Reading(labels, index, positions, nearest, Cells(slope, index.shape)))
    return out.view(index.shape)


@contextmanager
def without_waiting() -> Iterator[None]:
    """Meanwhile labels are warped in steps whose number and sizes do not depend on what is found, as a graph asks for.

    There are more of them, and the labels are the same.
    """
    before = _everywhere.set(True)
    try:
        yield
    finally:
        _everywhere.reset(before)


def thin_axes(labels: torch.Tensor) -> torch.Tensor:
    """(B, *box) labels -> uint8 of the same shape: along how many axes a label is one voxel thin (a tube: 2)."""
    thin = torch.zeros(labels.shape, dtype=torch.uint8, device=labels.device)
    for axis in range(1, labels.ndim):
        n = labels.shape[axis]
        if n < 3:
            continue
        changes = labels.narrow(axis, 1, n - 1) != labels.narrow(axis, 0, n - 1)
        both = changes.narrow(axis, 1, n - 2) & changes.narrow(axis, 0, n - 2)
        thin.narrow(axis, 1, n - 2).add_(both.view(torch.uint8))
    return thin


def beside(thin: torch.Tensor) -> torch.Tensor:
    """Voxels inside the box that are not thin themselves and have a thin one among their neighbours: bool."""
    found, inside = thin, (slice(None), *(slice(1, -1) if n >= 3 else slice(None) for n in thin.shape[1:]))
    for axis in (axis for axis in range(1, thin.ndim) if thin.shape[axis] >= 3):
        n = thin.shape[axis]
        pairs = found.narrow(axis, 1, n - 1) | found.narrow(axis, 0, n - 1)
        found = pairs.narrow(axis, 1, n - 2) | pairs.narrow(axis, 0, n - 2)
    out = torch.zeros_like(thin)
    torch.logical_and(found, ~thin[inside], out=out[inside])
    return out


def flat_index(nearest: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """(B, D, *S) whole voxels of the boxes, `shape` (B, *box) -> (B, *S) int32 index into the flat boxes."""
    assert shape.numel() < 2**31, f"boxes of {tuple(shape)} are too large"
    whole = nearest.to(torch.int32)
    index = torch.arange(shape[0], dtype=torch.int32, device=nearest.device).view(-1, *[1] * (nearest.ndim - 2))
    for axis, n in enumerate(shape[1:]):
        index = index * n + whole[:, axis]
    return index


def inverse(matrices: torch.Tensor) -> torch.Tensor:
    """(B, D, D, …) invertible matrices, D 2 or 3 -> their inverses, by cofactors."""
    if matrices.shape[1] == 2:
        (a, b), (c, d) = (row.unbind(1) for row in matrices.unbind(1))
        return torch.stack([torch.stack([d, -b], 1), torch.stack([-c, a], 1)], 1) / (a * d - b * c)[:, None, None]
    x, y, z = matrices.unbind(2)
    rows = [torch.linalg.cross(y, z, dim=1), torch.linalg.cross(z, x, dim=1), torch.linalg.cross(x, y, dim=1)]
    return torch.stack(rows, 1) / (x * rows[0]).sum(1)[:, None, None]


class Cells:
    """What each voxel of the output stands for: halfway to the next points, or half a voxel of the box if that is more.

    slope  (B, D, D, *coarse) derivative of the positions
    shape  (B, *shape) of the output
    """

    def __init__(self, slope: torch.Tensor, shape: torch.Size) -> None:
        dims, back = slope.shape[1], inverse(slope)
        half = back.abs().amax(2).clamp_min(1) / 2 + _ROUNDING  # in voxels of the output
        self.shape, self.coarse = shape, slope.shape[3:]
        #: (B, D) In no cell of an image is a voxel's centre farther away than this, in voxels of the box.
        self.reach = TUBE * (slope.abs() * half[:, None]).sum(2).flatten(2).amax(2)
        self._back, self._half = back.movedim(0, 2).flatten(2), half.movedim(0, 1).flatten(1)
        assert self._back.shape[:2] == (dims, dims)

    def hold(self, near: torch.Tensor, apart: torch.Tensor, widened: torch.Tensor) -> torch.Tensor:
        """Whether points are in the cells of voxels.

        near     (N,) of the voxels, as `nearest` gives it
        apart    (D, N) where the point is from that voxel's position, voxels of the box
        widened  (N,) how much larger the cell is
        -> (N,) bool
        """
        span = (self._back.index_select(2, near) * apart).sum(1).abs()
        return (span <= self._half.index_select(1, near) * widened).all(0)

    def nearest(self, at: torch.Tensor) -> torch.Tensor:
        """(N,) index into the flat output -> that of the nearest point in flat (B, *coarse)."""
        index, size = torch.zeros_like(at), 1
        for n, points in zip(reversed(self.shape[1:]), reversed(self.coarse), strict=True):
            index = index + ((at % n) * ((points - 1) / max(n - 1, 1))).round().long() * size
            at, size = at // n, size * points
        return index + at * size


@dataclass(frozen=True)
class _Reading:
    """What `warp_labels` reads, and where.

    labels              (B, *box)
    index               (B, *shape) into the flat labels, of the nearest voxels
    positions, nearest  (B, D, *shape) voxels of the box
    """

    labels: torch.Tensor
    index: torch.Tensor
    positions: torch.Tensor
    nearest: torch.Tensor
    cells: Cells


def _keep_thin(out: torch.Tensor, read: _Reading) -> None:
    """Exchange in `out`, (N,) labels of the nearest voxels, those in whose cells the centre of a thin neighbour is.

    There are few. So what costs more is done for fewer: voxels beside a thin one, then those whose neighbour on the
    side of their position is thin, then those in whose cell it is.
    """
    labels, index, cells = read.labels, read.index, read.cells
    thin, values = thin_axes(labels), labels.flatten()
    at = beside(thin > 0).flatten().index_select(0, index.flatten()).nonzero()[:, 0]
    thin, base, sample = thin.flatten(), index.flatten().index_select(0, at), at // index[0].numel()
    apart = torch.stack(
        [
            p.flatten().index_select(0, at) - q.flatten().index_select(0, at)
            for p, q in zip(read.positions.unbind(1), read.nearest.unbind(1), strict=True)
        ]
    )
    side, far = apart.sign(), apart.abs() >= 1 - cells.reach.T.index_select(1, sample)
    step = (side * constant(labels[0].stride(), at.device)[:, None]).to(base.dtype)
    for move in _moves(labels.shape[1:]):
        axes = [axis for axis, one in enumerate(move) if one]
        neighbour = reduce(torch.add, [step[axis] for axis in axes], base)
        found = reduce(torch.logical_and, [far[axis] for axis in axes], thin.index_select(0, neighbour) > 0)
        some = found.nonzero()[:, 0]
        where, source = at.index_select(0, some), neighbour.index_select(0, some)
        steps = side.index_select(1, some) * constant(move, side.device, side.dtype)[:, None]
        there = steps - apart.index_select(1, some)
        widened = torch.where(thin.index_select(0, source) > 1, TUBE, 1.0)
        inside = cells.hold(cells.nearest(where), there, widened).nonzero()[:, 0]
        out.index_copy_(0, where.index_select(0, inside), values.index_select(0, source.index_select(0, inside)))


def _keep_thin_everywhere(out: torch.Tensor, read: _Reading) -> None:
    """As `_keep_thin`, for all voxels alike, image by image: an accelerator need not be waited for to know how few.

    What `_keep_thin` passes over for not being beside a thin voxel is here not exchanged for the same reason.
    """
    labels, index, cells = read.labels, read.index, read.cells
    thin, values = thin_axes(labels), labels.flatten()
    near, thin = beside(thin > 0).flatten(), thin.flatten()
    strides = labels[0].stride()
    count = index[0].numel()
    for number in range(len(index)):
        base = index[number].flatten()
        cell = cells.nearest(torch.arange(number * count, (number + 1) * count, device=index.device))
        apart = (read.positions[number] - read.nearest[number]).flatten(1)
        side, far = apart.sign(), apart.abs() >= 1 - cells.reach[number][:, None]
        found_here = out.narrow(0, number * count, count)
        is_near = near.index_select(0, base)
        for move in _moves(labels.shape[1:]):
            neighbour, wanted = base, is_near
            for axis in (axis for axis, one in enumerate(move) if one):
                neighbour = neighbour + (side[axis] * strides[axis]).to(base.dtype)
                wanted = wanted & far[axis]
            neighbour = torch.where(wanted, neighbour, base)  # others may lie outside of the boxes
            thinness = thin.index_select(0, neighbour)
            there = side * constant(move, side.device, side.dtype)[:, None] - apart
            inside = cells.hold(cell, there, torch.where(thinness > 1, TUBE, 1.0))
            exchanged = wanted & (thinness > 0) & inside
            found_here.copy_(torch.where(exchanged, values.index_select(0, neighbour), found_here))


def _moves(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Which axes to go along to a neighbour, the farthest neighbours first."""
    open_axes = [(0, 1) if n >= 3 else (0,) for n in shape]
    return sorted(product(*open_axes), key=sum, reverse=True)[:-1]
