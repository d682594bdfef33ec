"""Where the time of an iteration goes on a device: its parts by the clock, and its kernels.

    python benchmarks/step_profile.py --device cuda --json results.json

Each part is timed alone, the device waited for before and after. `launches` counts the kernels of a plain iteration,
`busy` is the share of its time in which the device computes.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from made_up import make_cases, make_plan, plain_topology
from torch.profiler import ProfilerActivity, profile

from common import finish, machine, parser
from l2s_auto.core.recipe import Recipe
from l2s_auto.core.types import Batch
from l2s_auto.networks.device import fast_dtype
from l2s_auto.training.batches import (
    augment,
    boxes_of,
    draw_batch,
    draw_families,
    draw_plain,
    draw_real,
    draw_scans,
    make_rendered,
)
from l2s_auto.training.build import Parts, build_parts, initial_state
from l2s_auto.training.methods import METHODS
from l2s_auto.training.step import hyper_step, loss_gradients, network_loss, phi_step, synthetic_step

#: name -> patch, batch, features
PLANS = {
    "40x56x40, batch 6, features 32": ((40, 56, 40), 6, (32, 64, 128, 256)),
    "96x112x96, batch 2, features 32": ((96, 112, 96), 2, (32, 64, 128, 256, 320)),
    "64x80, batch 8, features 32": ((64, 80, 1), 8, (32, 64, 128, 256)),
}


def clocked(function: Callable[[], object], device: torch.device, rounds: int = 10) -> float:
    """Median milliseconds."""
    taken = []
    for number in range(rounds + 3):
        wait(device)
        started = time.perf_counter()
        function()
        wait(device)
        if number >= 3:
            taken.append(1000 * (time.perf_counter() - started))
    return round(statistics.median(taken), 2)


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def parts_of(name: str, device: torch.device) -> Parts:
    patch, batch, features = PLANS[name]
    topology = plain_topology(features)
    if patch[2] == 1:
        topology = topology.model_copy(
            update={
                "kernels": tuple((3, 3, 1) for _ in features),
                "strides": tuple((1, 1, 1) if i == 0 else (2, 2, 1) for i in range(len(features))),
            }
        )
    return build_parts(
        make_plan(topology, patch, batch),
        Recipe(),
        make_cases(patch),
        method=METHODS["learn2synth"](),
        device=device,
        autocast=fast_dtype(device),
    )


def measure(name: str, device: torch.device, *, kernels: bool) -> dict[str, object]:
    parts = parts_of(name, device)
    state = initial_state(parts)
    synthetic = draw_batch(parts, state.theta)
    image = augment(parts, state.theta, synthetic)
    batch = Batch(image, synthetic.target)
    grads, _ = loss_gradients(parts, state.phi, batch)
    families = draw_families(parts, state.theta, parts.plan.batch)
    maps, boxes = boxes_of(parts, families)
    of_maps, of_scans = families[: len(maps)], families[len(maps) :]
    draw = parts.generator.draw(of_maps, parts.random)
    layout = parts.generator.layout(maps, draw)
    rows: dict[str, Callable[[], object]] = {
        "label maps and scans to the device": lambda: boxes_of(parts, families),
        "random numbers": lambda: parts.generator.draw(of_maps, parts.random),
        "deformation": lambda: parts.generator.layout(maps, draw),
        "rendering": lambda: parts.generator.render(layout, draw),
        f"{len(of_scans)} images made of scans": lambda: draw_scans(parts, boxes, families),
        "batch before the scanner": lambda: draw_batch(parts, state.theta),
        "rendered images, one by one": no_grad(lambda: make_rendered(parts, state.theta, maps, families)),
        "images of a plain iteration": lambda: draw_plain(parts, state.theta),
        "augmenter": lambda: augment(parts, state.theta, synthetic),
        "loss, no gradient": no_grad(lambda: network_loss(parts, state.phi, *both(batch))),
        "loss and gradients": lambda: loss_gradients(parts, state.phi, batch),
        "loss and gradients, float32": lambda: loss_gradients(parts, state.phi, batch, fast=False),
        "update": lambda: phi_step(parts, state, grads, rate_scale=1.0),
        "real batch": lambda: draw_real(parts),
        "plain iteration": lambda: synthetic_step(parts, state, rate_scale=1.0),
        "hyper-step": lambda: hyper_step(parts, state, rate_scale=1.0, outer_rate_scale=1.0),
    }
    found: dict[str, object] = {row: clocked(function, device) for row, function in rows.items()}
    if kernels:
        found |= profiled(rows["plain iteration"], device, of=clocked(rows["plain iteration"], device))
    return found


def both(batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    return batch.image, batch.target


def no_grad(function: Callable[[], object]) -> Callable[[], object]:
    def called() -> object:
        with torch.no_grad():
            return function()

    return called


def profiled(function: Callable[[], object], device: torch.device, *, of: float) -> dict[str, object]:
    """Launches, the share of the `of` milliseconds in which the device computes, and the kernels that take most."""
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])]
    function()
    wait(device)
    with profile(activities=activities) as seen:
        for _ in range(3):
            function()
        wait(device)
    events = [e for e in seen.key_averages() if getattr(e, "device_type", None) == torch.autograd.DeviceType.CUDA]
    events.sort(key=lambda event: -event.self_device_time_total)
    total = sum(event.self_device_time_total for event in events)
    return {
        "launches": sum(event.count for event in events) // 3,
        "kernels, ms": round(total / 3000, 2),
        "busy": round(total / 3000 / of, 3),
        "most": {e.key[:90]: [e.count // 3, round(e.self_device_time_total / 3000, 2)] for e in events[:14]},
    }


def main() -> None:
    options = parser(__doc__.splitlines()[0])
    options.add_argument("--plans", nargs="+", choices=PLANS, default=list(PLANS))
    given = options.parse_args()
    device = torch.device(given.device)
    figures: dict[str, object] = {"machine": machine(given.device)}
    for name in given.plans:
        found = measure(name, device, kernels=device.type == "cuda")
        figures[name] = found
        print(name)
        for row, value in found.items():
            if isinstance(value, dict):
                print(*(f"    {key}: {inner}" for key, inner in value.items()), sep="\n")
            else:
                print(f"  {row:50s} {value}", flush=True)
    finish(figures, given.json)


if __name__ == "__main__":
    main()
