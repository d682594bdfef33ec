"""The networks of a model, each over the whole image, and their mean."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch

from l2s_auto.inference.load import Model
from l2s_auto.inference.sliding_window import LEFT_RIGHT_AXIS, sliding_window_logits
from l2s_auto.networks.device import fast_dtype


def mean_logits(
    model: Model,
    image: np.ndarray,
    *,
    device: torch.device,
    overlap: float,
    tta: bool,
    progress: Callable[[int, int], None] | None = None,
) -> torch.Tensor:
    """(C, *S) image, of a cascade with the context behind it -> (K, *S) mean logits of the model's networks."""
    plan = model.plan
    total: torch.Tensor | None = None
    for network in model.networks:
        logits = sliding_window_logits(
            network,
            torch.from_numpy(np.ascontiguousarray(image)),
            plan.patch,
            len(plan.labels),
            overlap=overlap,
            batch=plan.batch if device.type == "cuda" else 1,
            device=device,
            store=_store(device, len(plan.labels) * math.prod(image.shape[1:])),
            flip_axes=(LEFT_RIGHT_AXIS,) if tta else (),
            pairs=plan.pair_classes,
            context=plan.low_resolution is not None,
            bfloat16=fast_dtype(device) is torch.bfloat16,
            progress=progress,
        )
        total = logits if total is None else total.add_(logits)
    assert total is not None, "a model has at least one network"
    return total.div_(len(model.networks))


def _store(device: torch.device, numbers: int) -> torch.device:
    """Where sums of that many float32 numbers are kept: on the device where three copies fit, else in memory."""
    if device.type == "cuda" and 3 * 4 * numbers < torch.cuda.mem_get_info(device)[0]:
        return device
    return torch.device("cpu")
