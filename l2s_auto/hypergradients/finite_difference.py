"""The hypergradient of one update at the price of first order, by differences along u."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from l2s_auto.core.protocols import BilevelProblem, Params
from l2s_auto.hypergradients.differentiate import gradient, gradients, leaves, pieces_of
from l2s_auto.hypergradients.finite_steps import moved, step_size
from l2s_auto.hypergradients.two_pass import ImageLoss, Sum, SyntheticPass, TwoPass


class CentralDifference(TwoPass):
    """w = [d(loss)/dx at phi + h u  -  d(loss)/dx at phi - h u] / 2h, with an error of the order of h².

    Two first-order passes without gradients by the weights. They run in full precision, the others need not.

    step  length of h · u, as a share of the length of phi
    """

    sees_kinks = True

    def __init__(
        self,
        *,
        step: float = 1e-4,
        part: float = 1.0,
        micro_batch: int | None = None,
        fast: bool = True,
        direction: str = "update",
        direction_options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(
            part=part, micro_batch=micro_batch, fast=fast, direction=direction, direction_options=direction_options
        )
        if step <= 0:
            raise ValueError(f"step must be positive, not {step}")
        self.step = step

    def mixed(
        self, loss: ImageLoss, phi: Params, u: Params, image: torch.Tensor, piece: slice, kept: Any
    ) -> torch.Tensor:
        h = step_size(self.step, phi, u)
        ahead = image_gradient(loss, moved(phi, u, h), image)
        return (ahead - image_gradient(loss, moved(phi, u, -h), image)) / (2 * h)


class OneSidedDifference(CentralDifference):
    """w = [d(loss)/dx at phi + h u  -  d(loss)/dx at phi] / h, with an error of the order of h.

    The gradient at phi is that of the synthetic pass, which therefore runs in full precision; so there is one more
    pass, without gradients by the weights.
    """

    fast_synthetic = False

    def synthetic_pass(self, problem: BilevelProblem, phi: Params, theta: Params) -> SyntheticPass:
        total, by_image = Sum(), []
        for piece in pieces_of(problem.synthetic, self.micro_batch):
            with torch.no_grad():
                image = problem.augmented(theta, piece)
            probe = {"": image.requires_grad_(), **leaves(phi)}
            loss = problem.synth_loss({name: p for name, p in probe.items() if name}, image, piece)
            grads = gradients(loss, probe, optional=[""])
            by_image.append(grads.pop(""))
            total.add({"": loss.detach(), **grads})
        loss = total.values.pop("")
        return SyntheticPass(loss, total.values, torch.cat(by_image))

    def mixed(
        self, loss: ImageLoss, phi: Params, u: Params, image: torch.Tensor, piece: slice, kept: Any
    ) -> torch.Tensor:
        h = step_size(self.step, phi, u)
        return (image_gradient(loss, moved(phi, u, h), image) - kept[piece]) / h


def image_gradient(loss: ImageLoss, phi: Params, image: torch.Tensor) -> torch.Tensor:
    """d(loss)/d(image), without the gradients by the weights."""
    image = image.detach().requires_grad_()
    return gradient(loss(phi, image), image)
