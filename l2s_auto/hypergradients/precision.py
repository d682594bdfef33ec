"""Where the full precision of float32 is needed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

#: What computes float32 faster in fewer bits, from PyTorch 2.9 on: settings below torch.backends with `fp32_precision`.
OPERATIONS = ("cudnn.conv", "cudnn.rnn", "cuda.matmul", "mkldnn.conv", "mkldnn.matmul")
#: The same before: switches for CUDA alone.
SWITCHES = ("cudnn", "cuda.matmul")


@contextmanager
def full_precision() -> Iterator[None]:
    """Convolutions and products of float32 in float32, not in TensorFloat-32 or bfloat16, and no autocast.

    The difference of two gradients at nearly the same weights is a small part of either: the 10 bits of TF32's
    mantissa, which CUDA's convolutions use by default, would drown it. What a user has set comes back afterwards.
    """
    changes = _changes()
    kept = [getattr(place, name) for place, name, _ in changes]
    with ExitStack() as autocasts:
        for device in ("cpu", "cuda"):
            # An autocast that is off needs no mention; PyTorch warns of CUDA's where there is no CUDA.
            if torch.is_autocast_enabled(device):
                autocasts.enter_context(torch.autocast(device, enabled=False))
        try:
            for place, name, value in changes:
                setattr(place, name, value)
            yield
        finally:
            for (place, name, _), value in zip(changes, kept, strict=True):
                setattr(place, name, value)


def _changes() -> list[tuple[Any, str, Any]]:
    """(place, attribute, value in full precision); the older switches cannot be read where the newer ones are set."""
    operations = [place for path in OPERATIONS if (place := _below_backends(path)) is not None]
    if operations and all(hasattr(place, "fp32_precision") for place in operations):
        return [(place, "fp32_precision", "ieee") for place in operations]
    return [(_below_backends(path), "allow_tf32", False) for path in SWITCHES]


def _below_backends(path: str) -> Any:
    place: Any = torch.backends
    for name in path.split("."):
        place = getattr(place, name, None)
    return place
