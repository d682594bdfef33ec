"""Learn2Synth: S_phi never learns from a scan as it is, A_theta learns from real scans through S_phi's update."""

from __future__ import annotations

from collections.abc import Mapping

from l2s_auto.augmenters import AugmenterModule
from l2s_auto.core.types import TrainState
from l2s_auto.training.build import HOME, Parts
from l2s_auto.training.step import StepResult, hyper_step, synthetic_step


class Learn2Synth:
    """After a warm-up in which theta rests, every k-th iteration is a hyper-step; the others are plain.

    A young network learns fastest from clean images, which would teach theta to remove all noise: hence the warm-up.
    """

    families: Mapping[str, float] | None = None
    needs_images = True
    hyper_steps = True
    home = HOME
    #: Whether theta's gradient is taken through the augmenter, which must then be differentiable.
    differentiates_theta = True

    def augmenter(self) -> AugmenterModule | None:
        return None

    def step(self, parts: Parts, state: TrainState, *, progress: float) -> StepResult:
        recipe, rate_scale = parts.recipe, parts.schedule(progress)
        looks = progress >= recipe.warm_up and state.step % recipe.hyper_every == 0
        if looks:
            return hyper_step(parts, state, rate_scale=rate_scale, outer_rate_scale=rate_scale)
        return synthetic_step(parts, state, rate_scale=rate_scale)
