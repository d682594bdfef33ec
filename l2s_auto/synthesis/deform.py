"""Random affine and elastic deformation of boxes, in millimetres about their centres."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional


@dataclass(frozen=True)
class DeformationRanges:
    """How far: rotation in degrees, scale as a share, shear, translation in mm, elastic displacement (mm, standard
    deviation of its nodes, drawn from U(0, elastic)) on nodes that are `elastic_nodes` mm apart."""

    rotation: float = 15.0
    scale: float = 0.15
    shear: float = 0.1
    translation: float = 4.0
    elastic: float = 2.5
    elastic_nodes: float = 12.0


@dataclass(frozen=True)
class Deformation:
    """A drawn deformation: maps output positions to input positions, mm from the centre.

    matrix   (B, 3, 3)
    shift    (B, 3) mm
    elastic  (B, 3, *nodes) displacement in mm
    """

    matrix: torch.Tensor
    shift: torch.Tensor
    elastic: torch.Tensor

    def of(self, samples: slice) -> Deformation:
        """Some samples of the batch."""
        return Deformation(self.matrix[samples], self.shift[samples], self.elastic[samples])


def rotation_matrices(angles: torch.Tensor) -> torch.Tensor:
    """(B, 3) angles in radians about the three axes -> (B, 3, 3), the product of the three rotations."""
    c, s = angles.cos(), angles.sin()
    zero, one = torch.zeros_like(c[:, 0]), torch.ones_like(c[:, 0])

    def matrix(*entries: torch.Tensor) -> torch.Tensor:
        return torch.stack(entries, -1).reshape(-1, 3, 3)

    x = matrix(one, zero, zero, zero, c[:, 0], -s[:, 0], zero, s[:, 0], c[:, 0])
    y = matrix(c[:, 1], zero, s[:, 1], zero, one, zero, -s[:, 1], zero, c[:, 1])
    z = matrix(c[:, 2], -s[:, 2], zero, s[:, 2], c[:, 2], zero, zero, zero, one)
    return x @ y @ z


def draw_deformation(
    batch: int,
    shape: tuple[int, ...],
    spacing: tuple[float, ...],
    ranges: DeformationRanges,
    generator: torch.Generator,
) -> Deformation:
    """A deformation for each of `batch` boxes of `shape` voxels and `spacing` mm."""
    device = generator.device

    def symmetric(*size: int) -> torch.Tensor:
        return 2 * torch.rand(size, generator=generator, device=device) - 1

    rotation = rotation_matrices(symmetric(batch, 3) * (ranges.rotation * torch.pi / 180))
    scale = torch.diag_embed(torch.exp(symmetric(batch, 3) * ranges.scale))
    shear = torch.eye(3, device=device) + torch.triu(symmetric(batch, 3, 3) * ranges.shear, diagonal=1)
    nodes = [max(2, round(n * s / ranges.elastic_nodes) + 1) for n, s in zip(shape, spacing, strict=True)]
    strength = ranges.elastic * torch.rand((batch, 1, 1, 1, 1), generator=generator, device=device)
    elastic = strength * torch.randn((batch, 3, *nodes), generator=generator, device=device)
    return Deformation(rotation @ shear @ scale, symmetric(batch, 3) * ranges.translation, elastic)


def sampling_grid(
    deformation: Deformation, *, shape: tuple[int, ...], box: tuple[int, ...], spacing: tuple[float, ...]
) -> torch.Tensor:
    """Where each voxel of the output reads from: (B, *shape, 3) for grid_sample with align_corners=True.

    shape    voxels of the output
    box      voxels of the input, which has the same centre
    spacing  mm, of both
    """
    device = deformation.matrix.device
    step = torch.tensor(spacing, device=device)
    axes = [(torch.arange(n, device=device) - (n - 1) / 2) * s for n, s in zip(shape, spacing, strict=True)]
    position = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)
    moved = torch.einsum("bij,xyzj->bxyzi", deformation.matrix, position) + deformation.shift[:, None, None, None]
    elastic = functional.interpolate(deformation.elastic, size=shape, mode="trilinear", align_corners=True)
    moved = moved + elastic.permute(0, 2, 3, 4, 1)
    half = torch.tensor([max(n - 1, 1) / 2 for n in box], device=device) * step
    return (moved / half).flip(-1)


def warp_labels(labels: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    """(B, *box) integer labels -> (B, *shape) labels, nearest voxel; outside the box its border continues."""
    moved = functional.grid_sample(
        labels[:, None].float(), grid, mode="nearest", padding_mode="border", align_corners=True
    )
    return moved[:, 0].long()


def warp_image(image: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    """(B, C, *box) image -> (B, C, *shape), linear; outside the box its border continues."""
    return functional.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=True)
