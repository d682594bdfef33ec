"""Small tensors of numbers that are known beforehand, made once: an accelerator waits for each that is made anew."""

from __future__ import annotations

from functools import cache

import torch

Numbers = tuple[float, ...] | tuple[tuple[float, ...], ...]


@cache
def constant(values: Numbers, device: torch.device, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """The numbers on the device. The same tensor for all who ask, for good: it is never to be written to.

    A CUDA graph reads it without holding it, so that none may be forgotten.
    """
    with torch.inference_mode(False), torch.no_grad():
        return torch.tensor(values, device=device, dtype=dtype)
