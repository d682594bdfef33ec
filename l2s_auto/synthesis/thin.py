"""Label maps read at the nearest voxel, without losing what is one voxel thin.

Where a deformation makes a structure smaller, the points that are read lie more than a voxel apart, and a sheet or tube of
one voxel falls between them here and there. Each voxel of the output stands for a cell of the box, as far as halfway to the
next points. So it takes a thin label whose voxel's centre is in its cell, even if the centre of another voxel is nearer.
What is thin in the output is then connected where it was in the box, and no thicker than it has to be.
"""

from __future__ import annotations

from itertools import product

import torch

#: Voxels whose centres are on the border of a cell belong to it, whatever the rounding.
_ROUNDING = 1e-3
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
    last = positions.new_tensor([n - 1 for n in labels.shape[1:]]).view(-1, *[1] * (labels.ndim - 1))
    nearest = positions.round().clamp_min(0).minimum(last)
    index = flat_index(nearest, labels.shape)
    out = labels.flatten().index_select(0, index.flatten())
    if slope is not None:
        _keep_thin(out, labels, index, positions, nearest, slope)
    return out.view(index.shape)


def thin_axes(labels: torch.Tensor) -> torch.Tensor:
    """(B, *box) labels -> uint8 of the same shape: along how many axes a label is one voxel thin. A sheet 1, a tube 2."""
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
    found = thin
    for axis in range(1, thin.ndim):
        n = found.shape[axis]
        grown = found.clone()
        grown.narrow(axis, 1, n - 1).logical_or_(found.narrow(axis, 0, n - 1))
        grown.narrow(axis, 0, n - 1).logical_or_(found.narrow(axis, 1, n - 1))
        found = grown
    found = found & ~thin
    for axis in (axis for axis in range(1, thin.ndim) if thin.shape[axis] >= 3):
        found.select(axis, 0).zero_()
        found.select(axis, -1).zero_()
    return found


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


def _half_cell(back: torch.Tensor) -> torch.Tensor:
    """Half of a cell, in voxels of the output: of one of them, or of what a voxel of the box covers if that is more.

    back  (N, D, D, …) inverse derivative -> (N, D, …)
    """
    return back.abs().amax(2).clamp_min(1) / 2 + _ROUNDING


def _keep_thin(
    out: torch.Tensor,
    labels: torch.Tensor,
    index: torch.Tensor,
    positions: torch.Tensor,
    nearest: torch.Tensor,
    slope: torch.Tensor,
) -> None:
    """Exchange in `out`, (N,) labels of the nearest voxels, those in whose cells the centre of a thin neighbour is.

    There are few. So what costs more is done for fewer: voxels beside a thin one, then those whose neighbour on the side
    of their position is thin, then those in whose cell it is.
    """
    thin, back = thin_axes(labels), inverse(slope)
    at = beside(thin > 0).flatten().index_select(0, index.flatten()).nonzero()[:, 0]
    thin, values, base = thin.flatten(), labels.flatten(), index.flatten().index_select(0, at).long()
    half = _half_cell(back)
    # In no cell of the image is a voxel's centre farther away than this.
    reach = TUBE * (slope.abs() * half[:, None]).sum(2).flatten(2).amax(2)
    sample = at // index[0].numel()
    apart = torch.stack([a.flatten().index_select(0, at) for a in (positions - nearest).unbind(1)])
    side, far = apart.sign(), apart.abs() >= 1 - reach.T.index_select(1, sample)
    stride = [labels[0].stride(axis) for axis in range(len(apart))]
    open_axes = [(0, 1) if n >= 3 else (0,) for n in labels.shape[1:]]
    for move in sorted(product(*open_axes), key=sum, reverse=True)[:-1]:
        axes = [axis for axis, one in enumerate(move) if one]
        neighbour = base + sum(side[axis].long() * stride[axis] for axis in axes)
        some = (far[axes].all(0) & (thin.index_select(0, neighbour) > 0)).nonzero()[:, 0]
        there = side[:, some] * side.new_tensor(move)[:, None] - apart[:, some]
        cell = _coarse_index(at[some], index.shape, slope.shape[3:])
        span = (_at(back, cell, 2) * there).sum(1).abs()
        widened = torch.where(thin[neighbour[some]] > 1, TUBE, 1.0)
        some = some[(span <= _at(half, cell, 1) * widened).all(0)]
        out.index_copy_(0, at[some], values[neighbour[some]])


def _coarse_index(at: torch.Tensor, shape: torch.Size, coarse: torch.Size) -> torch.Tensor:
    """(N,) index into flat (B, *shape) -> that of the nearest point in flat (B, *coarse)."""
    index, size = torch.zeros_like(at), 1
    for n, points in zip(reversed(shape[1:]), reversed(coarse), strict=True):
        index = index + ((at % n) * ((points - 1) / max(n - 1, 1))).round().long() * size
        at, size = at // n, size * points
    return index + at * size


def _at(field: torch.Tensor, index: torch.Tensor, leading: int) -> torch.Tensor:
    """(B, D, …, *coarse) field with `leading` axes after the first, (N,) index into flat (B, *coarse) -> (D, …, N)."""
    return field.movedim(0, leading).flatten(leading).index_select(leading, index)
