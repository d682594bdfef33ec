"""The batches of an iteration: what the network sees of images that are rendered, and of those made of real scans."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch

from l2s_auto.augmenters import AugmenterModule, changes_mixture
from l2s_auto.core.composition import REAL_LIKE, RENDERED, Composition
from l2s_auto.core.protocols import Params
from l2s_auto.core.types import Batch
from l2s_auto.networks import call, call_method
from l2s_auto.synthesis.context import coarse_shape, draw_context, imitated
from l2s_auto.synthesis.generator import Draw, Layout
from l2s_auto.synthesis.intensity import rescale
from l2s_auto.training.build import Parts
from l2s_auto.training.data import Boxes
from l2s_auto.training.real_like_fraction import composition_of

#: How much larger than the patch the box is that a deformation reads from.
MARGIN = 0.3


@dataclass(frozen=True)
class Rendered:
    """This process's images of a batch that are rendered from label maps, before the scanner.

    clean         images, not yet through a scanner
    noise         random numbers of A_theta for the first images, those that it changes
    layout, draw  what the clean images are rendered from; by `scanned`, where the augmenter changes how
    randomised    random numbers of randomised scanners, for the images after these; None: A_theta changes all
    """

    clean: Batch
    noise: Mapping[str, torch.Tensor]
    layout: Layout
    draw: Draw
    randomised: Mapping[str, torch.Tensor] | None = None

    @property
    def changed_by_theta(self) -> int:
        """How many images A_theta changes; they come first."""
        return len(self.draw.families) if self.randomised is None else self.draw.families.count(REAL_LIKE)


@dataclass(frozen=True)
class DrawnBatch:
    """This process's share of a joint batch: rendered images first, then those made of scans, either of which may be
    missing.

    scans    images as the network reads them: theta has no part in them
    blank    (B, C) channels that the images lack; None: none
    context  (B, 1, *S) what a cascade's first network is taken to have found; None: there is no cascade
    """

    rendered: Rendered | None
    scans: Batch | None = None
    blank: torch.Tensor | None = None
    context: torch.Tensor | None = None

    @property
    def target(self) -> torch.Tensor:
        """(B, *S) what the network is to find."""
        rendered = [] if self.rendered is None else [self.rendered.clean.target]
        return torch.cat([*rendered, *([] if self.scans is None else [self.scans.target])])

    def __len__(self) -> int:
        return len(self.target)


def draw_batch(
    parts: Parts, theta: Params | None = None, *, batch: int | None = None, composition: Composition | None = None
) -> DrawnBatch:
    """Images of random cases, with the augmenter's random numbers.

    theta        where it holds the fraction of real-like images
    composition  fractions of the families; None: the training's
    """
    batch = batch or parts.plan.batch
    families = draw_families(parts, theta, batch, composition)
    maps, boxes = boxes_of(parts, families)
    rendered, scans = render(parts, maps, families), draw_scans(parts, boxes, families)
    drawn = DrawnBatch(rendered, scans, draw_blank(parts, batch))
    return replace(drawn, context=imitate_context(parts, drawn.target, batch))


@torch.no_grad()
def draw_plain(parts: Parts, theta: Params, *, composition: Composition | None = None) -> Batch:
    """This process's share of a batch as the network sees it, theta as it is."""
    batch = parts.plan.batch
    families = draw_families(parts, theta, batch, composition)
    maps, boxes = boxes_of(parts, families)
    rendered = parts.replay.batch(parts, theta, maps, families, make_rendered) if count_rendered(families) else None
    made = [one for one in (rendered, draw_scans(parts, boxes, families)) if one is not None]
    image, target = torch.cat([one.image for one in made]), torch.cat([one.target for one in made])
    image = blanked(image, draw_blank(parts, batch))
    return Batch(in_context(image, imitate_context(parts, target, batch)), target)


@torch.no_grad()
def make_rendered(parts: Parts, theta: Params, maps: torch.Tensor, families: tuple[str, ...]) -> Batch | None:
    """Rendered images as the network reads them, from given label maps, theta as it is; None: this process has none."""
    rendered = render(parts, maps, families)
    return None if rendered is None else Batch(scanned(parts, theta, rendered), rendered.clean.target)


def draw_families(
    parts: Parts, theta: Params | None, batch: int, composition: Composition | None = None
) -> tuple[str, ...]:
    """The family of each image of a joint batch; rendered ones first."""
    start = parts.sampler.rng.random()  # on the host: the device need not be waited for
    return (composition or composition_of(parts, theta)).of_batch(batch, start)


def count_rendered(families: tuple[str, ...]) -> int:
    return sum(name in RENDERED for name in families)


def overlap(share: slice, first: int, last: int) -> slice:
    """What a slice of a joint batch has of the images from first to last, counted from the first."""
    start, stop, _ = share.indices(last)
    start = max(start, first)
    return slice(start - first, max(start, stop) - first)


def boxes_of(parts: Parts, families: tuple[str, ...]) -> tuple[torch.Tensor, Boxes]:
    """This process's boxes of random cases, larger than the patch: (B, *box) label maps for rendered images, and boxes
    with scans for those made of scans; either may be empty.
    """
    batch, rendered = len(families), count_rendered(families)
    share = parts.team.share(batch)
    boxes = parts.sampler.sample(batch, parts.plan.patch, margin=MARGIN, images_from=rendered, share=share)
    mine = overlap(share, 0, rendered)
    count = mine.stop - mine.start
    return boxes.enriched[:count], Boxes(boxes.enriched[count:], boxes.image)


def render(parts: Parts, maps: torch.Tensor, families: tuple[str, ...], *, deformed: bool = True) -> Rendered | None:
    """(B, *box) enriched labels of this process's rendered images -> clean images, and all that is random of them.

    families  of the joint batch, whose random numbers are drawn even where this process has none of its images: then
              there is nothing to return
    """
    count = count_rendered(families)
    if not count:
        return None
    share = overlap(parts.team.share(len(families)), 0, count)
    draw = parts.generator.draw(families[:count], parts.random)
    learned, randomised = count, None
    if parts.randomised is not None:
        learned = families.count(REAL_LIKE)
        randomised = draw_noise(parts, parts.randomised, count - learned, overlap(share, learned, count))
    noise = draw_noise(parts, parts.augmenter, learned, overlap(share, 0, learned))
    if not len(maps):
        return None
    draw = draw.of(share)
    layout = parts.generator.layout(maps, draw) if deformed else parts.generator.undeformed(maps, draw)
    if changes_mixture(parts.augmenter):
        # Rendered where the mixture is known; until then only its shape is asked for.
        image = torch.zeros((), device=parts.device).expand(len(maps), parts.generator.channels, *parts.plan.patch)
    else:
        with torch.no_grad():
            image = parts.generator.render(layout, draw)
    return Rendered(Batch(image, layout.target), noise, layout, draw, randomised)


@torch.no_grad()
def draw_scans(parts: Parts, boxes: Boxes, families: tuple[str, ...]) -> Batch | None:
    """This process's images made of scans, as the network reads them; None where it has none."""
    count, batch = count_rendered(families), len(families)
    if count == batch:
        return None
    draw = parts.generator.draw_scans(families[count:], parts.random)
    if not len(boxes.enriched):
        return None
    assert boxes.image is not None
    share = overlap(parts.team.share(batch), count, batch)
    return parts.generator.from_scans(boxes.image, boxes.enriched, draw.of(share))


def draw_noise(parts: Parts, augmenter: AugmenterModule, count: int, share: slice) -> dict[str, torch.Tensor]:
    """The augmenter's random numbers for this process's share of so many images of a joint batch."""
    joint = torch.zeros((), device=parts.device).expand(count, parts.generator.channels, *parts.plan.patch)
    return {name: value[share] for name, value in augmenter.draw(joint, parts.random).items()} if count else {}


def draw_real_like_and_others(parts: Parts, theta: Params) -> tuple[DrawnBatch, DrawnBatch]:
    """The same batch twice: all images real-like, and none; of the same label maps.

    Where the others are all rendered, or all made of scans, they are deformed alike too; where they are rendered, their
    texture is the same.
    """
    batch, usual = parts.plan.batch, composition_of(parts, theta)
    others = usual.with_fraction(REAL_LIKE, 0.0)
    seed = int(torch.randint(2**31, (1,), generator=parts.random, device=parts.device))
    state = parts.sampler.state()

    def of(composition: Composition) -> DrawnBatch:
        parts.sampler.restore(state)
        same = replace(parts, random=torch.Generator(parts.device).manual_seed(seed))
        return draw_batch(same, batch=batch, composition=composition)

    return of(Composition({REAL_LIKE: 1.0})), of(others)


def draw_pair(parts: Parts) -> tuple[Batch, DrawnBatch]:
    """Patches of labelled real scans, and clean synthetic images like them, of the same label maps, not deformed.

    The real patches are scaled as synthetic ones are: by their own quantiles, not by those of their whole scans.
    """
    boxes, batch = draw_boxes(parts), parts.plan.batch
    rendered = render(parts, boxes.enriched, (REAL_LIKE,) * batch, deformed=False)
    blank = draw_blank(parts, batch)
    scans = as_batch(parts, boxes)
    context = imitate_context(parts, scans.target, batch)
    twins = DrawnBatch(rendered, None, blank, context)
    return Batch(in_context(blanked(rescale(scans.image), blank), context), scans.target), twins


def draw_real(parts: Parts, *, batch: int | None = None) -> Batch:
    """Patches of labelled real scans, as they are; without some of their channels, where the recipe wants that."""
    scans, batch = as_batch(parts, draw_boxes(parts, batch=batch)), batch or parts.plan.batch
    image = blanked(scans.image, draw_blank(parts, batch))
    return Batch(in_context(image, imitate_context(parts, scans.target, batch)), scans.target)


def draw_blank(parts: Parts, batch: int) -> torch.Tensor | None:
    """(B, C) which channels this process's images of a joint batch lack, never all; None where none may be lacking."""
    share, channels = parts.recipe.missing_share, parts.plan.input_channels
    if not share or channels == 1:
        return None
    random = torch.rand(batch, channels, 2, generator=parts.random, device=parts.device)
    lacking = (random[:, :, 0] < 0.5) & (random[:, :1, 1] < share)
    lacking.scatter_(1, random[:, :, 0].argmax(1, keepdim=True), False)
    return lacking[parts.team.share(batch)]


def blanked(image: torch.Tensor, blank: torch.Tensor | None) -> torch.Tensor:
    """(B, C, *S) with 0 in the channels that are lacking."""
    return image if blank is None else image.masked_fill(blank.view(*blank.shape, *[1] * (image.ndim - 2)), 0.0)


def imitate_context(parts: Parts, target: torch.Tensor, batch: int) -> torch.Tensor | None:
    """(B, 1, *S) what the first network of a cascade is taken to have found in this process's share of a joint batch.

    target  (B, *S) what is there. None where there is no cascade.
    """
    plan = parts.plan
    if plan.low_resolution is None:
        return None
    coarse = coarse_shape(target.shape[1:], plan.spacing, plan.low_resolution.spacing)
    draw = draw_context(batch, len(plan.labels), coarse, parts.random)
    return imitated(target, draw.of(parts.team.share(batch)))


def in_context(image: torch.Tensor, context: torch.Tensor | None) -> torch.Tensor:
    """(B, C, *S) images with what the first network of a cascade found behind their channels."""
    return image if context is None else torch.cat([image, context], 1)


def draw_boxes(parts: Parts, *, batch: int | None = None) -> Boxes:
    """This process's share of a joint batch of random boxes of real scans."""
    batch = batch or parts.plan.batch
    sampler = parts.scans or parts.sampler
    return sampler.sample(batch, parts.plan.patch, images_from=0, share=parts.team.share(batch))


def as_batch(parts: Parts, boxes: Boxes) -> Batch:
    """Real images and what the network is to find in them."""
    assert boxes.image is not None
    return Batch(boxes.image, parts.generator.target_of[boxes.enriched])


def augment(parts: Parts, theta: Params, drawn: DrawnBatch, piece: slice = slice(None)) -> torch.Tensor:
    """(B, C, *S) what the network sees of a piece of the batch, in the scale that it reads, and a cascade's context."""
    count = 0 if drawn.rendered is None else len(drawn.rendered.clean.target)
    images = []
    some = overlap(piece, 0, count) if count else slice(0, 0)
    if drawn.rendered is not None and some.start < some.stop:
        images.append(scanned(parts, theta, drawn.rendered, some))
    some = overlap(piece, count, len(drawn))
    if drawn.scans is not None and some.start < some.stop:
        images.append(drawn.scans.image[some])
    image = torch.cat(images)
    blank = None if drawn.blank is None else drawn.blank[piece]
    context = None if drawn.context is None else drawn.context[piece]
    return in_context(blanked(image, blank), context)


def scanned(parts: Parts, theta: Params, rendered: Rendered, some: slice = slice(None)) -> torch.Tensor:
    """(B, C, *S) some of the rendered images after their scanners, in the scale that the network reads.

    A_theta changes real-like images; the others go through scanners of all kinds. Without real-like images in the
    composition, A_theta changes all.
    """
    learned, total = rendered.changed_by_theta, len(rendered.clean.target)
    by_theta, by_others = overlap(some, 0, min(learned, total)), overlap(some, min(learned, total), total)
    images = []
    if by_theta.start < by_theta.stop:
        noise = {name: value[by_theta] for name, value in rendered.noise.items()}
        image = rendered.clean.image[by_theta]
        if changes_mixture(parts.augmenter):
            draw = rendered.draw.of(by_theta)
            mixture = call_method(parts.augmenter, "mixture", theta, draw.mixture, noise)
            image = parts.generator.render(rendered.layout.of(by_theta), draw, mixture)
        images.append(call(parts.augmenter, theta, image, noise))
    if by_others.start < by_others.stop:
        assert parts.randomised is not None and rendered.randomised is not None
        places = slice(learned + by_others.start, learned + by_others.stop)
        image = rendered.clean.image[places]
        if changes_mixture(parts.augmenter):
            image = parts.generator.render(rendered.layout.of(places), rendered.draw.of(places))
        noise = {name: value[by_others] for name, value in rendered.randomised.items()}
        images.append(parts.randomised(image, noise))
    return rescale(torch.cat(images))
