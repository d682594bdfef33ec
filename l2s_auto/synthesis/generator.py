"""Batches of label map patches become clean synthetic images, on the device: draw first, apply second."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from l2s_auto.core.plan import GenerationPlan
from l2s_auto.core.separable import along_axes
from l2s_auto.core.types import Batch
from l2s_auto.synthesis.deform import (
    Deformation,
    DeformationRanges,
    coarse_positions,
    draw_deformation,
    jacobian,
    refine,
    warp_image,
)
from l2s_auto.synthesis.drawn import Drawn, normal
from l2s_auto.synthesis.flips import partners
from l2s_auto.synthesis.intensity import Mixture, PriorTensors, Shares, draw_mixture, gamma, paint
from l2s_auto.synthesis.resolution import Resolution, ResolutionRanges, blurring, draw_resolution, sampling
from l2s_auto.synthesis.texture import Texture, TextureRanges, draw_texture, texture
from l2s_auto.synthesis.thin import warp_labels
from l2s_auto.synthesis.view import (
    LABELLED,
    View,
    ViewRanges,
    air_classes,
    draw_view,
    seen,
    strippable,
    unlabelled_classes,
    with_air,
)


@dataclass(frozen=True)
class Draw(Drawn):
    """All that is random in a batch of images; the same draw gives the same images. gamma (B, C) exponents."""

    deformation: Deformation
    mixture: Mixture
    texture: Texture
    resolution: Resolution
    view: View
    gamma: torch.Tensor


@dataclass(frozen=True)
class Layout(Drawn):
    """Deformed label maps: generation classes and the network's output classes, both (B, *S) int64.

    The target is 0 outside of the field of view, where nothing can be seen.
    """

    classes: torch.Tensor
    target: torch.Tensor


@dataclass(frozen=True)
class Ranges:
    """Widths of the fixed randomness. gamma: standard deviation of log(gamma)."""

    deformation: DeformationRanges = field(default_factory=DeformationRanges)
    texture: TextureRanges = field(default_factory=TextureRanges)
    resolution: ResolutionRanges = field(default_factory=ResolutionRanges)
    view: ViewRanges = field(default_factory=ViewRanges)
    gamma: float = 0.3


#: Of images that are to look like the real ones: how scanners differ is the augmenter's to learn, and what is left here
#: is what one scanner does from scan to scan.
NEAR = Ranges(
    resolution=ResolutionRanges(partial=0.0, blur=0.0, thick=0.0),
    gamma=0.05,
)


class Generator:
    """Clean synthetic images from boxes of the enriched label map, in 2D or 3D.

    spacing      edges of a voxel, in the unit of all lengths of `ranges`: in training, the finest edge (`relative`)
    shape        voxels of the images
    shares       families of class intensities; all uniform without a prior
    ranges       widths of the fixed randomness
    near         resolution and gamma of images that are to look like the real ones, where there are others too; None:
                 `NEAR` with the usual ranges, and no others with given ones
    pairs        output classes (left, right)
    flips        whether images may be mirrored along the first axis, left to right; pairs are exchanged
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
        near: Ranges | None = None,
        pairs: Sequence[tuple[int, int]] = (),
        flips: bool = False,
    ) -> None:
        self.channels, self.spacing, self.shape = channels, spacing, shape
        self.shares, self.flips = shares, flips
        self.structures, self.tissues = generation.structures, generation.tissues
        self.near = near or (NEAR if ranges is None else ranges)
        self.ranges = ranges or Ranges()
        self.class_of = torch.tensor([label.generation_class for label in generation.enriched], device=device)
        self.target_of = torch.tensor([label.target for label in generation.enriched], device=device)
        partner = torch.tensor(partners(generation, pairs), device=device)
        self._tables = torch.stack([torch.cat([table, table[partner]]) for table in (self.class_of, self.target_of)])
        self.prior = _prior_tensors(generation, channels, device)
        self.strips = strippable(generation)
        self._air = _among(air_classes(generation), generation.classes, device)
        self._bare = _among(unlabelled_classes(generation), generation.classes, device)

    def draw(
        self, batch: int, generator: torch.Generator, *, shares: Shares | None = None, own: bool | None = None
    ) -> Draw:
        """Everything random for `batch` images.

        shares  families of class intensities, other than the generator's
        own     whether all images, or none, are to look like the real ones; None: as the shares have it
        """
        ranges, shape, spacing = self.ranges, self.shape, self.spacing
        shares = shares or self.shares
        deformation = draw_deformation(batch, shape, spacing, ranges.deformation, generator, flips=self.flips)
        mixture = draw_mixture(
            batch,
            self.channels,
            self.structures,
            generator,
            tissues=self.tissues,
            prior=self.prior,
            shares=shares,
            air=self._air,
            own=own,
        )
        resolution = draw_resolution(batch, shape, spacing, ranges.resolution, generator)
        gamma = normal(batch, self.channels, generator=generator)
        if (like_real := mixture.own) is None:
            gamma = ranges.gamma * gamma
        else:
            near = draw_resolution(batch, shape, spacing, self.near.resolution, generator)
            resolution = Resolution.of_either(like_real, near, resolution)
            gamma = torch.where(like_real[:, None], self.near.gamma, ranges.gamma) * gamma
        return Draw(
            deformation=deformation,
            mixture=mixture,
            texture=draw_texture(batch, self.channels, shape, ranges.texture, generator),
            resolution=resolution,
            view=draw_view(batch, shape, ranges.view, generator),
            gamma=torch.exp(gamma),
        )

    @torch.no_grad()
    def layout(self, boxes: torch.Tensor, draw: Draw, *, cropped: bool = True) -> Layout:
        """(B, *box) enriched labels -> where each class is in the images, and what the network is to find.

        cropped  whether the target ends with the field of view, as that of a rendered image does
        """
        coarse = self._coarse(boxes.shape[1:], draw)
        boxes = boxes.to(torch.uint8 if len(self.class_of) <= 256 else torch.int16)
        enriched = warp_labels(boxes, refine(coarse, self.shape), jacobian(coarse, self.shape)).to(torch.int32)
        flip = draw.deformation.flip.to(torch.int32).view(-1, *[1] * len(self.shape))
        return self._looked_up(enriched + flip * len(self.class_of), draw, cropped=cropped)

    @torch.no_grad()
    def undeformed(self, boxes: torch.Tensor, draw: Draw) -> Layout:
        """(B, *shape) enriched labels as they are, neither deformed nor mirrored; the draw's field of view holds."""
        return self._looked_up(boxes.to(torch.int32), draw, cropped=True)

    @torch.no_grad()
    def warp(self, images: torch.Tensor, draw: Draw) -> torch.Tensor:
        """(B, C, *box) images -> (B, C, *shape), deformed as `layout` deforms the labels."""
        return warp_image(images, refine(self._coarse(images.shape[2:], draw), self.shape))

    def render(self, layout: Layout, draw: Draw, mixture: Mixture | None = None) -> torch.Tensor:
        """Images of a layout: (B, C, *shape) in [0, 1], differentiable in the mixture.

        mixture  class means and deviations in place of those drawn
        """
        mixture = self._in_air(layout, draw.view, mixture or draw.mixture)
        kind = mixture.mean.dtype
        noise = texture(draw.texture, self.spacing).to(kind)
        mix = [m.to(kind) for m in blurring(draw.resolution.partial, self.shape)]
        image = paint(layout.classes, mixture, noise, mix=mix)
        image = along_axes(image, [m.to(kind) for m in sampling(draw.resolution, self.shape)])
        image = gamma(image, draw.gamma.to(kind))
        level = draw.view.level.to(kind).view(-1, *[1] * (image.ndim - 1))
        return torch.where(seen(draw.view.cuts, self.shape)[:, None], image, level)

    @torch.no_grad()
    def apply(self, boxes: torch.Tensor, draw: Draw) -> Batch:
        """(B, *box) enriched labels -> image (B, C, *shape) in [0, 1] and target (B, *shape)."""
        layout = self.layout(boxes, draw)
        return Batch(self.render(layout, draw), layout.target)

    def _looked_up(self, index: torch.Tensor, draw: Draw, *, cropped: bool) -> Layout:
        """Indices into the enriched labels, or their partners after them -> layout."""
        classes, target = (table.index_select(0, index.flatten()).view_as(index) for table in self._tables)
        return Layout(classes, target * seen(draw.view.cuts, self.shape) if cropped else target)

    def _coarse(self, box: torch.Size, draw: Draw) -> torch.Tensor:
        return coarse_positions(draw.deformation, shape=self.shape, box=tuple(box), spacing=self.spacing)

    def _in_air(self, layout: Layout, view: View, mixture: Mixture) -> Mixture:
        stripped = view.stripped
        if self.strips:
            labelled = (layout.target > 0).flatten(1).float().mean(1)
            stripped = stripped & (labelled >= LABELLED)
        else:
            stripped = torch.zeros_like(stripped)
        return with_air(mixture, view, air=self._air, bare=self._bare, stripped=stripped)


def _among(classes: Sequence[int], count: int, device: torch.device) -> torch.Tensor:
    """(count,) bool: whether a class is one of these."""
    return torch.tensor([c in classes for c in range(count)], device=device)


def _prior_tensors(generation: GenerationPlan, channels: int, device: torch.device) -> PriorTensors | None:
    if not generation.priors:
        return None

    def stack(name: str) -> torch.Tensor:
        values = torch.tensor([prior.drawn[name] for prior in generation.priors], device=device)
        assert values.shape == (generation.classes, channels), f"{name} of the priors is {tuple(values.shape)}"
        return values.T.contiguous()

    return PriorTensors(stack("mean"), stack("mean_spread"), stack("std"), stack("std_spread"))
