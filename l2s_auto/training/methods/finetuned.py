"""First synthetic images, then the labelled real scans: the fine-tuning that the paper compares with."""

from __future__ import annotations

from l2s_auto.augmenters import AugmenterModule, Randomised
from l2s_auto.core.types import TrainState
from l2s_auto.training.build import Parts
from l2s_auto.training.methods.supervised import draw_augmented
from l2s_auto.training.step import StepResult, first_order_update, synthetic_step


class Finetuned:
    """`synthseg` for a share of the training, then `supervised` from its weights at a lower rate.

    synthetic  share of the training, in (0, 1), on synthetic images
    rate       learning rate of the rest, in (0, 1], as a share of the recipe's; each part has its own schedule
    """

    needs_images = True
    hyper_steps = False

    def __init__(self, *, synthetic: float = 0.7, rate: float = 0.1) -> None:
        if not 0 < synthetic < 1 or not 0 < rate <= 1:
            raise ValueError(f"synthetic in (0, 1) and rate in (0, 1] are needed, not {synthetic} and {rate}")
        self.synthetic, self.rate = synthetic, rate

    def augmenter(self) -> AugmenterModule | None:
        return Randomised()

    def step(self, parts: Parts, state: TrainState, *, progress: float) -> StepResult:
        if progress < self.synthetic:
            return synthetic_step(parts, state, rate_scale=parts.schedule(progress / self.synthetic))
        rest = (progress - self.synthetic) / (1 - self.synthetic)
        batch = draw_augmented(parts)
        state, loss = first_order_update(parts, state, batch, rate_scale=self.rate * parts.schedule(rest))
        return StepResult(state, None, loss)
