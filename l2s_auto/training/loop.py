"""Iterations until the end of the training: progress, history, validation, checkpoints, interruption."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch.nn.utils import get_total_norm

from l2s_auto.core.errors import UserError
from l2s_auto.core.protocols import Params
from l2s_auto.core.types import TrainState
from l2s_auto.training.build import Parts
from l2s_auto.training.early import Stages
from l2s_auto.training.home import Phases, begin_home
from l2s_auto.training.interrupts import deferred_interrupts
from l2s_auto.training.progress import Progress
from l2s_auto.training.remaining_time import Course
from l2s_auto.training.shrink import free, out_of_memory, smaller
from l2s_auto.training.step import StepResult
from l2s_auto.training.writer import Writer

Validate = Callable[[Params], "float | None"]
#: Iterations in a row that end in NaN or infinity, after which a training gives up.
PATIENCE = 20
LOGGER = logging.getLogger("l2s_auto")


@dataclass(frozen=True)
class Limits:
    """When a training ends, how often it writes, and how long what follows takes.

    iterations        updates of phi; None = as many as fit the time
    time_budget       seconds; None = no limit
    log_every         iterations a line of the history
    checkpoint_every  seconds
    validations       number of validations over the training, evenly spaced in progress
    after             fraction of the training's time that the choice of a point takes at most after it
    """

    iterations: int | None
    time_budget: float | None
    log_every: int = 10
    checkpoint_every: float = 30.0
    validations: int = 10
    after: float = 0.0

    def __post_init__(self) -> None:
        assert self.iterations or self.time_budget, "a training needs an end"

    def progress(self, state: TrainState) -> float:
        """Share of the training that is done; 1 or more at its end."""
        by_count = state.step / self.iterations if self.iterations else 0.0
        by_time = state.seconds / self.time_budget if self.time_budget else 0.0
        return max(by_count, by_time)


def train(
    parts: Parts, phases: Phases, state: TrainState, *, folder: Path, limits: Limits, validate: Validate, title: str
) -> TrainState:
    """Train until a limit is reached; `folder` then holds weights, checkpoint and history, which the leader writes.

    An iteration that ends in NaN or infinity is undone: weights and theta stay what they were, and the next one draws
    other images. One that the device has too little memory for is begun again, smaller.

    Raises KeyboardInterrupt after a signal, when everything is saved: the training can be resumed, and predicts.
    Raises UserError after PATIENCE undone iterations in a row, and where no training fits into the memory.
    """
    restore_random(parts, state)
    writer = Writer(parts, folder, first_step=state.step)
    course = course_of(parts, phases, limits)
    seen = Progress(title, course, progress=limits.progress(state), shown=parts.team.leader)
    started = time.monotonic() - state.seconds
    val_dice: float | None = None
    next_validation = math.floor(limits.progress(state) * limits.validations) + 1
    undone, stages = 0, Stages(parts)
    with deferred_interrupts() as interrupts, seen.bar:
        state.seconds, stop = parts.team.agree(state.seconds, interrupts.arrived)
        while not stop and (progress := limits.progress(state)) < 1:
            if phases.is_home(progress) and not state.general:
                writer.line(state, validate(state.phi))
                state = begin_home(parts, state)
            of_stage = stages.at(phases.of_method(progress))
            result = step_or_none(of_stage, phases, state, progress)
            if result is None:
                stages = Stages(smaller(stages.parts, batch=of_stage.plan.batch))
                continue
            if finite(result):
                undone, state = 0, result.state
                writer.note(result)
            else:
                undone += 1
                LOGGER.warning("Iteration %d ended in NaN or infinity and was undone.", state.step + 1)
            state.step += 1
            state.seconds, stop = parts.team.agree(time.monotonic() - started, interrupts.arrived)
            if undone == PATIENCE:
                writer.save(state)
                raise diverged(state)
            seen.iteration(progress, state.seconds)
            progress, new_dice = limits.progress(state), None
            if progress * limits.validations >= next_validation and progress < 1:
                next_validation = math.floor(progress * limits.validations) + 1
                began = time.monotonic()
                new_dice = validate(state.phi)
                seen.validated(time.monotonic() - began)
                val_dice = new_dice if new_dice is not None else val_dice
            if new_dice is not None or (state.step % limits.log_every == 0 and progress < 1):
                writer.line(state, new_dice)
                seen.show(progress, state.seconds, result.loss_synth or result.loss_real, val_dice)
            writer.save_from_time_to_time(state, every=limits.checkpoint_every)
        if not stop:
            seen.show(1.0, state.seconds, None, val_dice)
    if stop:
        writer.line(state, None)
        writer.save(state)
        raise KeyboardInterrupt
    writer.line(state, validate(state.phi))
    writer.save(state)
    if interrupts.arrived and parts.team.size == 1:  # since the last iteration looked
        raise KeyboardInterrupt
    return state


def course_of(parts: Parts, phases: Phases, limits: Limits) -> Course:
    """What is known before a training begins of how long its iterations will take."""
    plan, recipe = parts.plan, parts.recipe
    hyper, method_part = phases.method.hyper_steps, phases.home_from
    return Course(
        iterations=limits.iterations,
        time_budget=limits.time_budget,
        early=0.0 if plan.early is None else plan.early.share * method_part,
        hyper_from=recipe.warm_up * method_part if hyper else None,
        hyper_every=recipe.hyper_every,
        home_from=phases.home_from,
        after=limits.after,
        validations=limits.validations,
    )


def step_or_none(parts: Parts, phases: Phases, state: TrainState, progress: float) -> StepResult | None:
    """The iteration's result; None where the device had too little memory for it.

    Of a team one process alone cannot go on otherwise than the others: there the error is raised.
    """
    try:
        return phases.step(parts, state, progress=progress)
    except RuntimeError as error:
        if parts.team.size > 1 or not out_of_memory(error):
            raise
    # Only here is what the step had made, which the error's traceback held, let go.
    free(parts.device)
    return None


def finite(result: StepResult) -> bool:
    """Whether the loss that moved the weights, the weights and theta are numbers."""
    loss = result.loss_synth if result.loss_synth is not None else result.loss_real
    values = [*result.state.phi.values(), *result.state.theta.values()]
    return (loss is None or math.isfinite(loss)) and bool(get_total_norm(values).isfinite())


def diverged(state: TrainState) -> UserError:
    """The error of a training that makes no numbers any more."""
    return UserError.single(
        f"The training has diverged: {PATIENCE} iterations in a row ended in NaN or infinity.",
        where=f"iteration {state.step}",
        found="losses or weights that are no numbers",
        expected="finite ones",
        mend="Lower the learning rate in the recipe, or look for NaN in the scans. The weights of before are saved.",
    )


def restore_random(parts: Parts, state: TrainState) -> None:
    """Put the random generators where a checkpoint left them; a fresh state has nothing to restore."""
    if state.rng:
        parts.random.set_state(state.rng["torch"])
        parts.sampler.restore(state.rng["sampler"])
