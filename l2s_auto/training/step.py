"""One iteration, as the paper's algorithm reads: the one place where the parts meet.

1. Draw label maps, make clean images from them, augment them by A_theta:  x = A_theta(G(y), noise).
2. Update S_phi on the synthetic loss alone:                              phi' = U(phi, d loss(S_phi(x), y)/d phi).
3. On a hyper-step, look at real scans through the updated network:       theta' = theta - d loss(S_phi'(real))/d theta.

S_phi is never updated on a real image here; real images move theta and nothing else.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch

from l2s_auto.core.errors import UserError
from l2s_auto.core.protocols import Params
from l2s_auto.core.types import Batch, TrainState
from l2s_auto.hypergradients.differentiate import gradients, leaves, part_of, pieces_of
from l2s_auto.hypergradients.finite_steps import moved, step_size
from l2s_auto.hypergradients.precision import full_precision
from l2s_auto.hypergradients.signal import limited, no_signal, note
from l2s_auto.hypergradients.two_pass import Sum
from l2s_auto.networks import call
from l2s_auto.networks.precision import right_in_bfloat16
from l2s_auto.training.batches import (
    DrawnBatch,
    augment,
    draw_batch,
    draw_plain,
    draw_real,
    draw_real_like_and_others,
)
from l2s_auto.training.build import Parts
from l2s_auto.training.deep_supervision import WEIGHTS, at_resolution, has_heads, logits_of_heads, of_network, watched
from l2s_auto.training.real_like_fraction import by_fraction, learns_fraction

LOGGER = logging.getLogger("l2s_auto")


@dataclass(frozen=True)
class StepResult:
    """The state after an iteration, and what it cost: loss_real is None where no real scan was looked at."""

    state: TrainState
    loss_synth: float | None
    loss_real: float | None = None


@dataclass(frozen=True)
class TwoPasses:
    """The bilevel problem of one hyper-step: both losses as functions of phi and theta, everything random fixed.

    of_synthetic, of_real  samples of the joint batches, of which this process has its share; None: it has all
    """

    parts: Parts
    drawn: DrawnBatch
    scans: Batch
    of_synthetic: int | None = None
    of_real: int | None = None

    @property
    def synthetic(self) -> int:
        return len(self.drawn)

    @property
    def real(self) -> int:
        return len(self.scans.image)

    def augmented(self, theta: Params, piece: slice) -> torch.Tensor:
        return augment(self.parts, theta, self.drawn, piece)

    def synth_loss(self, phi: Params, image: torch.Tensor, piece: slice, *, fast: bool = False) -> torch.Tensor:
        loss = network_loss(self.parts, phi, image, self.drawn.target[piece], fast=fast)
        return loss * (len(image) / (self.of_synthetic or self.synthetic))

    def real_loss(self, phi: Params, piece: slice, *, fast: bool = False) -> torch.Tensor:
        image = self.scans.image[piece]
        loss = network_loss(self.parts, phi, image, self.scans.target[piece], fast=fast)
        return loss * (len(image) / (self.of_real or self.real))

    def joint(self, values: Params) -> dict[str, torch.Tensor]:
        return self.parts.team.sum(values)


def network_loss(
    parts: Parts, phi: Params, image: torch.Tensor, target: torch.Tensor, *, fast: bool = True
) -> torch.Tensor:
    """Mean loss of the samples, with deep supervision where phi has heads.

    fast  the network in the device's fast precision, the loss itself in float32
    """
    return weighted_loss(parts, all_logits(parts, phi, image, fast=fast), target)


def sample_losses(
    parts: Parts, phi: Params, image: torch.Tensor, target: torch.Tensor, *, fast: bool = True
) -> torch.Tensor:
    """(B,) the loss of each sample; their mean is `network_loss`."""
    logits = all_logits(parts, phi, image, fast=fast)
    samples = [slice(i, i + 1) for i in range(len(target))]
    return torch.stack([weighted_loss(parts, [one[i] for one in logits], target[i]) for i in samples])


def weighted_loss(parts: Parts, logits: Sequence[torch.Tensor], target: torch.Tensor) -> torch.Tensor:
    """Mean of the losses at full resolution and below, with the weights of deep supervision."""
    losses = [
        weight * parts.loss(one, at_resolution(target, one)) for weight, one in zip(WEIGHTS, logits, strict=False)
    ]
    return torch.stack(losses).sum() / sum(WEIGHTS[: len(losses)]) if len(losses) > 1 else losses[0]


def network_logits(parts: Parts, phi: Params, image: torch.Tensor, *, fast: bool) -> torch.Tensor:
    """(B, K, *S); fast: computed in the device's fast precision where it is right, and given in float32."""
    return all_logits(parts, of_network(phi), image, fast=fast)[0]


def all_logits(parts: Parts, phi: Params, image: torch.Tensor, *, fast: bool) -> list[torch.Tensor]:
    """`network_logits`, and those of the heads that phi has, from high resolution to low."""
    fast = fast and parts.autocast is not None and right_in_bfloat16(image.shape[2:], image.device, parts.plan.topology)
    seen: list[torch.Tensor] = []
    with torch.autocast(parts.device.type, dtype=parts.autocast, enabled=fast):
        with watched(parts.network, seen) if has_heads(phi) else nullcontext():
            whole = call(parts.network, of_network(phi), image)
        logits = [whole, *logits_of_heads(phi, seen)]
    return [one.float().contiguous() for one in logits] if fast else logits  # in the usual order, for all losses


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
    state, loss = first_order_update(parts, state, draw_plain(parts, state.theta), rate_scale=rate_scale)
    return StepResult(state, loss)


def hyper_step(parts: Parts, state: TrainState, *, rate_scale: float, outer_rate_scale: float) -> StepResult:
    """Items 1 to 3: phi moves on the synthetic loss, theta by the hypergradient."""
    real = hyper_batch(parts)
    drawn = draw_batch(parts, state.theta)
    problem = TwoPasses(parts, drawn, draw_real(parts, batch=real), parts.plan.batch, real)
    step = parts.hypergradient(problem, state.phi, state.theta, parts.rule, state.inner_state, rate_scale=rate_scale)
    grads = step.theta_grad
    if learns_fraction(parts):
        if step.direction is None:
            raise UserError.single(
                "The share of images like the real ones cannot be learned with this estimator.",
                where=f"hypergradient {parts.recipe.hypergradient.name}",
                found="a hyper-step without its direction",
                expected="BilevelStep.direction",
                mend="Return it, choose another estimator, or leave share out of the augmenter.",
            )
        added = by_fraction(parts, state.theta, share_slope(parts, state, step.direction))
        grads = {name: g + added[name] for name, g in grads.items()}
    state = replace_state(state, phi=step.phi, inner_state=step.inner_state)
    return StepResult(theta_step(parts, state, grads, rate_scale=outer_rate_scale), step.synth_loss, step.real_loss)


@torch.no_grad()
def share_slope(parts: Parts, state: TrainState, u: Params) -> torch.Tensor:
    """d<u, synthetic gradient>/d(share), a scalar: of images like the real ones less that of the others."""
    near, far = (slope_along(parts, state, u, drawn) for drawn in draw_real_like_and_others(parts, state.theta))
    return parts.team.sum({"": near - far})[""]


def slope_along(parts: Parts, state: TrainState, u: Params, drawn: DrawnBatch) -> torch.Tensor:
    """<u, d(synthetic loss)/d(phi)> of this process's share of a joint batch, by a central difference of the loss."""
    h, total = step_size(1e-3, state.phi, u), torch.zeros((), device=parts.device)
    sides = [(moved(state.phi, u, sign * h), sign) for sign in (1.0, -1.0)]
    with full_precision():
        for piece in pieces_of(len(drawn.target), parts.recipe.micro_batch):
            image, target = augment(parts, state.theta, drawn, piece), drawn.target[piece]
            for phi, sign in sides:
                loss = network_loss(parts, phi, image, target, fast=False)
                total += sign * loss * (len(target) / parts.plan.batch)
    return total / (2 * h)


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
