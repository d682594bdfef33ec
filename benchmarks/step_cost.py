"""Time and peak memory of one training iteration of each method, as ratios to `supervised`.

Each method runs in a process of its own, on the same made-up cases and the same plan (patch 40 x 56 x 40, batch 2,
U-Net of 8-16-32-64 features by default). Memory on a CPU is the growth of the resident peak over what the process
held before its first step; on CUDA it is what the allocator reports.

    python benchmarks/step_cost.py --json benchmarks/results/step_cost.json
"""

from __future__ import annotations

import json
import multiprocessing
import resource
import sys
import time

import numpy as np
import torch

from common import finish, machine, parser
from l2s_auto.core.component import Component
from l2s_auto.core.plan import ClassPrior, EnrichedLabel, GenerationPlan, LabelPlan, Normalisation, Plan, Topology
from l2s_auto.core.recipe import Recipe
from l2s_auto.networks.device import fast_dtype
from l2s_auto.preprocessing.store import StoredCase
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


def make_plan(features: tuple[int, ...], patch: tuple[int, int, int], batch: int) -> Plan:
    """Three labels and five tissues."""
    n = len(features)
    enriched = [EnrichedLabel(name=f"tissue {i}", target=0, generation_class=i, centre=i / 5) for i in range(5)]
    enriched += [EnrichedLabel(name=f"label {i}", target=i, generation_class=5) for i in (1, 2)]
    return Plan(
        dataset="made up",
        channels=("MRI",),
        labels=tuple(LabelPlan(value=i, name=str(i)) for i in range(3)),
        spacing=(1.0, 1.0, 1.0),
        patch=patch,
        batch=batch,
        topology=Topology(
            features=features,
            kernels=((3, 3, 3),) * n,
            strides=((1, 1, 1), *((2, 2, 2),) * (n - 1)),
            convolutions_encoder=(2,) * n,
            convolutions_decoder=(2,) * (n - 1),
        ),
        normalisation=(Normalisation(scheme="percentile", lower=0.5, upper=99.5),),
        generation=GenerationPlan(
            enriched=tuple(enriched),
            priors=(ClassPrior(mean=(0.5,), mean_spread=(0.1,), std=(0.05,), std_spread=(0.01,)),) * 6,
        ),
        iterations=1000,
    )


def make_cases(patch: tuple[int, int, int]) -> list[StoredCase]:
    rng = np.random.default_rng(0)
    return [
        StoredCase(str(i), rng.random((1, *patch), dtype=np.float32), rng.integers(0, 7, patch).astype(np.uint8))
        for i in range(4)
    ]


def peak(device: torch.device) -> float:
    """Peak memory of this process in MiB."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def measure(row: str, arguments: tuple, queue: multiprocessing.Queue) -> None:
    """Seconds an iteration (median of the rounds) and peak MiB of one row."""
    device_name, features, patch, batch, steps, fast = arguments
    name, every = ROWS[row]
    device = torch.device(device_name)
    recipe = Recipe(method=Component(name=name), hyper_every=every, warm_up=0.0)
    method = METHODS[name]()
    parts = build_parts(
        make_plan(features, patch, batch),
        recipe,
        make_cases(patch),
        augmenter=method.augmenter(),
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
