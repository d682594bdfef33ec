"""Iterations until the end of the training: progress, history, validation, checkpoints, interruption."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from l2s_auto.core.protocols import Params
from l2s_auto.core.types import TrainState
from l2s_auto.training.build import Parts
from l2s_auto.training.interrupts import deferred_interrupts
from l2s_auto.training.methods import Method
from l2s_auto.training.writer import Writer

Validate = Callable[[Params], "float | None"]


@dataclass(frozen=True)
class Limits:
    """When a training ends, and how often it writes.

    iterations        updates of phi; None = as many as fit the time
    time_budget       seconds; None = no limit
    log_every         iterations a line of the history
    checkpoint_every  seconds
    validations       number of validations over the training, evenly spaced in progress
    """

    iterations: int | None
    time_budget: float | None
    log_every: int = 10
    checkpoint_every: float = 30.0
    validations: int = 10

    def __post_init__(self) -> None:
        assert self.iterations or self.time_budget, "a training needs an end"

    def progress(self, state: TrainState) -> float:
        """Share of the training that is done; 1 or more at its end."""
        by_count = state.step / self.iterations if self.iterations else 0.0
        by_time = state.seconds / self.time_budget if self.time_budget else 0.0
        return max(by_count, by_time)


def train(
    parts: Parts, method: Method, state: TrainState, *, folder: Path, limits: Limits, validate: Validate, title: str
) -> TrainState:
    """Train until a limit is reached; `folder` then holds weights, checkpoint and history, which the leader writes.

    Raises KeyboardInterrupt after a signal, when everything is saved: the training can be resumed, and predicts.
    """
    restore_random(parts, state)
    writer = Writer(parts, folder, first_step=state.step)
    bar = progress_bar(title, limits.progress(state), shown=parts.team.leader)
    started = time.monotonic() - state.seconds
    val_dice: float | None = None
    next_validation = math.floor(limits.progress(state) * limits.validations) + 1
    with deferred_interrupts() as interrupts, bar:
        state.seconds, stop = parts.team.agree(state.seconds, interrupts.arrived)
        while not stop and (progress := limits.progress(state)) < 1:
            result = method.step(parts, state, progress=progress)
            state = result.state
            state.step += 1
            state.seconds, stop = parts.team.agree(time.monotonic() - started, interrupts.arrived)
            writer.note(result)
            progress, new_dice = limits.progress(state), None
            if progress * limits.validations >= next_validation and progress < 1:
                next_validation = math.floor(progress * limits.validations) + 1
                new_dice = validate(state.phi)
                val_dice = new_dice if new_dice is not None else val_dice
            if new_dice is not None or (state.step % limits.log_every == 0 and progress < 1):
                writer.line(state, new_dice)
                show(bar, progress, result.loss_synth or result.loss_real, val_dice)
            writer.save_from_time_to_time(state, every=limits.checkpoint_every)
        if not stop:
            show(bar, 1.0, None, val_dice)
    writer.line(state, None if stop else validate(state.phi))
    writer.save(state)
    if stop:
        raise KeyboardInterrupt
    return state


def restore_random(parts: Parts, state: TrainState) -> None:
    """Put the random generators where a checkpoint left them; a fresh state has nothing to restore."""
    if state.rng:
        parts.random.set_state(state.rng["torch"])
        parts.sampler.restore(state.rng["sampler"])


def progress_bar(title: str, progress: float, *, shown: bool) -> tqdm:
    """A bar in per cent with the time left, quiet when nobody looks at a terminal."""
    return tqdm(
        desc=title,
        disable=not shown,
        total=100.0,
        initial=100.0 * progress,
        mininterval=0.5 if sys.stderr.isatty() else 30.0,
        bar_format="{desc}: {percentage:3.0f}%|{bar}| {elapsed} passed, {remaining} left{postfix}",
    )


def show(bar: tqdm, progress: float, loss: float | None, val_dice: float | None) -> None:
    parts = [f"loss {loss:.3f}"] if loss is not None else []
    parts += [f"validation Dice {val_dice:.3f}"] if val_dice is not None else []
    bar.set_postfix_str(", ".join(parts), refresh=False)
    bar.update(100.0 * min(progress, 1.0) - bar.n)
