"""Real scans in other contrasts: the mean of each class is drawn again, what varies within it is the scan's own."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from l2s_auto.core.composition import OF_TISSUES
from l2s_auto.synthesis.drawn import uniform
from l2s_auto.synthesis.families.base import FromScan, Known, alike
from l2s_auto.synthesis.intensity import rescale

#: The variation within a class is multiplied by a factor of this or less, or by its inverse or more, log-uniform.
STRONGEST = 2.0


class Recontrasted(FromScan):
    """Mean ~ U(0, 1) for each tissue (or each structure, so that labels stand out), and the difference of each voxel
    from the mean of its class in the scan, with a random strength for each class and a random sign for the image.
    """

    def draw(self, images: int, known: Known, generator: torch.Generator) -> dict[str, torch.Tensor]:
        of_labels = alike(images, known, known.structures, generator)
        of_tissues = alike(images, known, known.tissues or known.structures, generator)
        by_tissue = uniform(images, 1, 1, generator=generator) < OF_TISSUES
        mean, size = (torch.where(by_tissue, a, b) for a, b in zip(of_tissues, of_labels, strict=True))
        sign = uniform(images, known.channels, 1, generator=generator) < 0.5
        strength = STRONGEST ** (2 * size - 1)
        return {"mean": mean, "strength": torch.where(sign, -strength, strength)}

    def __call__(
        self, scans: torch.Tensor, classes: torch.Tensor, drawn: Mapping[str, torch.Tensor], known: Known
    ) -> torch.Tensor:
        image = rescale(scans)
        mean, strength = drawn["mean"].to(image.dtype), drawn["strength"].to(image.dtype)
        index = classes.flatten(1)[:, None].expand(-1, image.shape[1], -1)
        within = image.flatten(2) - class_means(image, index, mean.shape[2]).gather(2, index)
        return (mean.gather(2, index) + strength.gather(2, index) * within).view_as(image)


def class_means(image: torch.Tensor, index: torch.Tensor, classes: int) -> torch.Tensor:
    """(B, C, *S) images, (B, C, voxels) class of each voxel -> (B, C, classes) means; 0 of a missing class."""
    zeros = image.new_zeros(*image.shape[:2], classes)
    total = zeros.scatter_add(2, index, image.flatten(2))
    count = zeros.scatter_add(2, index, torch.ones_like(index, dtype=image.dtype))
    return total / count.clamp_min(1)
