"""The two passes of a hyper-step (Learn2Synth, arXiv 2411.16719, section 3), and what all estimators share.

With g the synthetic gradient, phi' = U(phi, g) and v = d(real loss)/d(phi'), theta's gradient is

    d(real loss)/d(theta) = v · dU/dg · dg/d(theta) = d<u, g>/d(theta),   u = v · dU/dg held fixed.

g depends on theta through the augmented image x alone, so an estimator's whole task is w = d<u, g>/dx, a directional
derivative, along u, of the gradient by the image:  w = d/de [d(synthetic loss)/dx at phi + e · u] at e = 0.
Theta's gradient is then w · dx/d(theta), one backward pass through A_theta.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from l2s_auto.core.protocols import BilevelProblem, BilevelStep, Params, State, UpdateRule
from l2s_auto.hypergradients.differentiate import gradients, leaves, part_of, pieces_of
from l2s_auto.hypergradients.directions import DIRECTIONS, Seen
from l2s_auto.hypergradients.precision import full_precision

#: (phi, image) -> the synthetic loss of a piece
ImageLoss = Callable[[Params, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class SyntheticPass:
    """Loss and gradient by phi on the synthetic batch of this process, and what an estimator keeps for later."""

    loss: torch.Tensor
    grads: Mapping[str, torch.Tensor]
    kept: Any = None


class TwoPass(ABC):
    """A hyper-step, all but the mixed derivative, which is the estimator's.

    part         share of the synthetic batch, in (0, 1], that theta's gradient is taken from; phi learns from all of it
    micro_batch  samples that are in memory at a time; None = all
    fast         first-order passes in the device's fast precision, where the estimator can bear it
    direction    name of what u is, in `directions.DIRECTIONS`; its options in `direction_options`
    """

    #: Whether the synthetic pass itself may run in fast precision: not if it is differentiated or differenced again.
    fast_synthetic = True
    #: Peak of a hyper-step's activations as a multiple of what a plain step keeps, for the planner; measured
    #: (`benchmarks/memory_model.py`).
    memory = 1.65
    #: Whether the estimator sees kinks of the network that the derivative leaves out.
    sees_kinks = False

    def __init__(
        self,
        *,
        part: float = 1.0,
        micro_batch: int | None = None,
        fast: bool = True,
        direction: str = "update",
        direction_options: Mapping[str, Any] | None = None,
    ) -> None:
        if not 0 < part <= 1 or (micro_batch is not None and micro_batch < 1):
            raise ValueError(f"part in (0, 1] and micro_batch >= 1 are needed, not {part}, {micro_batch}")
        if direction not in DIRECTIONS:
            raise ValueError(f"direction among {', '.join(DIRECTIONS)} needed, not {direction!r}")
        self.part, self.micro_batch, self.fast = part, micro_batch, fast
        self.direction = DIRECTIONS[direction](**(direction_options or {}))

    def __call__(
        self,
        problem: BilevelProblem,
        phi: Params,
        theta: Params,
        rule: UpdateRule,
        state: State,
        *,
        rate_scale: float = 1.0,
    ) -> BilevelStep:
        phi = {name: p.detach() for name, p in phi.items()}
        theta = leaves(theta)
        with nullcontext() if self.fast and self.fast_synthetic else full_precision():
            synthetic = self.synthetic_pass(problem, phi, theta)
        grads = problem.joint(synthetic.grads)
        with torch.no_grad():
            new_phi, new_state = rule.update(phi, grads, state, rate_scale=rate_scale)
        real_loss, v = self.real_pass(problem, new_phi)
        with torch.no_grad():
            again = partial(self.again, problem, theta)
            u = self.direction(Seen(problem.joint(v), grads, rule, state, phi, again, rate_scale))
        theta_grad = problem.joint(self.theta_gradient(problem, phi, theta, u, synthetic))
        losses = problem.joint({"synthetic": synthetic.loss, "real": real_loss})
        return BilevelStep(new_phi, new_state, theta_grad, losses["synthetic"].item(), losses["real"].item(), u)

    def synthetic_pass(self, problem: BilevelProblem, phi: Params, theta: Params) -> SyntheticPass:
        """Loss and gradient by phi, piece by piece."""
        fast = self.fast and self.fast_synthetic
        total = Sum()
        for piece in pieces_of(problem.synthetic, self.micro_batch):
            with torch.no_grad():
                image = problem.augmented(theta, piece)
            probe = leaves(phi)
            loss = problem.synth_loss(probe, image, piece, fast=fast)
            total.add({"": loss.detach(), **gradients(loss, probe)})
        loss = total.values.pop("")
        return SyntheticPass(loss, total.values)

    def again(self, problem: BilevelProblem, theta: Params, phi: Params) -> dict[str, torch.Tensor]:
        """The joint synthetic gradient at other weights, in full precision."""
        total = Sum()
        with torch.enable_grad(), full_precision():
            for piece in pieces_of(problem.synthetic, self.micro_batch):
                with torch.no_grad():
                    image = problem.augmented(theta, piece)
                probe = leaves(phi)
                total.add(gradients(problem.synth_loss(probe, image, piece), probe))
        return problem.joint(total.values)

    def real_pass(self, problem: BilevelProblem, phi: Params) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The real loss and v, its gradient by the updated phi."""
        total = Sum()
        for piece in pieces_of(problem.real, self.micro_batch):
            probe = leaves(phi)
            loss = problem.real_loss(probe, piece, fast=self.fast)
            total.add({"": loss.detach(), **gradients(loss, probe)})
        loss = total.values.pop("")
        return loss, total.values

    def theta_gradient(
        self, problem: BilevelProblem, phi: Params, theta: Params, u: Params, synthetic: SyntheticPass
    ) -> dict[str, torch.Tensor]:
        """w · dx/d(theta), piece by piece, over this process's samples; 0 for what has no influence on the images."""
        count = part_of(problem.synthetic, self.part)
        total = Sum()
        for piece in pieces_of(count, self.micro_batch):
            image = problem.augmented(theta, piece)
            with full_precision():
                w = self.mixed(_loss_of(problem, piece), phi, u, image.detach(), piece, synthetic.kept)
            w = w * (problem.synthetic / count)
            total.add(pulled_back(w, image, theta))
        return total.values

    @abstractmethod
    def mixed(
        self, loss: ImageLoss, phi: Params, u: Params, image: torch.Tensor, piece: slice, kept: Any
    ) -> torch.Tensor:
        """w = d<u, d(loss)/d(phi)>/d(image), (B, C, *S), for the piece; `kept` is from the synthetic pass."""


class Sum:
    """Tensors by name, added up over pieces."""

    def __init__(self) -> None:
        self.values: dict[str, torch.Tensor] = {}

    def add(self, values: Params) -> None:
        if self.values:
            for name, value in values.items():
                self.values[name] += value
        else:
            self.values = dict(values)


def pulled_back(w: torch.Tensor, image: torch.Tensor, theta: Params) -> dict[str, torch.Tensor]:
    """w · d(image)/d(theta)."""
    if not image.requires_grad:
        return {name: torch.zeros_like(p) for name, p in theta.items()}
    values = torch.autograd.grad(image, list(theta.values()), w, allow_unused=True, materialize_grads=True)
    return dict(zip(theta, values, strict=True))


def _loss_of(problem: BilevelProblem, piece: slice) -> ImageLoss:
    def loss(phi: Params, image: torch.Tensor) -> torch.Tensor:
        return problem.synth_loss(phi, image, piece)

    return loss
