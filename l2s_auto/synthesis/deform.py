"""Random affine and elastic deformation of boxes about the patch's centre, in 2D and 3D.

Lengths are in the unit of `spacing`. Training counts in voxels: its unit is the finest edge of the plan's voxel
(`core.digits.relative`), so that a mouse is deformed as a person is.
Axes of one voxel (slices stored as volumes) are left alone: nothing moves out of the plane.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import torch
from torch.nn import functional

from l2s_auto.core.constants import constant
from l2s_auto.core.separable import along_axes
from l2s_auto.synthesis.axes import hat, spread_over
from l2s_auto.synthesis.drawn import Drawn, normal, uniform
from l2s_auto.synthesis.velocity import coarse_shape, extents, flow, gentle, gradient, nodes_of, velocity_on


@dataclass(frozen=True)
class DeformationRanges:
    """How far: rotation in degrees, scale as a share, shear, translation, elastic displacement (standard deviation of
    the velocity, drawn from U(0, elastic)) with nodes that are `elastic_nodes` apart, and the share of the images that
    are mirrored where the labels allow it. 0 turns each off. Lengths are in units of the finest voxel edge."""

    rotation: float = 15.0
    scale: float = 0.15
    shear: float = 0.1
    translation: float = 4.0
    elastic: float = 1.4
    elastic_nodes: float = 12.0
    flip: float = 0.5


@dataclass(frozen=True)
class Deformation(Drawn):
    """A drawn deformation: maps output positions to input positions, from the centre, elastic first.

    Lengths are in the unit of `spacing`.

    matrix    (B, D, D)
    shift     (B, D)
    velocity  (B, D, *nodes) nodes of the velocity
    flip      (B,) whether left and right are exchanged, along the first axis, at last
    """

    matrix: torch.Tensor
    shift: torch.Tensor
    velocity: torch.Tensor
    flip: torch.Tensor


def rotation_matrices(angles: torch.Tensor, dims: int) -> torch.Tensor:
    """(B, D (D - 1) / 2) angles in radians, one a plane of two axes -> (B, D, D), the product of the rotations."""
    one = torch.eye(dims, device=angles.device, dtype=angles.dtype)
    out, where = one.expand(len(angles), -1, -1), (angles.device, angles.dtype)
    for (i, j), angle in zip(combinations(range(dims), 2), angles.T, strict=True):
        axes = range(dims)
        plane = constant(tuple(tuple(float(a == b and a in (i, j)) for b in axes) for a in axes), *where)
        turn = constant(tuple(tuple({(i, j): -1.0, (j, i): 1.0}.get((a, b), 0.0) for b in axes) for a in axes), *where)
        cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
        out = out @ (one + (cos - 1) * plane + sin * turn)
    return out


def draw_deformation(
    batch: int,
    shape: tuple[int, ...],
    spacing: tuple[float, ...],
    ranges: DeformationRanges,
    generator: torch.Generator,
    *,
    flips: bool = False,
) -> Deformation:
    """A deformation for each of `batch` boxes of `shape` voxels.

    spacing  edges of a voxel, in the unit of the ranges
    flips    whether any may be mirrored
    """
    device, dims = generator.device, len(shape)
    moves = constant(tuple(float(n > 1) for n in shape), device)

    def symmetric(*size: int) -> torch.Tensor:
        return 2 * uniform(*size, generator=generator) - 1

    planes = constant(tuple(float(shape[i] > 1 and shape[j] > 1) for i, j in combinations(range(dims), 2)), device)
    angles = symmetric(batch, len(planes)) * planes * (ranges.rotation * torch.pi / 180)
    scale = torch.diag_embed(torch.exp(symmetric(batch, dims) * moves * ranges.scale))
    sheared = symmetric(batch, dims, dims) * (moves[:, None] * moves) * ranges.shear
    shear = torch.eye(dims, device=device) + torch.triu(sheared, diagonal=1)
    shift = symmetric(batch, dims) * moves * ranges.translation
    nodes = nodes_of(shape, spacing, ranges.elastic_nodes)
    strength = ranges.elastic * uniform(batch, *[1] * (dims + 1), generator=generator)
    velocity = strength * moves.view(-1, *[1] * dims) * normal(batch, dims, *nodes, generator=generator)
    mirrored = uniform(batch, generator=generator) < (ranges.flip if flips and shape[0] > 1 else 0.0)
    return Deformation(rotation_matrices(angles, dims) @ shear @ scale, shift, velocity, mirrored)


def coarse_positions(
    deformation: Deformation, *, shape: tuple[int, ...], box: tuple[int, ...], spacing: tuple[float, ...]
) -> torch.Tensor:
    """Where points of a coarse grid over the output read from: (B, D, *coarse) voxels of the box."""
    device, dims = deformation.matrix.device, len(shape)
    coarse = coarse_shape(shape, tuple(deformation.velocity.shape[2:]))
    extent = extents(shape, spacing)
    axes = [spread_over(c, n, device) * s - e / 2 for c, n, s, e in zip(coarse, shape, spacing, extent, strict=True)]
    velocity = gentle(velocity_on(coarse, deformation.velocity), extent)
    point = torch.stack(torch.meshgrid(*axes, indexing="ij")) + flow(velocity, extent)
    moved = (deformation.matrix @ point.flatten(2)) + deformation.shift[..., None]
    turned = torch.ones_like(deformation.shift)
    turned[:, 0] = 1 - 2 * deformation.flip.to(turned)
    step = constant(tuple(spacing), device)
    centre = constant(tuple((b - n) // 2 + (n - 1) / 2 for b, n in zip(box, shape, strict=True)), device)
    return (moved * (turned / step)[..., None] + centre[:, None]).view(-1, dims, *coarse)


def refine(coarse: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """(B, D, *coarse) values -> (B, D, *shape), linear from point to point."""
    matrices = []
    for points, n in zip(coarse.shape[2:], shape, strict=True):
        matrices.append(hat(spread_over(n, points, coarse.device), points).to(coarse.dtype))
    return along_axes(coarse, matrices)


def jacobian(coarse: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """Derivative of positions by voxels of the output, by central differences on their coarse grid.

    coarse  (B, D, *coarse) positions over an output of `shape` voxels
    -> (B, D, D, *coarse), [:, i, j] voxels of the box along axis i for one voxel of the output along axis j
    """
    points = coarse.shape[2:]
    slope = gradient(coarse, [(n - 1) / max(c - 1, 1) for n, c in zip(shape, points, strict=True)])
    alone = constant(tuple(float(c == 1) for c in points), coarse.device)
    return slope + torch.diag(alone).view(1, len(shape), len(shape), *[1] * len(shape))


def warp_image(image: torch.Tensor, positions: torch.Tensor, *, mode: str = "bilinear") -> torch.Tensor:
    """(B, C, *box) image, (B, D, *shape) voxels of the box -> (B, C, *shape); outside its border continues.

    mode  bilinear (linear in every axis), or nearest, for numbers between which there is nothing
    """
    dims = positions.shape[1]
    halves = tuple(max(n - 1, 1) / 2 for n in image.shape[2:])
    half = constant(halves, positions.device, positions.dtype).view(dims, *[1] * dims)
    grid = (positions / half - 1).movedim(1, -1).flip(-1)
    return functional.grid_sample(image, grid, mode=mode, padding_mode="border", align_corners=True)
