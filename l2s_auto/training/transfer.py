"""Weights of another model as a start: whatever fits is taken, the rest is said."""

from __future__ import annotations

from pathlib import Path

from l2s_auto.core.types import TrainState
from l2s_auto.inference.load import load_model
from l2s_auto.networks import parameters


def transfer_weights(state: TrainState, model_path: Path, *, device: str) -> tuple[list[str], list[str]]:
    """Copy tensors of the same name and shape into state.phi -> names (taken, left as they were).

    A model with other labels, spacing or topology is fine: its last layer, say, is left out.
    """
    model = load_model(model_path, device=device)
    given = parameters(model.networks[0])
    taken = [name for name, p in state.phi.items() if name in given and given[name].shape == p.shape]
    for name in taken:
        state.phi[name] = given[name].to(state.phi[name].device)
    return taken, [name for name in state.phi if name not in taken]
