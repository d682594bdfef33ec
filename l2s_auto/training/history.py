"""history.jsonl: one JSON object a logged step."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path

from l2s_auto.hypergradients.signal import Reading
from l2s_auto.io.atomic import atomic_path
from l2s_auto.training.step import StepResult


def mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


class History:
    """Collects losses between two lines, and keeps the file equal to the state that training goes on from.

    path        the file
    first_step  lines of later steps, written after the checkpoint that is resumed from, are dropped
    """

    def __init__(self, path: Path, *, first_step: int) -> None:
        self.path = path
        self._synth: list[float] = []
        self._real: list[float] = []
        if not path.exists():
            path.touch()
        before = path.read_bytes()
        after = b"".join(line + b"\n" for line in before.splitlines() if _is_kept(line, first_step))
        if after != before:
            with atomic_path(path) as temporary:
                temporary.write_bytes(after)

    def add(self, result: StepResult) -> None:
        """Note the losses of an iteration; JSON knows no NaN."""
        for kept, loss in ((self._synth, result.loss_synth), (self._real, result.loss_real)):
            if loss is not None and math.isfinite(loss):
                kept.append(loss)

    def write(
        self,
        *,
        iteration: int,
        seconds: float,
        theta: dict[str, float],
        signal: Reading | None,
        val_dice: float | None,
    ) -> None:
        """One line: mean losses since the last line, theta and how its gradients agree; null where there is none."""
        line = {
            "iteration": iteration,
            "seconds": round(seconds, 3),
            "loss_synth": mean(self._synth),
            "loss_real": mean(self._real),
            "theta": theta,
            "theta_gradient": asdict(signal) if signal else None,
            "val_dice": val_dice,
        }
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self._synth, self._real = [], []


def _is_kept(line: bytes, first_step: int) -> bool:
    """Whether a line tells of a step up to `first_step`; one cut short by a kill, or of another kind, does not."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return False
    step = value.get("iteration") if isinstance(value, dict) else None
    return isinstance(step, int | float) and step <= first_step
