"""Activation checkpointing: a stage's activations are computed again in the backward pass instead of kept.

Chen et al., "Training deep nets with sublinear memory cost", arXiv 1604.06174: less memory for one more forward pass.
"""

from __future__ import annotations

from functools import partial

import torch
from dynamic_network_architectures.building_blocks.simple_conv_blocks import StackedConvBlocks
from torch import nn
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint


def checkpoint_stages(network: nn.Module) -> None:
    """Let every stage of convolutions of the network keep nothing but its input. Names of weights stay as they are."""
    for module in network.modules():
        if isinstance(module, StackedConvBlocks):
            module.forward = partial(_forward, module)


def _forward(stage: StackedConvBlocks, image: torch.Tensor) -> torch.Tensor:
    """The stage's convolutions, checkpointed where that saves anything and PyTorch can do it.

    The weights in place now, perhaps put there by functional_call, are handed over: in the backward pass the module
    holds its own again. Transforms of torch.func, of which the estimator `forward` is made, allow no checkpoints.
    """
    if not torch.is_grad_enabled() or in_transform():
        return stage.convs(image)
    names, weights = zip(*stage.convs.named_parameters(), strict=True)

    def run(image: torch.Tensor, *weights: torch.Tensor) -> torch.Tensor:
        return functional_call(stage.convs, dict(zip(names, weights, strict=True)), (image,))

    return checkpoint(run, image, *weights, use_reentrant=False, preserve_rng_state=False)


def in_transform() -> bool:
    """Whether a transform of torch.func is at work. PyTorch has no public name for the question."""
    return torch._C._functorch.peek_interpreter_stack() is not None
