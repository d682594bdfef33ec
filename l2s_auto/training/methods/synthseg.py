"""SynthSeg (Billot et al., Medical Image Analysis 2023): domain randomisation with fixed, wide ranges."""

from __future__ import annotations

from l2s_auto.augmenters import AugmenterModule, Randomised
from l2s_auto.core.types import TrainState
from l2s_auto.training.build import Parts
from l2s_auto.training.step import StepResult, synthetic_step


class SynthSeg:
    """Learn2Synth's plain iteration with nothing to learn in the augmenter."""

    needs_images = False
    hyper_steps = False

    def augmenter(self) -> AugmenterModule | None:
        return Randomised()

    def step(self, parts: Parts, state: TrainState, *, progress: float) -> StepResult:
        return synthetic_step(parts, state, rate_scale=parts.schedule(progress))
