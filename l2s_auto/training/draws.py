"""The batches of an iteration: label maps and images drawn, and what the network sees of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch

from l2s_auto.augmenters import AugmenterModule
from l2s_auto.core.protocols import Params
from l2s_auto.core.types import Batch
from l2s_auto.networks import call, call_method
from l2s_auto.synthesis.context import coarse_shape, draw_context, imitated
from l2s_auto.synthesis.generator import Draw, Layout
from l2s_auto.synthesis.intensity import Shares, rescale, with_own
from l2s_auto.training.build import Parts
from l2s_auto.training.data import Boxes
from l2s_auto.training.families import shares_of

#: How much larger than the patch the box is that a deformation reads from.
MARGIN = 0.3
#: All images look like the real ones.
OWN = Shares(prior=1.0)


@dataclass(frozen=True)
class Synthetic:
    """This process's share of a clean synthetic batch, and the augmenter's random numbers for it.

    layout, draw  what the clean images are rendered from; by `augment`, where the augmenter changes how
    wide          the random numbers of scanners of all kinds, for images that are not to look like the real ones; None:
                  A_theta changes all
    blank         (B, C) channels that the images lack; None: none
    context       (B, 1, *S) what a cascade's first network is taken to have found; None: there is no cascade
    """

    clean: Batch
    noise: Mapping[str, torch.Tensor]
    layout: Layout
    draw: Draw
    wide: Mapping[str, torch.Tensor] | None = None
    blank: torch.Tensor | None = None
    context: torch.Tensor | None = None


def draw_synthetic(parts: Parts, theta: Params | None = None, *, batch: int | None = None) -> Synthetic:
    """Clean images from label maps of random cases, with the augmenter's random numbers.

    theta  where it holds the share of images that are to look like the real ones
    """
    batch = batch or parts.plan.batch
    return drawn_from(parts, draw_maps(parts, batch), batch=batch, shares=shares_of(parts, theta))


@torch.no_grad()
def draw_plain(parts: Parts, theta: Params) -> Batch:
    """This process's share of a synthetic batch as the network sees it, theta as it is."""
    return parts.replay.batch(parts, theta, draw_maps(parts, parts.plan.batch), make_plain)


def make_plain(parts: Parts, theta: Params, maps: torch.Tensor) -> Batch:
    """`draw_plain` from given label maps."""
    drawn = drawn_from(parts, maps, batch=parts.plan.batch, shares=shares_of(parts, theta))
    return Batch(augment(parts, theta, drawn), drawn.clean.target)


def draw_maps(parts: Parts, batch: int) -> torch.Tensor:
    """(B, *box) this process's share of a joint batch of enriched label maps, larger than the patch."""
    share = parts.team.share(batch)
    return parts.sampler.sample(batch, parts.plan.patch, margin=MARGIN, share=share).enriched


def drawn_from(
    parts: Parts, enriched: torch.Tensor, *, batch: int, shares: Shares, own: bool | None = None
) -> Synthetic:
    """`draw_synthetic` from given label maps; own: whether all images, or none, are to look like the real ones."""
    draw = parts.generator.draw(batch, parts.random, shares=shares, own=own).of(parts.team.share(batch))
    layout = parts.generator.layout(enriched, draw)
    context = imitate_context(parts, layout.target, batch)
    return rendered(parts, layout, draw, batch=batch, blank=draw_blank(parts, batch), context=context)


def draw_families(parts: Parts, theta: Params) -> tuple[Synthetic, Synthetic]:
    """The same batch twice: all images like the real ones, and none."""
    batch, shares = parts.plan.batch, shares_of(parts, theta)
    enriched = draw_maps(parts, batch)
    seed = int(torch.randint(2**31, (1,), generator=parts.random, device=parts.device))

    def of_family(own: bool) -> Synthetic:
        same = replace(parts, random=torch.Generator(parts.device).manual_seed(seed))
        return drawn_from(same, enriched, batch=batch, shares=shares, own=own)

    return of_family(True), of_family(False)


def rendered(
    parts: Parts,
    layout: Layout,
    draw: Draw,
    *,
    batch: int,
    blank: torch.Tensor | None = None,
    context: torch.Tensor | None = None,
) -> Synthetic:
    """Clean images of this process's share of a joint batch of layouts, with the augmenter's random numbers."""
    if getattr(parts.augmenter, "changes_mixture", False):
        # Rendered where the mixture is known; until then only its shape is asked for.
        image = torch.zeros((), device=parts.device).expand(
            len(layout.target), parts.generator.channels, *parts.plan.patch
        )
    else:
        with torch.no_grad():
            image = parts.generator.render(layout, draw)
    noise = draw_noise(parts, parts.augmenter, image, batch)
    wide = None if parts.wide is None else draw_noise(parts, parts.wide, image, batch)
    return Synthetic(Batch(image, layout.target), noise, layout, draw, wide, blank, context)


def draw_pair(parts: Parts) -> tuple[Batch, Synthetic]:
    """Patches of labelled real scans, and clean synthetic images like them, of the same label maps, not deformed.

    The real patches are scaled as synthetic ones are: by their own quantiles, not by those of their whole scans.
    """
    boxes = draw_boxes(parts)
    draw = parts.generator.draw(parts.plan.batch, parts.random, shares=OWN).of(parts.team.share(parts.plan.batch))
    layout = parts.generator.undeformed(boxes.enriched, draw)
    blank = draw_blank(parts, parts.plan.batch)
    scans = as_batch(parts, boxes)
    context = imitate_context(parts, scans.target, parts.plan.batch)
    twins = rendered(parts, layout, draw, batch=parts.plan.batch, blank=blank, context=context)
    return Batch(in_context(blanked(rescale(scans.image), blank), context), scans.target), twins


def draw_noise(parts: Parts, augmenter: AugmenterModule, image: torch.Tensor, batch: int) -> dict[str, torch.Tensor]:
    """The augmenter's random numbers for this process's images of a joint batch."""
    joint = image[:1].expand(batch, *image.shape[1:])
    return {name: value[parts.team.share(batch)] for name, value in augmenter.draw(joint, parts.random).items()}


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
    return sampler.sample(batch, parts.plan.patch, images=True, share=parts.team.share(batch))


def as_batch(parts: Parts, boxes: Boxes) -> Batch:
    """Real images and what the network is to find in them."""
    assert boxes.image is not None
    return Batch(boxes.image, parts.generator.target_of[boxes.enriched])


def augment(parts: Parts, theta: Params, synthetic: Synthetic, piece: slice = slice(None)) -> torch.Tensor:
    """What the network sees of a piece of the batch: (B, C, *S), in the scale that it reads, and a cascade's context.

    A_theta changes the images that are to look like the real ones; the others go through all kinds of scanners.
    """
    noise = {name: value[piece] for name, value in synthetic.noise.items()}
    image, draw = synthetic.clean.image[piece], synthetic.draw.of(piece)
    if getattr(parts.augmenter, "changes_mixture", False):
        learned = call_method(parts.augmenter, "mixture", theta, draw.mixture, noise)
        image = parts.generator.render(synthetic.layout.of(piece), draw, with_own(draw.mixture, learned))
    seen = call(parts.augmenter, theta, image, noise)
    if (own := draw.mixture.own) is not None and parts.wide is not None and synthetic.wide is not None:
        others = parts.wide(image, {name: value[piece] for name, value in synthetic.wide.items()})
        seen = torch.where(own.view(-1, *[1] * (seen.ndim - 1)), seen, others)
    blank = None if synthetic.blank is None else synthetic.blank[piece]
    context = None if synthetic.context is None else synthetic.context[piece]
    return in_context(blanked(rescale(seen), blank), context)
