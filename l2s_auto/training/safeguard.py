"""Whether learning theta has paid: over the end of a training a rival is trained beside it, with theta as it started.

Both begin at the same weights, see the same label maps with the same random numbers, and end with the learning rate at
0. The one that is better on held-out cases is kept.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from l2s_auto.core.protocols import Params
from l2s_auto.core.types import TrainState
from l2s_auto.training.build import Parts
from l2s_auto.training.step import StepResult, replace_state, synthetic_step

#: Share of the training in which there is a rival.
LAST = 0.1
LOGGER = logging.getLogger("l2s_auto")


def beside(
    parts: Parts, state: TrainState, step: Callable[[TrainState], StepResult], *, progress: float, rate_scale: float
) -> StepResult:
    """The iteration `step`; near the end one of the rival after it, on the same random numbers.

    There is a rival once theta is not what it was at the start.
    """
    if progress >= 1 - LAST and not state.rival and _has_moved(state):
        state = with_rival(state)
    if progress < 1 - LAST or not state.rival:
        return step(state)
    before = _random(parts)
    result = step(state)
    after = _random(parts)
    _restore(parts, before)
    rival = synthetic_step(parts, as_rival(state), rate_scale=rate_scale).state
    _restore(parts, after)
    return replace(result, state=with_rival(result.state, rival))


def with_rival(state: TrainState, rival: TrainState | None = None) -> TrainState:
    """The state with a rival of these weights; None: of its own."""
    rival = rival or state
    return replace_state(state, rival={"phi": rival.phi, "inner_state": rival.inner_state})


def as_rival(state: TrainState) -> TrainState:
    """The state that the rival is in, without another."""
    theta = {name: value.clone() for name, value in state.start.items()}  # a checkpoint holds no tensor twice
    return replace_state(state, phi=state.rival["phi"], inner_state=state.rival["inner_state"], theta=theta, rival={})


@dataclass(frozen=True)
class Settled:
    """The state to keep, its Dice on held-out cases (None where there are none), and the figures that were compared."""

    state: TrainState
    dice: float | None
    compared: dict[str, float] = field(default_factory=dict)


def settled(state: TrainState, validate: Callable[[Params], float | None]) -> Settled:
    """The better of the training and its rival; without held-out cases, what theta has learned."""
    own = validate(state.phi)
    if not state.rival:
        return Settled(state, own)
    rival, kept = as_rival(state), replace_state(state, rival={})
    without = validate(rival.phi) if own is not None else None
    if own is None or without is None:
        return Settled(kept, own)
    compared = {"learned": own, "start": without}
    figures = f"mean Dice {own:.3f} with theta as learned, {without:.3f} with theta as at the start"
    if without > own:
        LOGGER.info("Theta as at the start is kept: %s. Learning it has not paid here.", figures)
        return Settled(rival, without, compared)
    LOGGER.info("Theta as learned is kept: %s.", figures)
    return Settled(kept, own, compared)


def _has_moved(state: TrainState) -> bool:
    """Not where the start is not known, as in checkpoints of earlier versions."""
    return any(not torch.equal(value, state.theta[name]) for name, value in state.start.items())


def _random(parts: Parts) -> tuple[torch.Tensor, dict[str, Any]]:
    return parts.random.get_state(), parts.sampler.state()


def _restore(parts: Parts, state: tuple[torch.Tensor, dict[str, Any]]) -> None:
    parts.random.set_state(state[0])
    parts.sampler.restore(state[1])
