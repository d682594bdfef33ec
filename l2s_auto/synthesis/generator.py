"""Batches of label map patches become clean synthetic images, on the device: draw first, apply second."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import torch

from l2s_auto.core.composition import REAL_LIKE, Composition
from l2s_auto.core.constants import constant
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
from l2s_auto.synthesis.drawn import Drawn, joined, normal
from l2s_auto.synthesis.families import FROM_SCANS, RENDERED, Known
from l2s_auto.synthesis.flips import partners
from l2s_auto.synthesis.intensity import Mixture, PriorTensors, gamma, paint, rescale
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
    """All that is random in a batch of images rendered from label maps; the same draw gives the same images.

    families  of each image
    gamma     (B, C) exponents
    """

    families: tuple[str, ...]
    deformation: Deformation
    mixture: Mixture
    texture: Texture
    resolution: Resolution
    view: View
    gamma: torch.Tensor


@dataclass(frozen=True)
class ScanDraw(Drawn):
    """All that is random in a batch of images made of real scans.

    families  of each image
    values    family -> what it draws, for all images of the batch
    """

    families: tuple[str, ...]
    deformation: Deformation
    values: Mapping[str, Mapping[str, torch.Tensor]]


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


#: Of real-like images: how scanners differ is the augmenter's to learn, and what is left here is what one scanner does
#: from scan to scan.
NEAR = Ranges(
    resolution=ResolutionRanges(partial=0.0, blur=0.0, thick=0.0),
    gamma=0.05,
)


class Generator:
    """Clean images from boxes of the enriched label map, and from boxes of real scans, in 2D or 3D.

    spacing      edges of a voxel, in the unit of all lengths of `ranges`: in training, the finest edge (`relative`)
    shape        voxels of the images
    composition  fractions of the families of images
    ranges       widths of the fixed randomness
    near         resolution and gamma of real-like images; None: `NEAR` with the default ranges, and no others with
                 given ones
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
        composition: Composition,
        device: torch.device,
        ranges: Ranges | None = None,
        near: Ranges | None = None,
        pairs: Sequence[tuple[int, int]] = (),
        flips: bool = False,
    ) -> None:
        self.channels, self.spacing, self.shape = channels, spacing, shape
        self.composition, self.flips = composition, flips
        self.near = near or (NEAR if ranges is None else ranges)
        self.ranges = ranges or Ranges()
        self.class_of = torch.tensor([label.generation_class for label in generation.enriched], device=device)
        self.target_of = torch.tensor([label.target for label in generation.enriched], device=device)
        partner = torch.tensor(partners(generation, pairs), device=device)
        self._tables = torch.stack([torch.cat([table, table[partner]]) for table in (self.class_of, self.target_of)])
        self.strips = strippable(generation)
        self.known = Known(
            channels=channels,
            spacing=spacing,
            structures=generation.structures,
            tissues=generation.tissues,
            air=_among(air_classes(generation), generation.classes, device),
            prior=_prior_tensors(generation, channels, device),
        )
        self._bare = _among(unlabelled_classes(generation), generation.classes, device)

    def draw(self, families: Sequence[str] | int, generator: torch.Generator) -> Draw:
        """Everything random for images of these families, all rendered from label maps.

        families  of each image, equal ones next to each other; a number: of so many, as the composition has those that
                  are rendered

        What all families draw alike is drawn first: from one seed it is the same, whatever the families.
        """
        if isinstance(families, int):
            start = torch.rand((), generator=generator, device=generator.device).item()
            families = self.composition.only_rendered().of_batch(families, start)
        ranges, shape, spacing, batch = self.ranges, self.shape, self.spacing, len(families)
        deformation = draw_deformation(batch, shape, spacing, ranges.deformation, generator, flips=self.flips)
        white = draw_texture(batch, self.channels, shape, ranges.texture, generator)
        view = draw_view(batch, shape, ranges.view, generator)
        resolution = draw_resolution(batch, shape, spacing, ranges.resolution, generator)
        gamma = ranges.gamma * normal(batch, self.channels, generator=generator)
        runs = [(name, len(list(run))) for name, run in groupby(families)]
        mixture = joined([RENDERED[name].mixture(count, self.known, generator) for name, count in runs])
        if REAL_LIKE in families:
            near = draw_resolution(batch, shape, spacing, self.near.resolution, generator)
            is_near = constant(tuple(name == REAL_LIKE for name in families), generator.device, torch.bool)
            resolution = Resolution.of_either(is_near, near, resolution)
            near_gamma = self.near.gamma * normal(batch, self.channels, generator=generator)
            gamma = torch.where(is_near[:, None], near_gamma, gamma)
        return Draw(
            families=tuple(families),
            deformation=deformation,
            mixture=mixture,
            texture=white,
            resolution=resolution,
            view=view,
            gamma=torch.exp(gamma),
        )

    def draw_scans(self, families: Sequence[str], generator: torch.Generator) -> ScanDraw:
        """Everything random for images of these families, all made of real scans, equal ones next to each other."""
        count = len(families)
        deformation = draw_deformation(
            count, self.shape, self.spacing, self.ranges.deformation, generator, flips=self.flips
        )
        values = {name: FROM_SCANS[name].draw(count, self.known, generator) for name in dict.fromkeys(families)}
        return ScanDraw(tuple(families), deformation, values)

    @torch.no_grad()
    def from_scans(self, scans: torch.Tensor, boxes: torch.Tensor, draw: ScanDraw) -> Batch:
        """(B, C, *box) scans and (B, *box) their enriched labels -> image (B, C, *shape), in the scale that the network
        reads, and target (B, *shape).
        """
        layout = self.layout(boxes, draw)
        scans = warp_image(scans, refine(self._coarse(scans.shape[2:], draw), self.shape))
        images, first = [], 0
        for name, run in groupby(draw.families):
            some = slice(first, first := first + len(list(run)))
            values = {key: value[some] for key, value in draw.values[name].items()}
            images.append(FROM_SCANS[name](scans[some], layout.classes[some], values, self.known))
        return Batch(rescale(torch.cat(images)), layout.target)

    @torch.no_grad()
    def layout(self, boxes: torch.Tensor, draw: Draw | ScanDraw) -> Layout:
        """(B, *box) enriched labels -> where each class is in the images, and what the network is to find.

        The target of a rendered image ends with its field of view.
        """
        coarse = self._coarse(boxes.shape[1:], draw)
        boxes = boxes.to(torch.uint8 if len(self.class_of) <= 256 else torch.int16)
        enriched = warp_labels(boxes, refine(coarse, self.shape), jacobian(coarse, self.shape)).to(torch.int32)
        flip = draw.deformation.flip.to(torch.int32).view(-1, *[1] * len(self.shape))
        return self._looked_up(enriched + flip * len(self.class_of), draw.view.cuts if isinstance(draw, Draw) else None)

    @torch.no_grad()
    def undeformed(self, boxes: torch.Tensor, draw: Draw) -> Layout:
        """(B, *shape) enriched labels as they are, neither deformed nor mirrored; the draw's field of view holds."""
        return self._looked_up(boxes.to(torch.int32), draw.view.cuts)

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

    def _looked_up(self, index: torch.Tensor, cuts: torch.Tensor | None) -> Layout:
        """Indices into the enriched labels, or their partners after them -> layout; cuts: of the field of view."""
        classes, target = (table.index_select(0, index.flatten()).view_as(index) for table in self._tables)
        return Layout(classes, target if cuts is None else target * seen(cuts, self.shape))

    def _coarse(self, box: torch.Size, draw: Draw | ScanDraw) -> torch.Tensor:
        return coarse_positions(draw.deformation, shape=self.shape, box=tuple(box), spacing=self.spacing)

    def _in_air(self, layout: Layout, view: View, mixture: Mixture) -> Mixture:
        stripped = view.stripped
        if self.strips:
            labelled = (layout.target > 0).flatten(1).float().mean(1)
            stripped = stripped & (labelled >= LABELLED)
        else:
            stripped = torch.zeros_like(stripped)
        return with_air(mixture, view, air=self.known.air, bare=self._bare, stripped=stripped)


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
