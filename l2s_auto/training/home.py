"""The home phase: the last part of a training, mostly on real scans as they are, from which the home weights come.

The weights before it are the general ones. Both are the ends of the model's dial (`core.dial`).
"""

from __future__ import annotations

from dataclasses import dataclass

from l2s_auto.core.composition import AT_HOME, Composition
from l2s_auto.core.recipe import Recipe
from l2s_auto.core.types import TrainState
from l2s_auto.training.build import Parts
from l2s_auto.training.methods import Method
from l2s_auto.training.methods.first_order import plain_step
from l2s_auto.training.step import StepResult, replace_state

HOME_IMAGES = Composition(AT_HOME)


@dataclass(frozen=True)
class Phases:
    """A method's training, and the home phase after it.

    home  fraction of the training for the home phase, in [0, 1); 0: there is none
    rate  learning rate of the home phase, as a fraction of the optimiser's; it follows the schedule from its start
    """

    method: Method
    home: float = 0.0
    rate: float = 1.0

    @property
    def home_from(self) -> float:
        """Progress at which the home phase starts."""
        return 1.0 - self.home

    def is_home(self, progress: float) -> bool:
        return self.home > 0 and progress >= self.home_from

    def of_method(self, progress: float) -> float:
        """Progress of the method's training, which ends where the home phase starts: 1 from there on."""
        return 1.0 if self.is_home(progress) else progress / self.home_from

    def step(self, parts: Parts, state: TrainState, *, progress: float) -> StepResult:
        """One iteration; in the home phase of a state that `begin_home` gave."""
        if not self.is_home(progress):
            return self.method.step(parts, state, progress=self.of_method(progress))
        rate_scale = self.rate * parts.schedule((progress - self.home_from) / self.home)
        return plain_step(parts, state, rate_scale=rate_scale, composition=HOME_IMAGES)


def home_of(method: Method, recipe: Recipe) -> float:
    """Fraction of the training for the home phase: the recipe's, or else the method's."""
    return method.home if recipe.home is None else recipe.home


def phases_of(method: Method, recipe: Recipe, *, has_images: bool) -> Phases:
    """The home phase of a training; none without images."""
    return Phases(method, home_of(method, recipe) if has_images else 0.0, recipe.home_rate)


def begin_home(parts: Parts, state: TrainState) -> TrainState:
    """Keep the general weights; the home phase goes on from them as a training that starts."""
    kept = {"phi": state.phi, "inner_state": state.inner_state}
    phi = {name: value.clone() for name, value in state.phi.items()}  # a checkpoint holds no tensor twice
    return replace_state(state, phi=phi, inner_state=parts.rule.init(phi), general=kept)


def back_to_general(state: TrainState) -> TrainState:
    """Of a finished training that is made longer: its general weights, which go on to learn."""
    if not state.general:
        return state
    return replace_state(state, phi=state.general["phi"], inner_state=state.general["inner_state"], general={})
