"""What PyTorch's in-place kernels for lists of tensors ask of their arguments.

The fused kernels walk through memory: on the CPU they silently pair the wrong elements of two tensors whose strides
differ, such as a weight and its gradient from a convolution in channels-last order. So all arguments get the layout
of the parameters here.
"""

from __future__ import annotations

import torch
from torch.utils._foreach_utils import _get_fused_kernels_supported_devices

from l2s_auto.core.protocols import Params


def has_fused_kernels(params: Params) -> bool:
    """Whether PyTorch has fused kernels for every tensor's device and dtype, by the same rule as torch.optim's."""
    devices = _get_fused_kernels_supported_devices()
    return all(p.is_floating_point() and p.device.type in devices for p in params.values())


def copies(values: Params, like: Params) -> dict[str, torch.Tensor]:
    """The values that `like` names, in new memory with its strides."""
    return {name: torch.empty_like(x).copy_(values[name]) for name, x in like.items()}


def gradient_list(grads: Params, like: Params, *, fused: bool) -> list[torch.Tensor]:
    """The gradients that `like` names, with its strides, for a fused or a multi-tensor kernel.

    Fused kernels only read gradients, so that those in the right layout need no copy; PyTorch's multi-tensor SGD
    writes Nesterov's step into them.
    """
    if not fused:
        return list(copies(grads, like).values())
    pairs = ((grads[name], x) for name, x in like.items())
    return [g if g.stride() == x.stride() else torch.empty_like(x).copy_(g) for g, x in pairs]
