"""Peak memory of training steps beside the planner's estimate, over sizes, estimators, parts and micro-batches.

Each measurement is a process of its own, which makes the parts of a training and takes a few steps. Measured is the
peak of the resident memory (on CUDA, of allocated memory) minus what was there before the parts were made, so weights,
moments, images and the libraries' work space are in it; the dataset and the program are not.

    OMP_NUM_THREADS=1 python benchmarks/memory_model.py --json benchmarks/results/memory_model_cpu.json
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from made_up import make_cases, make_plan, peak

from common import finish, in_a_process, machine, parser
from l2s_auto.core.allocator import spare_memory
from l2s_auto.core.component import Component
from l2s_auto.core.recipe import Recipe
from l2s_auto.hypergradients import HYPERGRADIENTS
from l2s_auto.planning.memory import plan_memory_gb
from l2s_auto.planning.topology import determine_topology
from l2s_auto.training.build import build_parts, initial_state
from l2s_auto.training.memory import step_memory
from l2s_auto.training.methods import METHODS

#: name -> spacing in mm, patch, batch, features of the first stage
SIZES = {
    "64x64x64, batch 2, features 8": ((1.0, 1.0, 1.0), (64, 64, 64), 2, 8),
    "48x48x48, batch 2, features 8": ((1.0, 1.0, 1.0), (48, 48, 48), 2, 8),
    "64x64x64, batch 1, features 16": ((1.0, 1.0, 1.0), (64, 64, 64), 1, 16),
    "40x56x40, batch 2, features 16": ((1.0, 1.0, 1.0), (40, 56, 40), 2, 16),
    "32x32x32, batch 4, features 32": ((1.0, 1.0, 1.0), (32, 32, 32), 4, 32),
    "128x128x16 of 0.7x0.7x5 mm, batch 2, features 8": ((0.7, 0.7, 5.0), (128, 128, 16), 2, 8),
    "1x192x192, batch 8, features 16": ((1.0, 1.0, 1.0), (1, 192, 192), 8, 16),
}
CHECKPOINTING = Component(name="unet", options={"checkpointing": True})
#: name -> method, options of the recipe
ROWS: dict[str, tuple[str, dict]] = {
    "supervised": ("supervised", {}),
    "without hyper-steps": ("learn2synth", {"hyper_every": 10**9}),
    **{name: ("learn2synth", {"hypergradient": name}) for name in HYPERGRADIENTS},
    "finite-difference, micro-batch 1": ("learn2synth", {"hypergradient": "finite-difference", "micro_batch": 1}),
    "unrolled, micro-batch 1": ("learn2synth", {"hypergradient": "unrolled", "micro_batch": 1}),
    **{
        f"{name}, checkpointing": ("learn2synth", {"hypergradient": name, "network": CHECKPOINTING})
        for name in ("finite-difference", "unrolled")
    },
    "unrolled, part 0.5": ("learn2synth", {"hypergradient": "unrolled", "hyper_part": 0.5}),
    "forward, part 0.5": ("learn2synth", {"hypergradient": "forward", "hyper_part": 0.5}),
}


def make_recipe(row: str) -> Recipe:
    method, options = ROWS[row]
    options = {k: Component(name=v) if k == "hypergradient" else v for k, v in options.items()}
    return Recipe(method=Component(name=method), warm_up=0.0, **{"hyper_every": 1, **options})


def measure(row: str, size: str, device_name: str, steps: int, queue) -> None:
    """(measured, estimated) MB (1e6 bytes) of one row at one size."""
    device = torch.device(device_name)
    spacing, patch, batch, features = SIZES[size]
    topology, patch = determine_topology(spacing, patch, base_features=features)
    recipe = make_recipe(row)
    if recipe.micro_batch or recipe.network == CHECKPOINTING:
        spare_memory()  # as the command does
    method = METHODS[recipe.method.name]()
    plan = make_plan(topology, patch, batch).model_copy(update={"spacing": spacing})
    cases = make_cases(patch)
    before = present(device)
    parts = build_parts(plan, recipe, cases, method=method, device=device)
    state = initial_state(parts)
    estimate = plan_memory_gb(plan, step_memory(recipe, hyper_steps=method.hyper_steps)) * 1e3
    state.step = 1  # iteration 0 is a hyper-step of every schedule
    for _ in range(steps):
        step = state.step + 1
        state = method.step(parts, state, progress=0.5).state
        state.step = step
    queue.put((peak(device) * 2**20 / 1e6 - before, estimate))


def present(device: torch.device) -> float:
    """MB that this process holds now."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device) / 1e6
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024 / 1e6


def main() -> None:
    options = parser(__doc__.splitlines()[0])
    options.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    options.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    options.add_argument("--steps", type=int, default=3)
    given = options.parse_args()
    figures: dict = {"machine": machine(given.device), "sizes": {}}
    for size in given.sizes:
        rows = figures["sizes"].setdefault(size, {})
        for row in given.rows:
            measured, estimate = in_a_process(measure, row, size, given.device, given.steps)
            error = round(estimate / measured - 1, 3)
            rows[row] = {"measured_mb": round(measured), "estimated_mb": round(estimate), "error": error}
            print(f"{size:50s} {row:36s} {json.dumps(rows[row])}", flush=True)
    finish(figures, given.json)


if __name__ == "__main__":
    main()
