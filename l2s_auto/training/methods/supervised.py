"""Supervised training on labelled real scans, deformed as synthetic ones are, with nnU-Net's changes of intensity."""

from __future__ import annotations

import torch

from l2s_auto.augmenters import AugmenterModule, Randomised
from l2s_auto.core.digits import relative
from l2s_auto.core.types import Batch, TrainState
from l2s_auto.synthesis.intensity import rescale
from l2s_auto.training.build import Parts
from l2s_auto.training.draws import MARGIN, blanked, draw_blank, imitate_context, in_context
from l2s_auto.training.like_nnunet import changed_like_nnunet
from l2s_auto.training.step import StepResult, first_order_update

#: A scanner that changes nothing, for methods whose images have none of A_theta.
NOTHING = {"exponent": 0.0, "sigma": 0.0}


class Supervised:
    """The network, loss, deformation and schedule of the other methods; real images in place of synthetic ones."""

    needs_images = True
    hyper_steps = False

    def augmenter(self) -> AugmenterModule | None:
        return Randomised(**NOTHING)

    def step(self, parts: Parts, state: TrainState, *, progress: float) -> StepResult:
        batch = draw_augmented(parts)
        state, loss = first_order_update(parts, state, batch, rate_scale=parts.schedule(progress))
        return StepResult(state, None, loss)


@torch.no_grad()
def draw_augmented(parts: Parts) -> Batch:
    """This process's share of deformed patches of real scans, changed as nnU-Net changes them."""
    plan = parts.plan
    mine = parts.team.share(plan.batch)
    boxes = parts.sampler.sample(plan.batch, plan.patch, margin=MARGIN, images=True, share=mine)
    assert boxes.image is not None
    draw = parts.generator.draw(plan.batch, parts.random).of(mine)
    image = parts.generator.warp(boxes.image, draw)
    seeds = torch.randint(2**31, (plan.batch,), generator=parts.random, device=parts.device)[mine].tolist()
    image = changed_like_nnunet(image, seeds, spacing=relative(plan.spacing))
    target = parts.generator.layout(boxes.enriched, draw, cropped=False).target
    image = blanked(rescale(image), draw_blank(parts, plan.batch))
    return Batch(in_context(image, imitate_context(parts, target, plan.batch)), target)
