"""First synthetic images, then the labelled real scans: the fine-tuning that the paper compares with."""

from __future__ import annotations

from l2s_auto.core.types import TrainState
from l2s_auto.training.build import Parts
from l2s_auto.training.methods.first_order import SCANS, FirstOrder, plain_step
from l2s_auto.training.step import StepResult


class Finetuned(FirstOrder):
    """`synthseg` for a share of the training, then `supervised` from its weights at a lower rate.

    synthetic  share of the training, in (0, 1), on synthetic images
    rate       learning rate of the rest, in (0, 1], as a share of the recipe's; each part has its own schedule
    """

    needs_images = True

    def __init__(self, *, synthetic: float = 0.7, rate: float = 0.1) -> None:
        if not 0 < synthetic < 1 or not 0 < rate <= 1:
            raise ValueError(f"synthetic in (0, 1) and rate in (0, 1] are needed, not {synthetic} and {rate}")
        self.synthetic, self.rate = synthetic, rate

    def step(self, parts: Parts, state: TrainState, *, progress: float) -> StepResult:
        if progress < self.synthetic:
            return plain_step(parts, state, rate_scale=parts.schedule(progress / self.synthetic))
        rest = (progress - self.synthetic) / (1 - self.synthetic)
        return plain_step(parts, state, rate_scale=self.rate * parts.schedule(rest), composition=SCANS)
