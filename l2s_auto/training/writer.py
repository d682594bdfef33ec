"""What a training leaves on disk while it runs: history, weights that predict, the checkpoint."""

from __future__ import annotations

import math
import time
from pathlib import Path

import torch

from l2s_auto.core.types import TrainState
from l2s_auto.hypergradients.signal import read
from l2s_auto.networks import parameters, save_weights
from l2s_auto.training.build import Parts
from l2s_auto.training.checkpoint import save_checkpoint
from l2s_auto.training.deep_supervision import of_network
from l2s_auto.training.history import History
from l2s_auto.training.step import StepResult
from l2s_auto.training.threads import THREADS


class Writer:
    """Writes into `folder` in the leader of the team, and nothing in the other processes.

    first_step  the step that the training goes on from
    """

    def __init__(self, parts: Parts, folder: Path, *, first_step: int) -> None:
        self.parts, self.folder = parts, folder
        self._last_saved = -math.inf  # the first save comes after the first iteration, so that any kill leaves a model
        self._history: History | None = None
        if parts.team.leader:
            folder.mkdir(parents=True, exist_ok=True)
            self._history = History(folder / "history.jsonl", first_step=first_step)

    def note(self, result: StepResult) -> None:
        """Keep the losses of an iteration for the next line."""
        if self._history:
            self._history.add(result)

    def line(self, state: TrainState, val_dice: float | None) -> None:
        """A line of the history."""
        if self._history:
            self._history.write(
                iteration=state.step,
                seconds=state.seconds,
                theta=theta_as_read(self.parts, state),
                signal=read(state.signal) if state.signal else None,
                val_dice=val_dice,
            )

    def save_from_time_to_time(self, state: TrainState, *, every: float) -> None:
        """Save if the last time is `every` seconds ago."""
        if time.monotonic() - self._last_saved > every:
            self.save(state)
            self._last_saved = time.monotonic()

    def save(self, state: TrainState) -> None:
        """Weights that predict, and the checkpoint that a training is resumed from.

        In the home phase the general weights predict, which are finished, until `training.dial` chooses a point.
        """
        if self._history:
            state.rng = {
                "torch": self.parts.random.get_state(),
                "sampler": self.parts.sampler.state(),
                THREADS: state.rng.get(THREADS, torch.get_num_threads()),
            }
            save_checkpoint(state, self.folder / "checkpoint")
            # Frozen weights are no part of the state, yet of what predicts.
            phi = state.general["phi"] if state.general else state.phi
            save_weights({**parameters(self.parts.network), **of_network(phi)}, self.folder / "weights.safetensors")


def theta_as_read(parts: Parts, state: TrainState) -> dict[str, float]:
    """Theta in the user's units."""
    with torch.no_grad():
        for name, p in parts.augmenter.named_parameters():
            if name in state.theta:
                p.copy_(state.theta[name])
    return parts.augmenter.bounded()
