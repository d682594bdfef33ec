"""Networks of few features on a CPU: channels last, where a convolution of eight channels is differentiated faster.

PyTorch's convolutions know both orders of a volume in memory; its instance normalisation turns what has the channels
last around, there and back. Here is one that does not.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

#: First-stage features up to which it pays.
FEW = 8
#: Numbers that lie one behind the other and are computed together, about.
_TOGETHER = 128


def compute_channels_last(network: nn.Module) -> nn.Module:
    """Let what is differentiated in fast precision on a CPU be computed with the channels last, where that is faster.

    Results, but for rounding, weights and their names are as before; logits have the channels last in memory.
    Everything that is differenced or differentiated twice is computed without autocast, and so as ever; without
    gradients nothing would be gained.
    """
    first = next((module for module in network.modules() if isinstance(module, nn.Conv3d)), None)
    if first is None or first.out_channels > FEW:
        return network
    network.register_forward_pre_hook(_turned)
    for module in network.modules():
        if type(module) is nn.InstanceNorm3d and not module.track_running_stats:
            module.__class__ = _Norm
    return network


def _turned(network: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """The input as the network wants it in memory; None: as it is."""
    (image, *others) = inputs
    fast = image.device.type == "cpu" and torch.is_autocast_enabled("cpu") and torch.is_grad_enabled()
    if not fast or image.ndim != 5 or 1 in image.shape[2:]:
        return None
    image = image.contiguous(memory_format=torch.channels_last_3d)
    if image.shape[1] == 1:  # a single channel is last and first; its stride says which
        x, y, z = image.shape[2:]
        image = image.as_strided(image.shape, (x * y * z, 1, y * z, z, 1))
    return (image, *others)


class _Norm(nn.InstanceNorm3d):
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        last = input.is_contiguous(memory_format=torch.channels_last_3d) and not input.is_contiguous()
        if not last or input.device.type != "cpu":
            return super().forward(input)
        normalised: torch.Tensor = _Normalise.apply(input, self.weight, self.bias, self.eps)
        return normalised


class _Normalise(torch.autograd.Function):
    """Instance normalisation (Ulyanov et al., arXiv 1607.08022) of a volume with its channels last; first order only.

    With z = (x - mean) / sd, n voxels and the gradient g of y = weight · z + bias:
    dx = weight / sd · (g - mean(g) - z · mean(g · z)), which is a sum of multiples of g, x and 1.
    """

    @staticmethod
    def forward(ctx: Any, image: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, eps: float) -> torch.Tensor:
        rows = _rows(image)
        voxels = image[0, 0].numel()
        precise = torch.promote_types(image.dtype, torch.float32)
        mean = _over_voxels(rows.sum(1, dtype=precise), image) / voxels
        squares = torch.linalg.vector_norm(rows, dim=1, dtype=precise).square()
        variance = (_over_voxels(squares, image) / voxels - mean.square()).clamp_min(0)
        inverse = (variance + eps).rsqrt()
        scale = inverse * weight
        ctx.save_for_backward(image, mean, inverse, weight)
        made = torch.empty_like(image)  # not a view: the network may add to it in place
        torch.addcmul(_wide(bias - mean * scale, rows), rows, _wide(scale, rows), out=_rows(made))
        return made

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        image, mean, inverse, weight = ctx.saved_tensors
        rows = _rows(image)
        given = _rows(gradient.contiguous(memory_format=torch.channels_last_3d))
        voxels = image[0, 0].numel()
        total = _over_voxels(given.sum(1, dtype=mean.dtype), image)
        products = _over_voxels((given * rows).sum(1, dtype=mean.dtype), image)
        of_weight = (products - mean * total) * inverse
        scale = inverse * weight
        of_image = -scale * inverse * of_weight / voxels
        constant = -scale * total / voxels - of_image * mean
        made = torch.empty_like(image)
        torch.addcmul(_wide(constant, rows), rows, _wide(of_image, rows), out=_rows(made))
        _rows(made).addcmul_(given, _wide(scale, rows))
        return made, of_weight.sum(0), total.sum(0), None


def _rows(image: torch.Tensor) -> torch.Tensor:
    """(B, N, k · C) the same memory; k voxels a row, so that a row is long enough to be computed at once."""
    batch, channels, *shape = image.shape
    voxels = shape[0] * shape[1] * shape[2]
    together = next(k for k in (64, 32, 16, 8, 4, 2, 1) if voxels % k == 0 and k * channels <= max(_TOGETHER, channels))
    return image.permute(0, 2, 3, 4, 1).view(batch, voxels // together, together * channels)


def _over_voxels(values: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
    """(B, k · C) sums -> (B, C)"""
    return values.view(len(values), -1, image.shape[1]).sum(1)


def _wide(values: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """(B, C) float32 -> (B, 1, k · C) in the rows' dtype."""
    return values.repeat(1, rows.shape[2] // values.shape[1])[:, None].to(rows.dtype)
