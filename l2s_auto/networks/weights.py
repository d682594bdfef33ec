"""A network as a function of its weights, and weights on disk (safetensors: data only, no code)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch.func import functional_call

from l2s_auto.core.errors import UserError
from l2s_auto.io.atomic import atomic_path


def parameters(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Weights by name, each once, detached copies."""
    return {name: p.detach().clone() for name, p in network.named_parameters()}


def trainable(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The weights of `parameters` that may be trained: those that are not frozen by requires_grad=False."""
    return {name: p.detach().clone() for name, p in network.named_parameters() if p.requires_grad}


def call(network: torch.nn.Module, params: Mapping[str, torch.Tensor], *inputs: object) -> torch.Tensor:
    """network(*inputs) with `params` in place of its own weights; the module itself is left as it was.

    nnU-Net's decoder holds the encoder, so each encoder weight has two names. With tie_weights=True,
    functional_call swaps both in and its second restore leaves the *given* tensors in the module for good.
    `named_parameters` names each weight once, and that one name is enough because the module is the same object.
    """
    return functional_call(network, dict(params), inputs, tie_weights=False)


class _Method(torch.nn.Module):
    """A module whose forward is a method of another one."""

    def __init__(self, module: torch.nn.Module, name: str) -> None:
        super().__init__()
        self.module, self.name = module, name

    def forward(self, *inputs: object) -> Any:
        return getattr(self.module, self.name)(*inputs)


def call_method(module: torch.nn.Module, name: str, params: Mapping[str, torch.Tensor], *inputs: object) -> Any:
    """module.name(*inputs) with `params` in place of the module's own."""
    return call(_Method(module, name), {f"module.{key}": value for key, value in params.items()}, *inputs)


def save_weights(weights: torch.nn.Module | Mapping[str, torch.Tensor], path: Path) -> None:
    """Write weights atomically."""
    named = parameters(weights) if isinstance(weights, torch.nn.Module) else weights
    with atomic_path(Path(path)) as temporary:
        save_file({name: p.detach().cpu().contiguous() for name, p in named.items()}, temporary)


def load_weights(network: torch.nn.Module, path: Path) -> None:
    """Put the weights of a file into the network. UserError if they are not this network's."""
    put_weights(network, read_weights(path), source=path)


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """All tensors of a safetensors file, by name. UserError if it cannot be read."""
    try:
        path.open("rb").close()  # the library calls whatever it may not read missing
        return load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError, AttributeError) as error:  # the last: of unknown types
        raise UserError.single(
            "The weights cannot be read.",
            where=str(path),
            found=str(error),
            expected="a safetensors file written by l2s_auto",
            mend="Copy the model again, or train it again.",
        ) from error


def put_weights(network: torch.nn.Module, loaded: Mapping[str, torch.Tensor], *, source: Path) -> None:
    """Put weights into the network. Tensors of a second name that it has for a weight are left out. UserError if they
    are not this network's; `source` is named. A network without memory for its weights gets it once they fit.
    """
    own = dict(network.named_parameters())
    doubled = {name for name, _ in network.named_parameters(remove_duplicate=False)} - set(own)
    loaded = {name: value for name, value in loaded.items() if name not in doubled}
    wrong = sorted({*own, *loaded} - {name for name in {*own} & {*loaded} if own[name].shape == loaded[name].shape})
    if wrong:
        raise UserError.single(
            "The weights do not fit the network of the plan.",
            where=str(source),
            found=f"{len(wrong)} tensors that are missing, too many or of another shape, such as {wrong[0]}",
            expected="the tensors of the network that plan.json and recipe.json describe",
            mend="Use plan.json, recipe.json and weights.safetensors of one training.",
        )
    if other := [name for name in own if not loaded[name].is_floating_point()]:
        raise UserError.single(
            "The weights are not numbers.",
            where=str(source),
            found=f"{len(other)} tensors of another type, such as {other[0]} of {loaded[other[0]].dtype}",
            expected="floating-point numbers",
            mend="Copy the model again, or train it again.",
        )
    # As the network has them: numbers of 64 bits may be too large for it, and of 8 bits PyTorch can tell nothing.
    loaded = {name: loaded[name].to(own[name].dtype) for name in own}
    if broken := [name for name in own if not loaded[name].isfinite().all()]:
        raise UserError.single(
            "The weights are not numbers.",
            where=str(source),
            found=f"NaN or infinity in {len(broken)} tensors, such as {broken[0]}",
            expected="finite weights",
            mend="Copy the model again, or train it again.",
        )
    if any(p.is_meta for p in own.values()):
        network.to_empty(device="cpu")
        own = dict(network.named_parameters())
    with torch.no_grad():
        for name, p in own.items():
            p.copy_(loaded[name])
