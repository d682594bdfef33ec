"""One iteration, as the paper's algorithm reads: the one place where the parts meet.

1. Draw label maps, make clean images from them, augment them by A_theta:  x = A_theta(G(y), noise).
2. Update S_phi on the synthetic loss alone:                              phi' = U(phi, d loss(S_phi(x), y)/d phi).
3. On a hyper-step, look at real scans through the updated network:       theta' = theta - d loss(S_phi'(real))/d theta.

S_phi is never updated on a real image here; real images move theta and nothing else.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from l2s_auto.augmenters import AugmenterModule
from l2s_auto.core.protocols import Params
from l2s_auto.core.types import Batch, TrainState
from l2s_auto.hypergradients.differentiate import gradients, leaves, part_of, pieces_of
from l2s_auto.hypergradients.signal import limited, no_signal, note
from l2s_auto.hypergradients.two_pass import Sum
from l2s_auto.networks import call, call_method
from l2s_auto.synthesis.context import coarse_shape, draw_context, imitated
from l2s_auto.synthesis.generator import Draw, Layout
from l2s_auto.synthesis.intensity import Shares, rescale, with_own
from l2s_auto.training.build import Parts
from l2s_auto.training.data import Boxes

#: How much larger than the patch the box is that a deformation reads from.
MARGIN = 0.3
#: All images look like the real ones.
OWN = Shares(prior=1.0)
LOGGER = logging.getLogger("l2s_auto")


@dataclass(frozen=True)
class StepResult:
    """The state after an iteration, and what it cost: loss_real is None where no real scan was looked at."""

    state: TrainState
    loss_synth: float | None
    loss_real: float | None = None


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


@dataclass(frozen=True)
class TwoPasses:
    """The bilevel problem of one hyper-step: both losses as functions of phi and theta, everything random fixed.

    of_synthetic, of_real  samples of the joint batches, of which this process has its share; None: it has all
    """

    parts: Parts
    drawn: Synthetic
    scans: Batch
    of_synthetic: int | None = None
    of_real: int | None = None

    @property
    def synthetic(self) -> int:
        return len(self.drawn.clean.image)

    @property
    def real(self) -> int:
        return len(self.scans.image)

    def augmented(self, theta: Params, piece: slice) -> torch.Tensor:
        return augment(self.parts, theta, self.drawn, piece)

    def synth_loss(self, phi: Params, image: torch.Tensor, piece: slice, *, fast: bool = False) -> torch.Tensor:
        loss = network_loss(self.parts, phi, image, self.drawn.clean.target[piece], fast=fast)
        return loss * (len(image) / (self.of_synthetic or self.synthetic))

    def real_loss(self, phi: Params, piece: slice, *, fast: bool = False) -> torch.Tensor:
        image = self.scans.image[piece]
        loss = network_loss(self.parts, phi, image, self.scans.target[piece], fast=fast)
        return loss * (len(image) / (self.of_real or self.real))

    def joint(self, values: Params) -> dict[str, torch.Tensor]:
        return self.parts.team.sum(values)


def draw_synthetic(parts: Parts, *, batch: int | None = None) -> Synthetic:
    """Clean images from label maps of random cases, with the augmenter's random numbers."""
    batch = batch or parts.plan.batch
    mine = parts.team.share(batch)
    boxes = parts.sampler.sample(batch, parts.plan.patch, margin=MARGIN, share=mine)
    draw = parts.generator.draw(batch, parts.random).of(mine)
    layout = parts.generator.layout(boxes.enriched, draw)
    context = imitate_context(parts, layout.target, batch)
    return rendered(parts, layout, draw, batch=batch, blank=draw_blank(parts, batch), context=context)


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


def network_loss(
    parts: Parts, phi: Params, image: torch.Tensor, target: torch.Tensor, *, fast: bool = True
) -> torch.Tensor:
    """Mean loss of the samples. fast: the network in the device's fast precision, the loss itself in float32."""
    return parts.loss(network_logits(parts, phi, image, fast=fast), target)


def sample_losses(
    parts: Parts, phi: Params, image: torch.Tensor, target: torch.Tensor, *, fast: bool = True
) -> torch.Tensor:
    """(B,) the loss of each sample; their mean is `network_loss`."""
    logits = network_logits(parts, phi, image, fast=fast)
    return torch.stack([parts.loss(logits[i : i + 1], target[i : i + 1]) for i in range(len(target))])


def network_logits(parts: Parts, phi: Params, image: torch.Tensor, *, fast: bool) -> torch.Tensor:
    """(B, K, *S); fast: computed in the device's fast precision, and given in float32."""
    fast = fast and parts.autocast is not None
    with torch.autocast(parts.device.type, dtype=parts.autocast, enabled=fast):
        logits = call(parts.network, phi, image)
    return logits.float() if fast else logits


def loss_gradients(
    parts: Parts, params: Params, batch: Batch, *, fast: bool = True
) -> tuple[dict[str, torch.Tensor], float]:
    """Gradients by the weights of the joint batch's mean loss, and that loss.

    Taken in pieces where the recipe asks for micro-batches.

    batch  this process's share of a batch of the plan's size
    fast   in the device's fast precision
    """
    grads, figures = _loss_gradients(parts, params, batch, fast=fast, each=False)
    return grads, figures[0].item()


def loss_moments(
    parts: Parts, params: Params, batch: Batch, *, fast: bool = True
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """As `loss_gradients`, and (2,) the means of the samples' losses and of their squares."""
    return _loss_gradients(parts, params, batch, fast=fast, each=True)


def _loss_gradients(
    parts: Parts, params: Params, batch: Batch, *, fast: bool, each: bool
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    total = Sum()
    for piece in pieces_of(len(batch.image), parts.recipe.micro_batch):
        phi = leaves(params)
        image, target = batch.image[piece], batch.target[piece]
        if each:
            losses = sample_losses(parts, phi, image, target, fast=fast)
        else:
            losses = network_loss(parts, phi, image, target, fast=fast).expand(len(target))
        share = len(target) / parts.plan.batch
        loss = losses.mean() * share
        figures = torch.stack([loss.detach(), (losses.detach() ** 2).mean() * share])
        total.add({"": figures, **gradients(loss, phi)})
    values = parts.team.sum(total.values)
    return values, values.pop("")


@torch.no_grad()
def phi_step(parts: Parts, state: TrainState, grads: Params, *, rate_scale: float) -> TrainState:
    """Move phi down its gradients."""
    phi, inner_state = parts.rule.update(state.phi, grads, state.inner_state, rate_scale=rate_scale)
    return replace_state(state, phi=phi, inner_state=inner_state)


def first_order_update(parts: Parts, state: TrainState, batch: Batch, *, rate_scale: float) -> tuple[TrainState, float]:
    """Move phi down the gradient of its loss on a batch, of which `batch` is this process's share."""
    grads, value = loss_gradients(parts, state.phi, batch)
    return phi_step(parts, state, grads, rate_scale=rate_scale), value


def synthetic_step(parts: Parts, state: TrainState, *, rate_scale: float) -> StepResult:
    """Items 1 and 2: theta as it is, phi moves."""
    synthetic = draw_synthetic(parts)
    with torch.no_grad():
        image = augment(parts, state.theta, synthetic)
    state, loss = first_order_update(parts, state, Batch(image, synthetic.clean.target), rate_scale=rate_scale)
    return StepResult(state, loss)


def hyper_step(parts: Parts, state: TrainState, *, rate_scale: float, outer_rate_scale: float) -> StepResult:
    """Items 1 to 3: phi moves on the synthetic loss, theta by the hypergradient."""
    real = hyper_batch(parts)
    problem = TwoPasses(parts, draw_synthetic(parts), draw_real(parts, batch=real), parts.plan.batch, real)
    step = parts.hypergradient(problem, state.phi, state.theta, parts.rule, state.inner_state, rate_scale=rate_scale)
    state = replace_state(state, phi=step.phi, inner_state=step.inner_state)
    return StepResult(
        theta_step(parts, state, step.theta_grad, rate_scale=outer_rate_scale), step.synth_loss, step.real_loss
    )


@torch.no_grad()
def theta_step(parts: Parts, state: TrainState, grads: Params, *, rate_scale: float) -> TrainState:
    """Move theta down its gradient, shortened where it is far longer than usual; by one that is not finite, not at all.

    A single NaN would stay in the running means of theta's update rule, and in theta, for good.
    """
    if not all(g.isfinite().all() for g in grads.values()):
        LOGGER.warning("Iteration %d: theta's gradient is not finite; theta rests.", state.step + 1)
        return state
    signal = state.signal or no_signal(state.theta)
    short = limited(grads, signal)
    theta, outer_state = parts.outer_rule.update(state.theta, short, state.outer_state, rate_scale=rate_scale)
    return replace_state(state, theta=theta, outer_state=outer_state, signal=note(signal, grads))


def hyper_batch(parts: Parts) -> int:
    """Real samples of a hyper-step, at least one a process."""
    return max(parts.team.size, part_of(parts.plan.batch, parts.recipe.hyper_part))


def replace_state(state: TrainState, **changes: object) -> TrainState:
    """The state with some of it exchanged."""
    return TrainState(**{**state.__dict__, **changes})
