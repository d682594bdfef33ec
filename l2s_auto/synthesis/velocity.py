"""Elastic deformation as the flow of a smooth stationary velocity field, which never folds.

The velocity is a cubic B-spline of random nodes; it is integrated by scaling and squaring (Arsigny et al., A
log-Euclidean framework for statistics on diffeomorphisms, MICCAI 2006) on a grid that is coarse beside the voxels and
fine beside the nodes. Lengths are in the unit of `spacing`, whichever it is.
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from l2s_auto.core.constants import constant
from l2s_auto.core.separable import along_axes
from l2s_auto.synthesis.axes import cubic

#: Points of the coarse grid from one node to the next.
POINTS = 3
#: Doublings of the flow: it starts from 1/64 of the velocity.
SQUARINGS = 6
#: Slope of the velocity, length per length (Frobenius norm), at most.
STEEPEST = 1.0
#: A cubic B-spline of unit white nodes has, on average over positions, this standard deviation along one axis.
SPLINE_STD = 0.6924


def extents(shape: tuple[int, ...], spacing: tuple[float, ...]) -> list[float]:
    """From the first voxel's centre to the last's."""
    return [(n - 1) * s for n, s in zip(shape, spacing, strict=True)]


def nodes_of(shape: tuple[int, ...], spacing: tuple[float, ...], apart: float) -> tuple[int, ...]:
    """Nodes an axis, at most `apart` from one another, with one beyond either end; one for an axis of one voxel."""
    return tuple(1 if e == 0 else max(1, math.ceil(e / apart)) + 3 for e in extents(shape, spacing))


def coarse_shape(shape: tuple[int, ...], nodes: tuple[int, ...]) -> tuple[int, ...]:
    """Points an axis of the grid that flows are computed on."""
    return tuple(1 if m == 1 else min(n, POINTS * (m - 3) + 1) for n, m in zip(shape, nodes, strict=True))


def velocity_on(coarse: tuple[int, ...], nodes: torch.Tensor) -> torch.Tensor:
    """(B, D, *nodes) standard normal nodes -> (B, D, *coarse) field, smooth, of about unit variance."""
    matrices = []
    for points, count in zip(coarse, nodes.shape[2:], strict=True):
        if count == 1:
            matrices.append(torch.ones(points, 1, device=nodes.device, dtype=nodes.dtype))
            continue
        step = (count - 3) / (points - 1)
        position = 1 + torch.arange(points, device=nodes.device, dtype=nodes.dtype) * step
        matrices.append(cubic(position, count) / SPLINE_STD)
    return along_axes(nodes, matrices)


def gradient(field: torch.Tensor, steps: list[float]) -> torch.Tensor:
    """Derivative of a (B, D, *coarse) field on points that are `steps` apart.

    -> (B, D, D, *coarse), [:, i, j] of component i along axis j. Central differences, one-sided at
    the border; 0 along an axis of one point.
    """
    columns = []
    for axis, step in enumerate(steps):
        one = field.shape[2 + axis] == 1
        columns.append(torch.zeros_like(field) if one else torch.gradient(field, spacing=step, dim=2 + axis)[0])
    return torch.stack(columns, 2)


def gentle(velocity: torch.Tensor, extent: list[float]) -> torch.Tensor:
    """The velocity, in images where it is steeper than STEEPEST anywhere weakened to that: (B, D, *coarse).

    The flow changes no length by more than a factor e to the power of the steepest slope. Bounded so, it is resolved by
    the coarse grid and does not fold, however strong a user makes it.
    """
    steps = [e / max(n - 1, 1) for e, n in zip(extent, velocity.shape[2:], strict=True)]
    steepest = gradient(velocity, steps).square().sum((1, 2)).flatten(1).amax(1).sqrt()
    return velocity * (STEEPEST / steepest.clamp_min(STEEPEST)).view(-1, *[1] * (velocity.ndim - 1))


def flow(velocity: torch.Tensor, extent: list[float], *, squarings: int = SQUARINGS) -> torch.Tensor:
    """Displacement after unit time, by scaling and squaring; beyond the grid its border continues.

    velocity  (B, D, *coarse), on a grid that spans the box
    extent    from end to end of the grid; 0 for an axis of one point
    -> (B, D, *coarse)
    """
    dims, coarse = velocity.shape[1], velocity.shape[2:]
    where = {"device": velocity.device, "dtype": velocity.dtype}
    half = constant(tuple(max(e, 1e-6) / 2 for e in extent), **where).view(dims, *[1] * dims)
    ends = [constant((0.0,) if n == 1 else tuple(torch.linspace(-1, 1, n).tolist()), **where) for n in coarse]
    base = torch.stack(torch.meshgrid(*ends, indexing="ij"))
    moved = velocity / half / 2**squarings
    for _ in range(squarings):
        where = (base + moved).movedim(1, -1).flip(-1)
        moved = moved + functional.grid_sample(moved, where, mode="bilinear", padding_mode="border", align_corners=True)
    return moved * half
