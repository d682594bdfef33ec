"""Networks on a CPU: channels last, where convolutions are differentiated faster.

In bfloat16 that is so with few features; where a CPU computes in float32 alone, with any number. PyTorch's convolutions
know both orders of a volume in memory; its instance normalisation turns what has the channels last around, there and
back. Here is one that does not.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import nn

from l2s_auto.networks.checkpointing import in_transform
from l2s_auto.networks.device import fast_dtype

#: First-stage features up to which it pays in bfloat16.
FEW = 8
#: Numbers that lie one behind the other and are computed together, about.
_TOGETHER = 128
_SPACE = (2, 3, 4)


@cache
def computes_bfloat16() -> bool:
    """Whether this CPU computes in bfloat16 natively."""
    return fast_dtype(torch.device("cpu")) is not None


def compute_channels_last(network: nn.Module) -> nn.Module:
    """Let what is differentiated on a CPU be computed with the channels last, where that is faster.

    Results, but for rounding, weights and their names are as before. On a CPU that computes in bfloat16, what is
    computed without autocast, as everything is that is differenced or differentiated twice, is computed as ever;
    so is what is computed without gradients, or is compiled, on each.
    """
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv3d)]
    of_slices = all(1 in convolution.kernel_size for convolution in convolutions)  # in 2D nothing is gained
    if of_slices or (convolutions[0].out_channels > FEW and computes_bfloat16()):
        return network
    network.register_forward_pre_hook(_turn)
    for module in network.modules():
        if type(module) is nn.InstanceNorm3d and module.affine and not module.track_running_stats:
            module.__class__ = _Norm
    return network


def _fast(image: torch.Tensor) -> bool:
    """Whether this is computed with the channels last: with gradients, on a CPU, as fast as that can be."""
    if torch.compiler.is_compiling() or image.device.type != "cpu" or image.ndim != 5 or not torch.is_grad_enabled():
        return False
    return (torch.is_autocast_enabled("cpu") or not computes_bfloat16()) and not in_transform()


def _turn(network: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """The input as the network wants it in memory; None: as it is."""
    if not inputs or not _fast(inputs[0]):
        return None
    image = inputs[0].contiguous(memory_format=torch.channels_last_3d)
    if image.shape[1] == 1:  # a single channel is first and last; its stride says which
        x, y, z = image.shape[2:]
        image = image.as_strided(image.shape, (x * y * z, 1, y * z, z, 1))
    return (image, *inputs[1:])


class _Norm(nn.InstanceNorm3d):
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if not _fast(input):
            return super().forward(input)
        # Never PyTorch's own: its derivative for a single sample is wrong where the gradient has the channels last.
        last = input.contiguous(memory_format=torch.channels_last_3d)
        normalised: torch.Tensor = _Normalise.apply(last, self.weight, self.bias, self.eps)
        return normalised


class _Normalise(torch.autograd.Function):
    """Instance normalisation (Ulyanov et al., arXiv 1607.08022) of a volume with its channels last.

    With z = (x - mean) / sd and the gradient g of y = weight · z + bias:
    dx = weight / sd · (g - mean(g) - z · mean(g · z)). Computed in float32 at least, and rounded once.
    """

    @staticmethod
    def forward(ctx: Any, image: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, eps: float) -> torch.Tensor:
        rows, voxels = _rows(image), image[0, 0].numel()
        made, centred = _room(image, rows)
        mean = _over_voxels(rows.sum(1), image) / voxels
        torch.sub(rows, _wide(mean, rows), out=centred)
        variance = _over_voxels(torch.linalg.vector_norm(centred, dim=1).square(), image) / voxels
        inverse = (variance + eps).rsqrt()
        ctx.save_for_backward(image, weight, mean, inverse)
        ctx.eps = eps
        scale, shift = inverse * weight, bias.expand_as(inverse)
        return _filled(made, torch.addcmul(_wide(shift, rows), centred, _wide(scale, rows), out=centred))

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        image, weight, mean, inverse = ctx.saved_tensors
        if torch.is_grad_enabled():
            return (*_derivatives(image, weight, gradient, ctx.eps), None)
        rows, voxels = _rows(image), image[0, 0].numel()
        given = _rows(gradient.contiguous(memory_format=torch.channels_last_3d))
        made, centred = _room(image, rows)
        torch.sub(rows, _wide(mean, rows), out=centred)
        total = _over_voxels(given.sum(1), image)
        of_weight = _over_voxels((given * centred).sum(1), image) * inverse
        scale = inverse * weight
        constant, multiple = -scale * total / voxels, -scale * inverse * of_weight / voxels
        torch.addcmul(_wide(constant, rows), centred, _wide(multiple, rows), out=centred)
        return _filled(made, centred.addcmul_(given, _wide(scale, rows))), of_weight.sum(0), total.sum(0), None


def _derivatives(
    image: torch.Tensor, weight: torch.Tensor, gradient: torch.Tensor, eps: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What `backward` gives, in terms that can be differentiated again."""
    precise = torch.promote_types(image.dtype, torch.float32)
    x, g = image.to(precise), gradient.to(precise)
    centred = x - x.mean(_SPACE, keepdim=True)
    inverse = (centred.square().mean(_SPACE, keepdim=True) + eps).rsqrt()
    z = centred * inverse
    scale = inverse * weight.view(1, -1, 1, 1, 1)
    of_image = scale * (g - g.mean(_SPACE, keepdim=True) - z * (g * z).mean(_SPACE, keepdim=True))
    return of_image.to(image.dtype), (g * z).sum((0, *_SPACE)), g.sum((0, *_SPACE))


def _rows(image: torch.Tensor) -> torch.Tensor:
    """(B, N, k · C) in float32 at least; k voxels a row, so that a row is long enough to be computed at once."""
    batch, channels, *shape = image.shape
    voxels = shape[0] * shape[1] * shape[2]
    together = next(k for k in (64, 32, 16, 8, 4, 2, 1) if voxels % k == 0 and k * channels <= max(_TOGETHER, channels))
    rows = image.permute(0, 2, 3, 4, 1).view(batch, voxels // together, together * channels)
    return rows.to(torch.promote_types(image.dtype, torch.float32))


def _room(image: torch.Tensor, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A volume like the image, and rows to compute in: its own where it is as precise as the given rows."""
    made = torch.empty_like(image)
    return made, made.permute(0, 2, 3, 4, 1).view(rows.shape) if made.dtype == rows.dtype else torch.empty_like(rows)


def _filled(made: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """The volume of `_room`, with what was computed in its rows."""
    if made.dtype != rows.dtype:
        made.permute(0, 2, 3, 4, 1).view(rows.shape).copy_(rows)
    return made


def _over_voxels(values: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
    """(B, k · C) sums -> (B, C)"""
    return values.view(len(values), -1, image.shape[1]).sum(1)


def _wide(values: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """(B, C) -> (B, 1, k · C)"""
    return values.repeat(1, rows.shape[2] // values.shape[1])[:, None]
