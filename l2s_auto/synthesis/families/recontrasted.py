"""Real scans in other contrasts: the mean of each class is drawn again, what varies within it is the scan's own."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from l2s_auto.core.composition import OF_TISSUES
from l2s_auto.synthesis.drawn import uniform
from l2s_auto.synthesis.families.base import FromScan, Known, alike, mixed
from l2s_auto.synthesis.intensity import rescale

#: The variation within a class is multiplied by a factor of this or less, or by its inverse or more, log-uniform.
STRONGEST = 2.0


class Recontrasted(FromScan):
    """Mean ~ U(0, 1) for each tissue (or each structure, so that labels stand out), and the difference of each voxel
    from the mean of its class in the scan, with a random strength for each class and a random sign for the image.

    The means mix a little at boundaries, as tissues do in a voxel, in the scan and in the image: with the scan's own
    means, signs and strengths the image is the scan.
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

        def painted(values: torch.Tensor) -> torch.Tensor:
            return mixed(values.gather(2, index).view_as(image))

        within = image - painted(class_means(image, index, mean.shape[2]))
        return painted(mean) + strength.gather(2, index).view_as(image) * within


def class_means(image: torch.Tensor, index: torch.Tensor, classes: int) -> torch.Tensor:
    """(B, C, *S) images, (B, C, voxels) class of each voxel -> (B, C, classes) means; 0 of a missing class."""
    zeros = image.new_zeros(*image.shape[:2], classes)
    total = zeros.scatter_add(2, index, image.flatten(2))
    count = zeros.scatter_add(2, index, torch.ones_like(index, dtype=image.dtype))
    return total / count.clamp_min(1)
