"""The contracts of families. B images, C channels, G generation classes, S spatial axes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from l2s_auto.core.constants import constant
from l2s_auto.core.separable import along_axes
from l2s_auto.synthesis.drawn import uniform
from l2s_auto.synthesis.intensity import Mixture, PriorTensors
from l2s_auto.synthesis.resolution import blurring

#: Standard deviation of the mixing of tissues at boundaries, as in a voxel of a scan, in voxels.
MIXING = 0.6
#: Standard deviation of the texture of a class whose contrast is random: U(LEAST_STD, Known.largest_std).
LEAST_STD = 0.01


@dataclass(frozen=True)
class Known:
    """What is known of the images to be made.

    channels     C
    spacing      voxel size along each axis, in units of the finest
    structures   (G,) the structure that each class belongs to
    tissues      (G,) the same of tissues, which go on across the border of a label; None: the structures
    air          (G,) bool: classes without signal
    prior        class statistics of the real images; None: there are none
    largest_std  of texture within a class, for random contrasts
    """

    channels: int
    spacing: tuple[float, ...]
    structures: Sequence[int]
    tissues: Sequence[int] | None
    air: torch.Tensor
    prior: PriorTensors | None = None
    largest_std: float = 0.12


class Rendered(ABC):
    """Images rendered from label maps: a family says which mean and standard deviation each class has."""

    @abstractmethod
    def mixture(self, images: int, known: Known, generator: torch.Generator) -> Mixture:
        """Means and standard deviations (B, C, G), in units of the intensity range, drawn for so many images."""


class FromScan(ABC):
    """Images made of real scans, which are deformed already."""

    @abstractmethod
    def draw(self, images: int, known: Known, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Everything random for so many images, the batch first in each tensor."""

    @abstractmethod
    def __call__(
        self, scans: torch.Tensor, classes: torch.Tensor, drawn: Mapping[str, torch.Tensor], known: Known
    ) -> torch.Tensor:
        """(B, C, *S) scans, (B, *S) their generation classes, what `draw` gave -> (B, C, *S) images."""


def mixed(image: torch.Tensor) -> torch.Tensor:
    """(B, C, *S) values that change at boundaries, mixed there a little."""
    sigma = constant((MIXING,), image.device, image.dtype).expand(len(image), image.ndim - 2)
    return along_axes(image, blurring(sigma, tuple(image.shape[2:])))


def alike(
    images: int, known: Known, kinds: Sequence[int], generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Two numbers U(0, 1) for each image, channel and kind of class -> two (B, C, G), equal for classes of a kind."""
    index = constant(tuple(kinds), generator.device, torch.int64)
    size = (images, known.channels, max(kinds) + 1)
    return uniform(*size, generator=generator)[..., index], uniform(*size, generator=generator)[..., index]
