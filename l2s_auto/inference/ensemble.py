"""How a model's networks are run over a volume."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from l2s_auto.core.plan import Plan
from l2s_auto.inference.abreast import windows_abreast
from l2s_auto.inference.sliding_window import LEFT_RIGHT_AXIS, Windowing, slab_axis
from l2s_auto.networks.device import fast_dtype
from l2s_auto.networks.precision import right_in_bfloat16


def windowing_of(
    plan: Plan,
    shape: Sequence[int],
    *,
    device: torch.device,
    overlap: float = 0.5,
    tta: bool = False,
    abreast: bool = False,
) -> Windowing:
    """For a volume of (*S) voxels on the plan's grid.

    tta      also mean over the left-right flip, where the network knows such images
    abreast  whether several threads may call the networks at a time
    """
    return Windowing(
        patch=plan.patch,
        classes=len(plan.labels),
        overlap=overlap,
        batch=plan.batch if device.type == "cuda" else 1,
        device=device,
        store=_store(device, shape, plan),
        flip_axes=(LEFT_RIGHT_AXIS,) if tta and plan.flips else (),
        pairs=plan.pair_classes,
        zeros=plan.padding == "zero",
        context=plan.low_resolution is not None,
        bfloat16=fast_dtype(device) is torch.bfloat16
        and right_in_bfloat16(plan.patch, device, plan.topology, differentiated=False),
        abreast=windows_abreast(plan, device) if abreast else 1,
    )


def logits_of_a_window(plan: Plan) -> int:
    """Bytes of the (K, *patch) logits of one window, in float32."""
    return 4 * len(plan.labels) * math.prod(plan.patch)


def _store(device: torch.device, shape: Sequence[int], plan: Plan) -> torch.device:
    """Where sums are kept: on the device where three rows of windows fit beside the image, else in memory."""
    if device.type == "cuda":
        axis = slab_axis(shape, plan.patch)
        sizes = [max(n, p) for n, p in zip(shape, plan.patch, strict=True)]
        row = len(plan.labels) * plan.patch[axis] * math.prod(sizes) // sizes[axis]
        image = (plan.input_channels + 1) * math.prod(sizes)
        if 4 * (3 * row + 2 * image) < torch.cuda.mem_get_info(device)[0]:
            return device
    return torch.device("cpu")
