"""The memory that a plan's trial predicts, beside the peak of a real training by that plan, for six plans.

The trial is the planner's own (`training/trial.py`): a few steps on made-up cases. The training is `training/loop.py`'s
on compressed cases from a disk, with its history, checkpoints and validations, in a process of its own whose resident
memory is measured against what was there before the parts were made.

    OMP_NUM_THREADS=1 python benchmarks/trial_memory.py --json benchmarks/results/trial_memory_cpu.json
"""

from __future__ import annotations

import functools
import json
import tempfile
from pathlib import Path

import torch
from made_up import make_cases, make_plan, peak
from memory_model import present

from common import finish, in_a_process, machine, parser
from l2s_auto.core.allocator import start_without_cache
from l2s_auto.core.component import Component
from l2s_auto.core.recipe import Recipe
from l2s_auto.networks.device import fast_dtype
from l2s_auto.planning.topology import determine_topology
from l2s_auto.preprocessing.compressed import open_array, write_array
from l2s_auto.preprocessing.store import StoredCase
from l2s_auto.training.build import build_parts, initial_state
from l2s_auto.training.home import Phases
from l2s_auto.training.loop import Limits, train
from l2s_auto.training.methods import METHODS
from l2s_auto.training.trial import try_plan
from l2s_auto.training.validate import mean_dice

#: name -> spacing in mm, patch, batch, features of the first stage, method
PLANS: dict[str, tuple[tuple[float, float, float], tuple[int, int, int], int, int, str]] = {
    "64x64x64, batch 2, features 8": ((1.0, 1.0, 1.0), (64, 64, 64), 2, 8, "learn2synth"),
    "40x56x40, batch 2, features 16": ((1.0, 1.0, 1.0), (40, 56, 40), 2, 16, "learn2synth"),
    "32x32x32, batch 4, features 32": ((1.0, 1.0, 1.0), (32, 32, 32), 4, 32, "learn2synth"),
    "128x128x16 of 0.7x0.7x5 mm, batch 2, features 8": ((0.7, 0.7, 5.0), (128, 128, 16), 2, 8, "learn2synth"),
    "192x192x1, batch 8, features 16": ((1.0, 1.0, 1.0), (192, 192, 1), 8, 16, "learn2synth"),
    "64x64x64, batch 2, features 8, supervised": ((1.0, 1.0, 1.0), (64, 64, 64), 2, 8, "supervised"),
}


def the_plan(name: str):
    spacing, patch, batch, features, method = PLANS[name]
    topology, patch = determine_topology(spacing, patch, base_features=features)
    return make_plan(topology, patch, batch).model_copy(update={"spacing": spacing}), METHODS[method](), method


def predicted(name: str, device: str, queue) -> None:
    """GB that the trial takes."""
    plan, method, called = the_plan(name)
    measured = try_plan(plan, Recipe(method=Component(name=called)), method, torch.device(device))
    queue.put(None if measured is None else measured.memory_gb)


def trained(name: str, device_name: str, iterations: int, queue) -> None:
    """GB that a training takes."""
    device = torch.device(device_name)
    plan, method, called = the_plan(name)
    recipe = Recipe(method=Component(name=called), hyper_every=5)
    with tempfile.TemporaryDirectory() as place:
        cases = []
        for case in make_cases(plan.patch, count=6):
            image, enriched = Path(place) / f"{case.id}-image.b2nd", Path(place) / f"{case.id}-labels.b2nd"
            write_array(image, case.image)
            write_array(enriched, case.enriched)
            cases.append(StoredCase(case.id, open_array(image), open_array(enriched)))
        before = present(device)
        parts = build_parts(plan, recipe, cases[:4], method=method, device=device, autocast=fast_dtype(device))
        train(
            parts,
            Phases(method),
            initial_state(parts),
            folder=Path(place) / "fold_0",
            limits=Limits(iterations=iterations, time_budget=None, validations=3),
            validate=functools.partial(mean_dice, parts, cases=cases[4:]),
            title=name,
        )
        queue.put((peak(device) * 2**20 / 1e6 - before) / 1e3)


def main() -> None:
    start_without_cache()  # as the command does
    options = parser(__doc__.splitlines()[0])
    options.add_argument("--plans", nargs="+", choices=PLANS, default=list(PLANS))
    options.add_argument("--iterations", type=int, default=40)
    given = options.parse_args()
    figures: dict = {"machine": machine(given.device), "iterations": given.iterations, "plans": {}}
    for name in given.plans:
        guess = in_a_process(predicted, name, given.device)
        real = in_a_process(trained, name, given.device, given.iterations)
        row = {"predicted_gb": round(guess, 3), "trained_gb": round(real, 3), "error": round(guess / real - 1, 3)}
        figures["plans"][name] = row
        print(f"{name:50s} {json.dumps(row)}", flush=True)
    finish(figures, given.json)


if __name__ == "__main__":
    main()
