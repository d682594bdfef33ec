"""Where the full precision of float32 is needed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def full_precision() -> Iterator[None]:
    """Convolutions and products of float32 in float32, not in TensorFloat-32, and no autocast.

    The difference of two gradients at nearly the same weights is a small part of either: the 10 bits of TF32's
    mantissa, which CUDA's convolutions use by default, would drown it.
    """
    convolutions, products = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = convolutions, products
