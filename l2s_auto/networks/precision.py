"""Mixed precision that does not round the image, and is left out where PyTorch's is wrong."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import nn

from l2s_auto.core.plan import Topology

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def right_in_bfloat16(
    shape: Sequence[int], device: torch.device, topology: Topology, *, differentiated: bool = True
) -> bool:
    """Whether a network of this topology can compute in bfloat16 for images of *S voxels.

    differentiated  whether its gradients are wanted too

    On a CPU PyTorch 2.13 gives whatever was in memory as the gradient of a convolution's weights where a volume has two
    voxels along its first axis, here or in a lower stage; and on some CPUs as the result of a convolution that makes
    one voxel of two along the last axis.
    """
    if device.type != "cpu":
        return True
    first, last = (
        [shape[axis] // times for times in itertools.accumulate((s[axis] for s in topology.strides), operator.mul)]
        for axis in (0, -1)
    )
    if any(before == 2 and after == 1 for before, after in itertools.pairwise([shape[-1], *last])):
        return False
    return not (differentiated and 2 in first)


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
