"""Methods without a learned augmenter: they differ in the families of images that the network learns from."""

from __future__ import annotations

from collections.abc import Mapping

from l2s_auto.augmenters import AugmenterModule, Randomised
from l2s_auto.core.composition import ORIGINAL, Composition, uniform
from l2s_auto.core.types import TrainState
from l2s_auto.training.batches import draw_plain
from l2s_auto.training.build import Parts
from l2s_auto.training.step import StepResult, first_order_update

#: Real scans as they are.
SCANS = Composition({ORIGINAL: 1.0})


class FirstOrder:
    """An update on each batch; the scanner is `Randomised`."""

    families: Mapping[str, float] | None = uniform()
    needs_images = False
    hyper_steps = False
    home = 0.0

    def augmenter(self) -> AugmenterModule | None:
        return Randomised()

    def step(self, parts: Parts, state: TrainState, *, progress: float) -> StepResult:
        return plain_step(parts, state, rate_scale=parts.schedule(progress))


class SynthSeg(FirstOrder):
    """SynthSeg (Billot et al., Medical Image Analysis 2023): domain randomisation with fixed, wide ranges."""


class Supervised(FirstOrder):
    """Supervised training on labelled real scans: the network, loss, deformation and schedule of the other methods."""

    families = SCANS.fractions
    needs_images = True


class Mixed(FirstOrder):
    """Synthetic and real images in one batch, half of each: the joint training that the paper compares with."""

    families: Mapping[str, float] | None = {**uniform(0.5), ORIGINAL: 0.5}
    needs_images = True


def plain_step(
    parts: Parts, state: TrainState, *, rate_scale: float, composition: Composition | None = None
) -> StepResult:
    """An update on a batch of the families of a composition; None: the training's. Theta is not updated.

    The loss is that of real scans where no image is rendered from label maps.
    """
    batch = draw_plain(parts, state.theta, composition=composition)
    state, loss = first_order_update(parts, state, batch, rate_scale=rate_scale)
    real = (composition or parts.generator.composition).rendered == 0
    return StepResult(state, None if real else loss, loss if real else None)
