"""Weights of another model as a start: whatever fits is taken, the rest is said."""

from __future__ import annotations

from pathlib import Path

import torch

from l2s_auto.core.types import TrainState
from l2s_auto.inference.load import load_model
from l2s_auto.networks import load_weights, parameters


def transfer_weights(
    state: TrainState, network: torch.nn.Module, model_path: Path, *, device: str
) -> tuple[list[str], list[str]]:
    """Copy tensors of the same name and shape into state.phi -> names (taken, left as they were).

    Those that are frozen, and so not in phi, go into the network itself. A model with other labels, spacing or
    topology is fine: its last layer, say, is left out.
    """
    model = load_model(model_path, device=device)
    if model.setting.points:  # it has two ends, and a training starts from the general one
        model = load_model(model_path, device=device, aim="anywhere")
    given = parameters(model.networks[0])
    own = dict(network.named_parameters())
    taken = [name for name, p in own.items() if name in given and given[name].shape == p.shape]
    for name in taken:
        if name in state.phi:
            state.phi[name] = given[name].to(state.phi[name].device)
        else:
            own[name].detach().copy_(given[name])
    return taken, [name for name in own if name not in taken]


def restore_frozen(network: torch.nn.Module, weights: Path) -> None:
    """Put a network's frozen weights, which no checkpoint holds, back from those that were saved beside it."""
    if weights.is_file() and not all(p.requires_grad for p in network.parameters()):
        load_weights(network, weights)
