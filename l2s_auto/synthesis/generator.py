"""Batches of label map patches become clean synthetic images, on the device: draw first, apply second."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from l2s_auto.core.plan import GenerationPlan
from l2s_auto.core.types import Batch
from l2s_auto.synthesis.deform import (
    Deformation,
    DeformationRanges,
    draw_deformation,
    sampling_grid,
    warp_labels,
)
from l2s_auto.synthesis.intensity import Mixture, PriorTensors, Shares, blur, draw_mixture, gamma, paint


@dataclass(frozen=True)
class Draw:
    """All that is random in a batch of images; the same draw gives the same images."""

    deformation: Deformation
    mixture: Mixture
    texture: torch.Tensor
    blur: torch.Tensor
    gamma: torch.Tensor

    def of(self, samples: slice) -> Draw:
        """Some samples of the batch."""
        return Draw(
            self.deformation.of(samples),
            self.mixture.of(samples),
            self.texture[samples],
            self.blur[samples],
            self.gamma[samples],
        )


@dataclass(frozen=True)
class Layout:
    """Deformed label maps: generation classes and the network's output classes, both (B, *S) int64."""

    classes: torch.Tensor
    target: torch.Tensor

    def of(self, samples: slice) -> Layout:
        """Some samples of the batch."""
        return Layout(self.classes[samples], self.target[samples])


@dataclass(frozen=True)
class Ranges:
    """Widths of the fixed randomness.

    largest_blur    voxels, sigma of the blur is U(0, largest_blur) an axis
    gamma           standard deviation of log(gamma)
    """

    deformation: DeformationRanges = field(default_factory=DeformationRanges)
    largest_blur: float = 0.8
    gamma: float = 0.3


class Generator:
    """Clean synthetic images from boxes of the enriched label map.

    spacing      mm
    shape        voxels of the images
    shares       families of class intensities; all uniform without a prior
    """

    def __init__(
        self,
        generation: GenerationPlan,
        *,
        channels: int,
        spacing: tuple[float, ...],
        shape: tuple[int, ...],
        shares: Shares,
        device: torch.device,
        ranges: Ranges | None = None,
    ) -> None:
        self.channels, self.spacing, self.shape = channels, spacing, shape
        self.shares = shares
        self.structures = torch.tensor(generation.structures, device=device)
        self.ranges = ranges or Ranges()
        self.class_of = torch.tensor([label.generation_class for label in generation.enriched], device=device)
        self.target_of = torch.tensor([label.target for label in generation.enriched], device=device)
        self.prior = _prior_tensors(generation, channels, device)

    def draw(self, batch: int, generator: torch.Generator) -> Draw:
        """Everything random for `batch` images."""
        device, size = generator.device, (batch, self.channels, *self.shape)
        return Draw(
            deformation=draw_deformation(batch, self.shape, self.spacing, self.ranges.deformation, generator),
            mixture=draw_mixture(
                batch,
                self.channels,
                self.structures,
                generator,
                prior=self.prior,
                shares=self.shares,
            ),
            texture=torch.randn(size, generator=generator, device=device),
            blur=self.ranges.largest_blur * torch.rand((batch, 3), generator=generator, device=device),
            gamma=torch.exp(
                self.ranges.gamma * torch.randn((batch, self.channels), generator=generator, device=device)
            ),
        )

    @torch.no_grad()
    def layout(self, boxes: torch.Tensor, draw: Draw) -> Layout:
        """(B, *box) enriched labels -> where each class is in the images, and what the network is to find."""
        grid = sampling_grid(draw.deformation, shape=self.shape, box=tuple(boxes.shape[1:]), spacing=self.spacing)
        enriched = warp_labels(boxes, grid)
        return Layout(self.class_of[enriched], self.target_of[enriched])

    def render(self, layout: Layout, draw: Draw, mixture: Mixture | None = None) -> torch.Tensor:
        """Images of a layout: (B, C, *shape) in [0, 1], differentiable in the mixture.

        mixture  class means and deviations in place of those drawn
        """
        image = paint(layout.classes, mixture or draw.mixture, draw.texture)
        return gamma(blur(image, draw.blur), draw.gamma)

    @torch.no_grad()
    def apply(self, boxes: torch.Tensor, draw: Draw) -> Batch:
        """(B, *box) enriched labels -> image (B, C, *shape) in [0, 1] and target (B, *shape)."""
        layout = self.layout(boxes, draw)
        return Batch(self.render(layout, draw), layout.target)


def _prior_tensors(generation: GenerationPlan, channels: int, device: torch.device) -> PriorTensors | None:
    if not generation.priors:
        return None

    def stack(name: str) -> torch.Tensor:
        values = torch.tensor([getattr(prior, name) for prior in generation.priors], device=device)
        assert values.shape == (generation.classes, channels), f"{name} of the priors is {tuple(values.shape)}"
        return values.T.contiguous()

    return PriorTensors(stack("mean"), stack("mean_spread"), stack("std"), stack("std_spread"))
