"""Learn2Synth with theta by matching gradients: what real images do to the network, synthetic ones shall do too."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import nullcontext

import torch

from l2s_auto.augmenters import AugmenterModule
from l2s_auto.core.errors import UserError
from l2s_auto.core.protocols import Params
from l2s_auto.core.types import Batch, TrainState
from l2s_auto.hypergradients.matching import estimate, flat, note, unflat
from l2s_auto.hypergradients.precision import full_precision
from l2s_auto.training.batches import DrawnBatch, augment, draw_batch, draw_pair
from l2s_auto.training.build import HOME, Parts
from l2s_auto.training.step import StepResult, loss_gradients, loss_moments, phi_step, replace_state

#: Numbers in theta, at most: each costs a first-order pass.
MOST = 64
#: No coordinate of theta is sent farther than this at a time: beyond, its derivative says little.
FARTHEST = 0.5
#: What is compared beside the gradient: the mean of the samples' losses and their spread.
FIGURES = 2
LOGGER = logging.getLogger("l2s_auto")


class Matched:
    """S_phi learns from synthetic images alone, as in Learn2Synth; theta follows the estimate of `matching`.

    Real images are looked at for their gradient on every iteration after the warm-up, S_phi never moves by it. The
    synthetic gradient that is compared with it is that of images of the same label maps, not deformed: what differs
    from one anatomy to another is in both, and goes out. The derivative by theta is a difference of such gradients
    with the same random numbers. Compared are the mean and the spread of the samples' losses too: by the spread, images
    that are noisy in different degrees are told from ones that are all alike.

    jacobian_every  iterations from one derivative by theta to the next
    follow          share of the way to the estimate, in (0, 1], that theta goes whenever there is a new derivative
    gather          share of the training before theta moves in which gradients are gathered
    step            difference in theta's coordinates

    Theta's coordinates are those in which what it does is nearly linear (`AugmenterModule.effects`): a noise of level
    sigma changes images in proportion to sigma² in the mean, and a gradient by sigma would vanish at 0.
    """

    families: Mapping[str, float] | None = None
    needs_images = True
    hyper_steps = True
    home = HOME
    most_numbers = MOST

    def __init__(
        self, *, jacobian_every: int = 8, follow: float = 0.3, gather: float = 0.05, step: float = 0.1
    ) -> None:
        if jacobian_every < 1 or not 0 < follow <= 1 or not 0 <= gather < 1 or step <= 0:
            raise ValueError(
                "jacobian_every >= 1, follow in (0, 1], gather in [0, 1) and step > 0 are needed, not "
                f"{jacobian_every}, {follow}, {gather}, {step}"
            )
        self.jacobian_every, self.follow, self.gather, self.step_size = jacobian_every, follow, gather, step

    def augmenter(self) -> AugmenterModule | None:
        return None

    def step(self, parts: Parts, state: TrainState, *, progress: float) -> StepResult:
        if state.step == 0:
            require_few(state.theta, most=self.most_numbers, augmenter=parts.recipe.augmenter.name)
        synthetic = draw_batch(parts, state.theta)
        with torch.no_grad():
            image = augment(parts, state.theta, synthetic)
        grads, loss = loss_gradients(parts, state.phi, Batch(image, synthetic.target))
        warm_up, real_loss = parts.recipe.warm_up, None
        if progress >= warm_up - self.gather:
            state, real_loss, renewed = self.gather_moments(parts, state)
            if renewed and progress >= warm_up:
                state = self.move(parts, state)
        return StepResult(phi_step(parts, state, grads, rate_scale=parts.schedule(progress)), loss, real_loss)

    def gather_moments(self, parts: Parts, state: TrainState) -> tuple[TrainState, float, bool]:
        """Note what a real batch and its synthetic twin do to the network.

        Returns the state, the real loss and whether the Jacobian is new.
        """
        scans, synthetic = draw_pair(parts)
        grads, losses = loss_moments(parts, state.phi, scans)
        before = state.moments.get("real")
        centre = losses[0] if before is None else before[-FIGURES]
        renew = state.moments.get("count", 0) % self.jacobian_every == 0
        seen = {
            "real": seen_in(grads, losses, centre),
            "synthetic": self.seen(parts, state, synthetic, state.theta, centre),
        }
        if renew:
            seen["jacobian"] = self.jacobian(parts, state, synthetic, centre)
        if not all(values.isfinite().all() for values in seen.values()):
            # A single NaN would stay in the means for good.
            LOGGER.warning("Iteration %d: a gradient is not finite; theta rests.", state.step + 1)
            return state, losses[0].item(), False
        moments = note(state.moments, theta=flat(effects(parts, state.theta)), figures=FIGURES, **seen)
        return replace_state(state, moments=moments), losses[0].item(), renew

    def seen(
        self,
        parts: Parts,
        state: TrainState,
        synthetic: DrawnBatch,
        theta: Params,
        centre: torch.Tensor,
        *,
        fast: bool = True,
    ) -> torch.Tensor:
        """(N + F,) what synthetic images of that theta do to the network; fast: in the device's fast precision."""
        with torch.no_grad():
            image = augment(parts, theta, synthetic)
        with nullcontext() if fast else full_precision():
            return seen_in(*loss_moments(parts, state.phi, Batch(image, synthetic.target), fast=fast), centre)

    def jacobian(self, parts: Parts, state: TrainState, synthetic: DrawnBatch, centre: torch.Tensor) -> torch.Tensor:
        """(K, N + F) derivative of what is seen by each number of theta, which stays within its bounds.

        In full precision: a difference of two gradients is small beside either.
        """
        theta = effects(parts, state.theta)
        at = flat(theta)
        here = self.seen(parts, state, synthetic, state.theta, centre, fast=False)
        rows = []
        for k in range(len(at)):
            step = torch.zeros_like(at)
            step[k] = self.step_size
            moved = of_effects(parts, unflat(at + step, theta))
            if self.moved_by(parts, moved, at, k) < self.step_size / 2:
                moved = of_effects(parts, unflat(at - step, theta))
            there = self.seen(parts, state, synthetic, moved, centre, fast=False)
            rows.append((there - here) / self.moved_by(parts, moved, at, k))
        return torch.stack(rows)

    @staticmethod
    def moved_by(parts: Parts, theta: Params, at: torch.Tensor, k: int) -> torch.Tensor:
        """How far theta's kth coordinate is from where it was; less than was asked for where a bound is near."""
        return (flat(effects(parts, theta)) - at)[k]

    @torch.no_grad()
    def move(self, parts: Parts, state: TrainState) -> TrainState:
        """Theta some of the way to where the estimate is, or to the nearest place within its bounds."""
        found = estimate(state.moments)
        if not found.isfinite().all():
            return state
        theta = effects(parts, state.theta)
        at = flat(theta)
        near = at + (found - at).clamp(-FARTHEST, FARTHEST)
        goal = flat(effects(parts, of_effects(parts, unflat(near, theta))))
        return replace_state(state, theta=of_effects(parts, unflat(at.lerp(goal, self.follow), theta)))


def seen_in(grads: Params, losses: torch.Tensor, centre: torch.Tensor) -> torch.Tensor:
    """(N + 2,) gradients by the weights, the mean of the samples' losses and of their squared distance to `centre`.

    losses  (2,) means of the samples' losses and of their squares
    """
    mean, square = losses
    return torch.cat([flat(grads), torch.stack([mean, square - 2 * centre * mean + centre**2])])


def require_few(theta: Params, *, most: int, augmenter: str) -> None:
    """UserError if theta has more numbers than can be found by matching gradients."""
    count = sum(p.numel() for p in theta.values())
    if count > most:
        raise UserError.single(
            "Theta has too many numbers to be found by matching gradients.",
            where=f"augmenter {augmenter}",
            found=f"{count} numbers",
            expected=f"at most {most}",
            mend="Choose a parametric augmenter, or the method learn2synth.",
        )


def effects(parts: Parts, theta: Params) -> Params:
    """Theta's coordinates; theta itself for an augmenter that knows of none."""
    return parts.augmenter.effects(theta) if hasattr(parts.augmenter, "effects") else theta


def of_effects(parts: Parts, coordinates: Params) -> Params:
    """The inverse of `effects`, within theta's bounds."""
    for name in ("of_effects", "nearest"):
        if hasattr(parts.augmenter, name):
            return getattr(parts.augmenter, name)(coordinates)
    return coordinates
