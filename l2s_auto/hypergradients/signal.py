"""How much of theta's gradient is signal: agreement between the gradients of different batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from l2s_auto.core.protocols import Params, State

#: A gradient of theta that is longer than this many times the usual is shortened to it.
LONGEST = 2.0
#: Weight of the past in the running means: about 40 hyper-steps are looked at.
MEMORY = 0.95


@dataclass(frozen=True)
class Reading:
    """What a user reads of theta's gradient.

    length     root of the mean squared length of recent gradients
    agreement  mean inner product of gradients of different batches, by their mean squared length: 1 if all are the
               same, about 0 if they are noise, None before the second. Signal to noise is agreement / (1 - agreement)
    """

    length: float
    agreement: float | None


def no_signal(theta: Params) -> dict[str, Any]:
    """The state before the first gradient. It is kept in checkpoints."""
    mean = {name: torch.zeros_like(p) for name, p in theta.items()}
    zero = _square(mean) if mean else torch.zeros(())
    return {"count": 0, "mean": mean, "square": zero, "own": zero, "usual": zero}


def note(signal: State, grads: Params, *, times: float = LONGEST) -> dict[str, Any]:
    """The state after another gradient: Σ w_i g_i, Σ w_i |g_i|² and Σ w_i² |g_i|², w_i = (1 - MEMORY) · MEMORY^age.

    usual is Σ w_i min(|g_i|, `times` the usual length before)², which one outlier changes little.
    """
    square, usual = _square(grads), usual_length(signal)
    capped = square if usual is None else torch.where(usual > 0, square.minimum((times * usual) ** 2), square)
    return {
        "count": signal["count"] + 1,
        "mean": {name: torch.lerp(g, signal["mean"][name], MEMORY) for name, g in grads.items()},
        "square": torch.lerp(square, signal["square"], MEMORY),
        "own": MEMORY**2 * signal["own"] + (1 - MEMORY) ** 2 * square,
        "usual": torch.lerp(capped, _usual(signal), MEMORY),
    }


def read(signal: State) -> Reading | None:
    """Length and agreement; None before the first gradient.

    |Σ w_i g_i|² = Σ w_i² |g_i|² + Σ_{i≠j} w_i w_j <g_i, g_j>: what the sum's squared length has beyond the gradients'
    own is agreement.
    """
    count = signal["count"]
    if count == 0:
        return None
    weight = 1 - MEMORY**count  # Σ w_i
    of_pairs = weight**2 - (1 - MEMORY) / (1 + MEMORY) * (1 - MEMORY ** (2 * count))  # Σ_{i≠j} w_i w_j
    square = signal["square"].item() / weight
    between = sum((m * m).sum().item() for m in signal["mean"].values()) - signal["own"].item()
    agreement = between / of_pairs / square if count > 1 and square > 0 else None
    return Reading(square**0.5, agreement)


def limited(grads: Params, signal: State, *, times: float = LONGEST) -> Mapping[str, torch.Tensor]:
    """The gradient, shortened to `times` the usual length if it is longer.

    It is as it is while nothing is usual yet, and where all gradients so far were 0.
    """
    usual = usual_length(signal)
    if usual is None:
        return grads
    length = _square(grads).sqrt()
    factor = (times * usual / length.clamp_min(torch.finfo(length.dtype).tiny)).clamp_max(1)
    factor = torch.where(usual > 0, factor, torch.ones_like(factor))
    return {name: g * factor for name, g in grads.items()}


def usual_length(signal: State) -> torch.Tensor | None:
    """Root mean square length of recent gradients without their outliers; None before the second."""
    if signal["count"] < 2:
        return None
    return (_usual(signal) / (1 - MEMORY ** signal["count"])).sqrt()


def _usual(signal: State) -> torch.Tensor:
    """Checkpoints of earlier versions lack it; their squares are those of shortened gradients."""
    found: torch.Tensor = signal.get("usual", signal["square"])
    return found


def _square(grads: Params) -> torch.Tensor:
    return torch.stack([(g * g).sum() for g in grads.values()]).sum()
