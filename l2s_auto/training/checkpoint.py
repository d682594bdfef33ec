"""The state of a training in one file, replaced atomically: a kill at any moment leaves the last whole one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from l2s_auto.core.errors import UserError
from l2s_auto.core.types import TrainState
from l2s_auto.io.atomic import atomic_path

FILE = "state.safetensors"
#: Separates the keys of nested dicts; names of weights hold dots.
SEPARATOR = "/"
#: Parts of the state that may be empty, which checkpoints of earlier versions do not say.
EMPTY = ("rng", "signal", "moments", "general", "theta", "inner_state", "outer_state")
#: Parts of the state in checkpoints of earlier versions, which are not needed any more.
DROPPED = ("start", "rival")


def save_checkpoint(state: TrainState, folder: Path) -> None:
    """Write the state to `folder`/state.safetensors: tensors as such, the rest as JSON in the header.

    The file sorts its tensors; their order is kept too, since sums over them round by it.
    """
    tensors: dict[str, torch.Tensor] = {}
    rest: dict[str, Any] = {}
    flat = _flatten(state.__dict__)
    for key, value in flat.items():
        if isinstance(value, torch.Tensor):
            tensors[key] = value.detach().cpu().contiguous()
        else:
            rest[key] = value
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / FILE) as temporary:
        save_file(tensors, temporary, metadata={"state": json.dumps(rest), "order": json.dumps(list(flat))})


def has_checkpoint(folder: Path) -> bool:
    return (folder / FILE).is_file()


def load_checkpoint(folder: Path, device: torch.device) -> TrainState:
    """The state that `save_checkpoint` wrote, on `device`; states of random generators stay on the CPU."""
    path = folder / FILE
    try:
        with safe_open(path, framework="pt") as file:
            flat: dict[str, Any] = json.loads(file.metadata()["state"])
            for key in file.keys():  # noqa: SIM118  (a safetensors file, not a dict)
                tensor = file.get_tensor(key)
                flat[key] = tensor if key.startswith("rng" + SEPARATOR) else tensor.to(device)
            # Checkpoints of earlier versions do not tell their order.
            flat = {key: flat[key] for key in json.loads(file.metadata().get("order", json.dumps(list(flat))))}
        state = {name: value for name, value in _nest(flat).items() if name not in DROPPED}
        return TrainState(**{**{name: {} for name in EMPTY}, **state})
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise UserError.single(
            "The checkpoint cannot be read.",
            where=str(path),
            found=str(error),
            expected="a checkpoint written by this version of l2s_auto",
            mend="Delete the fold's folder and train it again without --resume.",
        ) from error


def _flatten(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": x, "c": {}}} -> {"a/b": x, "a/c": {}}."""
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        assert SEPARATOR not in key, f"{key!r} holds the separator"
        if isinstance(value, Mapping) and value:
            flat |= _flatten(value, f"{prefix}{key}{SEPARATOR}")
        else:
            flat[prefix + key] = value
    return flat


def _nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of _flatten."""
    nested: dict[str, Any] = {}
    for key, value in flat.items():
        *path, last = key.split(SEPARATOR)
        inside = nested
        for part in path:
            inside = inside.setdefault(part, {})
        inside[last] = value
    return nested
