"""A single small volume on a CPU: convolved in float32 by oneDNN, as batches and larger ones are.

PyTorch 2.13 convolves what has one sample, and at most 20480 numbers in its channels and first two axes, by unfolding
it: a network of eight features takes four times as long for 40 x 56 x 40.
"""

from __future__ import annotations

import torch
from torch import nn

from l2s_auto.networks.checkpointing import in_transform


def compute_single_by_onednn(network: nn.Module) -> nn.Module:
    """Let a volume alone, where no gradients are wanted, be convolved as two together are.

    Results, but for rounding, weights and their names are as before.
    """
    for module in network.modules():
        if type(module) is nn.Conv3d and module.padding_mode == "zeros" and not isinstance(module.padding, str):
            module.__class__ = _Conv
    return network


class _Conv(nn.Conv3d):
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if not _unfolded(input):
            return super().forward(input)
        assert not isinstance(self.padding, str)
        options = (self.padding, self.stride, self.dilation, self.groups)
        made: torch.Tensor = torch.mkldnn_convolution(input, self.weight, self.bias, *options)
        return made


def _unfolded(image: torch.Tensor) -> bool:
    """Whether PyTorch would unfold an image that oneDNN can convolve."""
    if torch.compiler.is_compiling() or image.device.type != "cpu" or image.dtype != torch.float32 or image.ndim != 5:
        return False
    if torch.is_grad_enabled() or torch.is_autocast_enabled("cpu") or not torch.backends.mkldnn.is_available():
        return False
    return len(image) == 1 and not in_transform()
