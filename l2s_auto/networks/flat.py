"""Convolutions of slices: where an image has one voxel along an axis, they compute in 2D, which is twice as fast."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


def compute_slices_in_2d(network: nn.Module) -> nn.Module:
    """Let the convolutions whose kernels are flat along an axis compute in 2D where the image is flat there too.

    Results, weights and their names are as before. A volume that is not flat is convolved in 3D as ever.
    """
    for module in network.modules():
        if type(module) is nn.Conv3d and _flat_axis(module) is not None:
            module.__class__ = _Conv
        elif type(module) is nn.ConvTranspose3d and not any(module.output_padding) and _flat_axis(module) is not None:
            module.__class__ = _Transposed
    return network


class _Conv(nn.Conv3d):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        axis = _flat_axis(self, image)
        if axis is None:
            return super().forward(image)
        assert not isinstance(self.padding, str)
        stride, padding, dilation = (_without(values, axis) for values in (self.stride, self.padding, self.dilation))
        image, weight = image.squeeze(2 + axis), self.weight.squeeze(2 + axis)
        return functional.conv2d(image, weight, self.bias, stride, padding, dilation, self.groups).unsqueeze(2 + axis)


class _Transposed(nn.ConvTranspose3d):
    def forward(self, image: torch.Tensor, output_size: list[int] | None = None) -> torch.Tensor:
        axis = _flat_axis(self, image)
        if axis is None or output_size is not None:
            return super().forward(image, output_size)
        assert not isinstance(self.padding, str)
        stride, padding, dilation = (_without(values, axis) for values in (self.stride, self.padding, self.dilation))
        image, weight = image.squeeze(2 + axis), self.weight.squeeze(2 + axis)
        made = functional.conv_transpose2d(image, weight, self.bias, stride, padding, 0, self.groups, dilation)
        return made.unsqueeze(2 + axis)


def _flat_axis(module: nn.Conv3d | nn.ConvTranspose3d, image: torch.Tensor | None = None) -> int | None:
    """The last axis along which a convolution does nothing, and the image, if one is given, has one voxel."""
    padding = module.padding
    if isinstance(padding, str) or module.padding_mode != "zeros":
        return None
    for axis in (2, 1, 0):
        idle = module.kernel_size[axis] == module.stride[axis] == 1 and padding[axis] == 0
        if idle and (image is None or (image.ndim == 5 and image.shape[2 + axis] == 1)):
            return axis
    return None


def _without(values: tuple[int, ...], axis: int) -> list[int]:
    return [value for number, value in enumerate(values) if number != axis]
