"""Iterations until the end of the training: progress, history, validation, checkpoints, interruption."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm import tqdm

from l2s_auto.core.protocols import Params
from l2s_auto.core.types import TrainState
from l2s_auto.hypergradients.signal import read
from l2s_auto.networks import save_weights
from l2s_auto.training.build import Parts
from l2s_auto.training.checkpoint import save_checkpoint
from l2s_auto.training.history import History
from l2s_auto.training.interrupts import deferred_interrupts
from l2s_auto.training.methods import Method

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
    """Train until a limit is reached; `folder` then holds weights, checkpoint and history.

    Raises KeyboardInterrupt after a signal, when everything is saved: the training can be resumed, and predicts.
    """
    folder.mkdir(parents=True, exist_ok=True)
    restore_random(parts, state)
    history = History(folder / "history.jsonl", first_step=state.step)
    bar = progress_bar(title, limits.progress(state))
    done_before, started = state.seconds, time.monotonic()
    last_saved = -math.inf  # the first save comes after the first iteration, so that any kill leaves a model
    val_dice: float | None = None
    next_validation = math.floor(limits.progress(state) * limits.validations) + 1
    with deferred_interrupts() as interrupts, bar:
        while not interrupts.arrived and (progress := limits.progress(state)) < 1:
            result = method.step(parts, state, progress=progress)
            state = result.state
            state.step += 1
            state.seconds = done_before + time.monotonic() - started
            history.add(result)
            progress, new_dice = limits.progress(state), None
            if progress * limits.validations >= next_validation and progress < 1:
                next_validation = math.floor(progress * limits.validations) + 1
                new_dice = validate(state.phi)
                val_dice = new_dice if new_dice is not None else val_dice
            if new_dice is not None or (state.step % limits.log_every == 0 and progress < 1):
                write_line(history, parts, state, new_dice)
                show(bar, progress, result.loss_synth or result.loss_real, val_dice)
            if time.monotonic() - last_saved > limits.checkpoint_every:
                save(parts, state, folder)
                last_saved = time.monotonic()
            state.seconds = done_before + time.monotonic() - started
        if not interrupts.arrived:
            show(bar, 1.0, None, val_dice)
    write_line(history, parts, state, None if interrupts.arrived else validate(state.phi))
    save(parts, state, folder)
    if interrupts.arrived:
        raise KeyboardInterrupt
    return state


def save(parts: Parts, state: TrainState, folder: Path) -> None:
    """Weights that predict, and the checkpoint that a training is resumed from."""
    state.rng = {"torch": parts.random.get_state(), "sampler": parts.sampler.state()}
    save_checkpoint(state, folder / "checkpoint")
    save_weights(state.phi, folder / "weights.safetensors")


def restore_random(parts: Parts, state: TrainState) -> None:
    """Put the random generators where a checkpoint left them; a fresh state has nothing to restore."""
    if state.rng:
        parts.random.set_state(state.rng["torch"])
        parts.sampler.restore(state.rng["sampler"])


def theta_as_read(parts: Parts, state: TrainState) -> dict[str, float]:
    """Theta in the user's units."""
    with torch.no_grad():
        for name, p in parts.augmenter.named_parameters():
            p.copy_(state.theta[name])
    return parts.augmenter.bounded()


def write_line(history: History, parts: Parts, state: TrainState, val_dice: float | None) -> None:
    history.write(
        iteration=state.step,
        seconds=state.seconds,
        theta=theta_as_read(parts, state),
        signal=read(state.signal) if state.signal else None,
        val_dice=val_dice,
    )


def progress_bar(title: str, progress: float) -> tqdm:
    """A bar in per cent with the time left, quiet when nobody looks at a terminal."""
    return tqdm(
        desc=title,
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
