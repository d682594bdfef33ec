"""Mixed precision that does not round the image: the first block of a network computes in float32."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import nn

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def keep_first_block_precise(network: nn.Module) -> nn.Module:
    """Let the block of the first convolution, with its normalisation, compute in float32 also under autocast.

    bfloat16 has eight bits: rounded so, an image has steps of 0.4 %, and instance normalisation makes them large where
    there is little else, as in air. The block reads few channels, so that it costs nothing. Names of weights and copies
    of the network are as before.
    """
    found = next((name for name, module in network.named_modules() if isinstance(module, _CONVOLUTIONS)), None)
    if not found:
        return network  # no convolution, or nothing but one
    parent = found.rpartition(".")[0]
    normalised = bool(parent) and any(
        "Norm" in type(child).__name__ for child in network.get_submodule(parent).children()
    )
    block = network.get_submodule(parent if normalised else found)
    if not isinstance(block, _Precise):
        kind: Any = type(block)
        block.__class__ = _precise(kind)
    return network


class _Precise(nn.Module):
    def forward(self, image: torch.Tensor) -> Any:
        with torch.autocast(image.device.type, enabled=False):
            return super().forward(image.float())


@cache
def _precise(kind: Any) -> Any:
    return type(kind.__name__, (_Precise, kind), {})
