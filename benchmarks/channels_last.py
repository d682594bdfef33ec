"""Loss and gradients of networks on a CPU, with the channels last in memory and first.

    OMP_NUM_THREADS=1 python benchmarks/channels_last.py --json results.json

In bfloat16 where the CPU computes in it, else in float32, as `dtype` tells. `cosine` is that of each gradient with the
one in float32. In bfloat16, networks of sixteen features have their channels last here alone. Convolutions of
3 x 3 x 3 are those of eight images of 32 x 32 x 32.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
from made_up import make_cases, make_plan, plain_topology

from common import finish, machine, parser
from l2s_auto.core.recipe import Recipe
from l2s_auto.networks import channels_last
from l2s_auto.networks.device import fast_dtype
from l2s_auto.training.batches import draw_plain
from l2s_auto.training.build import build_parts, initial_state
from l2s_auto.training.methods import METHODS
from l2s_auto.training.step import loss_gradients

#: name -> patch, batch, features
PLANS = {
    "32x32x32, batch 8": ((32, 32, 32), 8, (8, 16, 32, 64)),
    "40x56x40, batch 2": ((40, 56, 40), 2, (8, 16, 32, 64)),
    "64x64x64, batch 2": ((64, 64, 64), 2, (8, 16, 32, 64, 128)),
    "32x32x32, batch 8, features 16": ((32, 32, 32), 8, (16, 32, 64, 128)),
    "40x56x40, batch 2, features 16": ((40, 56, 40), 2, (16, 32, 64, 128)),
}
#: Channels in and out.
CONVOLUTIONS = ((8, 8), (16, 8), (16, 16))
DTYPE = fast_dtype(torch.device("cpu")) or torch.float32


def clocked(function: Callable[[], object], rounds: int = 10) -> float:
    """Median milliseconds."""
    taken = []
    for number in range(rounds + 3):
        started = time.perf_counter()
        function()
        if number >= 3:
            taken.append(1000 * (time.perf_counter() - started))
    return round(statistics.median(taken), 1)


def measured(name: str) -> dict[str, dict[str, float]]:
    """Milliseconds and cosines of one plan, both ways."""
    patch, batch, features = PLANS[name]
    device = torch.device("cpu")
    parts = build_parts(
        make_plan(plain_topology(features), patch, batch),
        Recipe(),
        make_cases(patch),
        method=METHODS["learn2synth"](),
        device=device,
        autocast=fast_dtype(device),
    )
    state = initial_state(parts)
    batch_of_images = draw_plain(parts, state.theta)

    def gradients(*, fast: bool = True) -> torch.Tensor:
        found, _ = loss_gradients(parts, state.phi, batch_of_images, fast=fast)
        return torch.cat([gradient.double().flatten() for gradient in found.values()])

    exact, found = gradients(fast=False), {}
    for order in ("last", "first"):
        if order == "first":
            for module in parts.network.modules():
                if isinstance(module, torch.nn.InstanceNorm3d):
                    module.__class__ = torch.nn.InstanceNorm3d
            parts.network._forward_pre_hooks.clear()
        cosine = float(torch.cosine_similarity(gradients(), exact, 0))
        found[order] = {"ms": clocked(gradients), "cosine": round(cosine, 6)}
    return found


def convolved(channels: int, made: int) -> dict[str, dict[str, float]]:
    """Milliseconds of a convolution, and of its gradients by image and weights, both ways."""
    found = {}
    for order, layout in (("last", torch.channels_last_3d), ("first", torch.contiguous_format)):
        image, gradient = (
            torch.randn(8, c, 32, 32, 32, dtype=DTYPE).contiguous(memory_format=layout) for c in (channels, made)
        )
        weight = torch.randn(made, channels, 3, 3, 3, dtype=DTYPE)
        image.requires_grad_(), weight.requires_grad_()
        result = torch.conv3d(image, weight, padding=1)
        backward = partial(torch.autograd.grad, result, (image, weight), gradient, retain_graph=True)
        with torch.no_grad():
            forward = clocked(partial(torch.conv3d, image, weight, padding=1))
        found[order] = {"ms": forward, "gradients ms": clocked(backward)}
    return found


def main() -> None:
    given = parser(__doc__).parse_args()
    results: dict[str, object] = {"machine": machine("cpu"), "dtype": str(DTYPE).removeprefix("torch.")}
    channels_last.FEW = 16
    for name in PLANS:
        results[name] = measured(name)
        print(name, results[name], flush=True)
    for channels, made in CONVOLUTIONS:
        name = f"convolution from {channels} to {made}"
        results[name] = convolved(channels, made)
        print(name, results[name], flush=True)
    finish(results, given.json)


if __name__ == "__main__":
    main()
