"""Methods of training: what each iteration does with the parts. One small file each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from l2s_auto.augmenters import AugmenterModule
from l2s_auto.core.types import TrainState
from l2s_auto.training.build import Parts
from l2s_auto.training.methods.advchain import AdvChain
from l2s_auto.training.methods.finetuned import Finetuned
from l2s_auto.training.methods.first_order import Mixed, Supervised, SynthSeg
from l2s_auto.training.methods.learn2synth import Learn2Synth
from l2s_auto.training.methods.matched import Matched
from l2s_auto.training.step import StepResult


class Method(Protocol):
    """families      fractions of the families of images, where a recipe has none; None: `core.composition.learned_from`
    needs_images  whether label maps alone are not enough
    hyper_steps   whether some iterations take theta's gradient, which needs memory
    home          fraction of the training for the home phase, where a recipe has none
    """

    families: Mapping[str, float] | None
    home: float

    needs_images: bool
    hyper_steps: bool

    def augmenter(self) -> AugmenterModule | None:
        """The method's own augmenter; None = the recipe's."""
        ...

    def step(self, parts: Parts, state: TrainState, *, progress: float) -> StepResult:
        """One iteration; progress is the share of the training that is done, in [0, 1)."""
        ...


METHODS = {
    "learn2synth": Learn2Synth,
    "learn2synth-matched": Matched,
    "synthseg": SynthSeg,
    "supervised": Supervised,
    "mixed": Mixed,
    "finetuned": Finetuned,
    "advchain": AdvChain,
}
