"""Synthetic and real images in one batch: the joint training that the paper compares with."""

from __future__ import annotations

import torch

from l2s_auto.augmenters import AugmenterModule, Randomised
from l2s_auto.core.types import Batch, TrainState
from l2s_auto.training.build import Parts
from l2s_auto.training.draws import draw_plain
from l2s_auto.training.methods.supervised import draw_augmented
from l2s_auto.training.step import StepResult, first_order_update


class Mixed:
    """Every other sample of a batch is a real scan, as in `supervised`, the rest are synthetic, as in `synthseg`."""

    needs_images = True
    hyper_steps = False

    def augmenter(self) -> AugmenterModule | None:
        return Randomised()

    def step(self, parts: Parts, state: TrainState, *, progress: float) -> StepResult:
        batch = draw_mixed(parts, state)
        state, loss = first_order_update(parts, state, batch, rate_scale=parts.schedule(progress))
        return StepResult(state, loss)


@torch.no_grad()
def draw_mixed(parts: Parts, state: TrainState) -> Batch:
    """This process's share of a joint batch; whether it begins with a real scan is random."""
    synthetic = draw_plain(parts, state.theta)
    real = draw_augmented(parts)
    first = torch.randint(2, (), generator=parts.random, device=parts.device)
    number = torch.arange(parts.plan.batch, device=parts.device)[parts.team.share(parts.plan.batch)]
    is_real = (number + first) % 2 == 0
    return Batch(chosen(is_real, real.image, synthetic.image), chosen(is_real, real.target, synthetic.target))


def chosen(where: torch.Tensor, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Samples of `one` where (B,) is true, of `other` elsewhere."""
    return torch.where(where.view(-1, *[1] * (one.ndim - 1)), one, other)
