"""Supervised training on the labelled real scans, deformed as synthetic ones are, with mild changes of intensity."""

from __future__ import annotations

import torch

from l2s_auto.augmenters import AugmenterModule, Randomised
from l2s_auto.core.types import Batch, TrainState
from l2s_auto.synthesis.intensity import rescale
from l2s_auto.training.build import Parts
from l2s_auto.training.draws import MARGIN, blanked, draw_blank, draw_noise, imitate_context, in_context
from l2s_auto.training.step import StepResult, first_order_update

#: Largest exponent of the bias field and largest noise of the mild augmentation.
MILD = {"exponent": 0.2, "sigma": 0.05}


class Supervised:
    """The network, loss, deformation and schedule of the other methods; real images in place of synthetic ones.

    exponent, sigma  largest exponent of the bias field and largest noise of the mild augmentation
    """

    needs_images = True
    hyper_steps = False

    def __init__(self, *, exponent: float = MILD["exponent"], sigma: float = MILD["sigma"]) -> None:
        self._augmenter = Randomised(exponent=exponent, sigma=sigma)

    def augmenter(self) -> AugmenterModule | None:
        return self._augmenter

    def step(self, parts: Parts, state: TrainState, *, progress: float) -> StepResult:
        batch = draw_augmented(parts, parts.augmenter)
        state, loss = first_order_update(parts, state, batch, rate_scale=parts.schedule(progress))
        return StepResult(state, None, loss)


@torch.no_grad()
def draw_augmented(parts: Parts, augmenter: AugmenterModule) -> Batch:
    """This process's share of deformed patches of real scans with the augmenter's mild bias field and noise."""
    plan = parts.plan
    mine = parts.team.share(plan.batch)
    boxes = parts.sampler.sample(plan.batch, plan.patch, margin=MARGIN, images=True, share=mine)
    assert boxes.image is not None
    draw = parts.generator.draw(plan.batch, parts.random).of(mine)
    image = parts.generator.warp(boxes.image, draw)
    image = augmenter(image, draw_noise(parts, augmenter, image, plan.batch))
    target = parts.generator.layout(boxes.enriched, draw, cropped=False).target
    image = blanked(rescale(image), draw_blank(parts, plan.batch))
    return Batch(in_context(image, imitate_context(parts, target, plan.batch)), target)
