"""Time and peak memory of one training iteration of each method, as ratios to `supervised`.

Each method runs in a process of its own, on the same made-up cases and the same plan (patch 40 x 56 x 40, batch 2,
U-Net of 8-16-32-64 features by default). Memory on a CPU is the growth of the resident peak over what the process
held before its first step; on CUDA it is what the allocator reports.

    python benchmarks/step_cost.py --json benchmarks/results/step_cost.json
"""

from __future__ import annotations

import json
import multiprocessing
import time

import torch
from made_up import make_cases, make_plan, peak, plain_topology

from common import finish, machine, parser
from l2s_auto.core.component import Component
from l2s_auto.core.recipe import Recipe
from l2s_auto.networks.device import fast_dtype
from l2s_auto.training.build import build_parts, initial_state
from l2s_auto.training.methods import METHODS

#: name -> (method, share of iterations that are hyper-steps: every k-th)
ROWS = {
    "supervised": ("supervised", 1),
    "synthseg": ("synthseg", 1),
    "learn2synth, plain step": ("learn2synth", 10**9),
    "learn2synth, hyper-step": ("learn2synth", 1),
    "learn2synth, default schedule after the warm-up": ("learn2synth", Recipe().hyper_every),
}


def measure(row: str, arguments: tuple, queue: multiprocessing.Queue) -> None:
    """Seconds an iteration (median of the rounds) and peak MiB of one row."""
    device_name, features, patch, batch, steps, fast = arguments
    name, every = ROWS[row]
    device = torch.device(device_name)
    recipe = Recipe(method=Component(name=name), hyper_every=every, warm_up=0.0)
    method = METHODS[name]()
    parts = build_parts(
        make_plan(plain_topology(features), patch, batch),
        recipe,
        make_cases(patch),
        method=method,
        device=device,
        autocast=fast_dtype(device) if fast else None,
    )
    state = initial_state(parts)
    before = peak(device)

    def run(count: int) -> float:
        nonlocal state
        started = time.perf_counter()
        for _ in range(count):
            state.step += 1
            step = state.step
            state = method.step(parts, state, progress=0.5).state
            state.step = step
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return (time.perf_counter() - started) / count

    block = every if 1 < every < 100 else 2
    run(block)
    seconds = sorted(run(block) for _ in range(max(3, steps // block)))
    queue.put({"seconds": seconds[len(seconds) // 2], "memory_mib": peak(device) - before})


def main() -> None:
    options = parser(__doc__.splitlines()[0])
    options.add_argument("--features", default="8,16,32,64")
    options.add_argument("--patch", default="40,56,40")
    options.add_argument("--batch", type=int, default=2)
    options.add_argument("--steps", type=int, default=20)
    options.add_argument("--float32", action="store_true", help="no bfloat16 in first-order passes")
    given = options.parse_args()
    features, patch = (tuple(map(int, text.split(","))) for text in (given.features, given.patch))
    arguments = (given.device, features, patch, given.batch, given.steps, not given.float32)
    figures: dict = {"machine": machine(given.device), "features": features, "patch": patch, "batch": given.batch}
    figures["first_order_dtype"] = str(
        (fast_dtype(torch.device(given.device)) if not given.float32 else None) or "float32"
    )
    spawn = multiprocessing.get_context("spawn")
    rows: dict[str, dict] = {}
    for row in ROWS:
        queue = spawn.Queue()
        process = spawn.Process(target=measure, args=(row, arguments, queue))
        process.start()
        rows[row] = queue.get()
        process.join()
        base = rows["supervised"]
        rows[row] |= {
            "time_ratio": rows[row]["seconds"] / base["seconds"],
            "memory_ratio": rows[row]["memory_mib"] / base["memory_mib"],
        }
        print(f"{row:50s} {json.dumps({k: round(v, 3) for k, v in rows[row].items()})}", flush=True)
    finish({**figures, "rows": rows}, given.json)


if __name__ == "__main__":
    main()
