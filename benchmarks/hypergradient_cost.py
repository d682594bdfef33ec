"""Cost and error of a hyper-step with each estimator, beside the plain supervised step of the same network.

Time and peak memory are ratios to the supervised step, each row in a process of its own. The error is that of theta's
gradient in float32 (and with first-order passes in the device's fast precision) to double backward in float64, on the
same batches, after some training: the worst of several batches. A row with part 0.5 looks at half of the synthetic
and real batch for theta; phi learns from all of it.

    python benchmarks/hypergradient_cost.py --json benchmarks/results/hypergradient_cost.json
"""

from __future__ import annotations

import json
import time

import torch
from made_up import make_cases, make_plan, peak

from common import finish, in_a_process, machine, parser
from l2s_auto.core.component import Component
from l2s_auto.core.recipe import Recipe
from l2s_auto.hypergradients import HYPERGRADIENTS
from l2s_auto.hypergradients.differentiate import inner, norm
from l2s_auto.networks.device import fast_dtype
from l2s_auto.planning.topology import determine_topology
from l2s_auto.training.build import Parts, build_parts, initial_state
from l2s_auto.training.methods import METHODS
from l2s_auto.training.step import TwoPasses, draw_real, draw_synthetic, synthetic_step

#: name -> patch, batch
SETTINGS = {"3D, 64³, batch 2": ((64, 64, 64), 2), "2D, 192², batch 8": ((1, 192, 192), 8)}
#: name -> method, options of the recipe; the first is the unit
ROWS: dict[str, tuple[str, dict]] = {
    "supervised step": ("supervised", {}),
    "plain synthetic step": ("learn2synth", {"hyper_every": 10**9}),
    **{name: ("learn2synth", {"hyper_every": 1, "hypergradient": name, "hyper_part": 1.0}) for name in HYPERGRADIENTS},
    "finite-difference, part 0.5": (
        "learn2synth",
        {"hyper_every": 1, "hypergradient": "finite-difference", "hyper_part": 0.5},
    ),
    "default hyper-step": ("learn2synth", {"hyper_every": 1}),
    "default schedule after the warm-up": ("learn2synth", {}),
}


def make_parts(setting: str, options: dict, *, features: int, device: torch.device, fast: bool, method: str) -> Parts:
    patch, batch = SETTINGS[setting]
    topology, patch = determine_topology((1.0, 1.0, 1.0), patch, base_features=features)
    options = {k: Component(name=v) if k == "hypergradient" else v for k, v in options.items()}
    recipe = Recipe(method=Component(name=method), warm_up=0.0, **options)
    return build_parts(
        make_plan(topology, patch, batch),
        recipe,
        make_cases(patch),
        augmenter=METHODS[method]().augmenter(),
        device=device,
        autocast=fast_dtype(device) if fast else None,
    )


def cost(row: str, setting: str, features: int, device_name: str, steps: int, fast: bool, queue) -> None:
    """Seconds an iteration (median of rounds) and MiB of one row."""
    device = torch.device(device_name)
    name, options = ROWS[row]
    parts = make_parts(setting, options, features=features, device=device, fast=fast, method=name)
    method, state = METHODS[name](), initial_state(parts)
    state.step = 1  # iteration 0 is a hyper-step of every schedule
    before = peak(device)

    def run(count: int) -> float:
        nonlocal state
        started = time.perf_counter()
        for _ in range(count):
            step = state.step + 1
            state = method.step(parts, state, progress=0.5).state
            state.step = step
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return (time.perf_counter() - started) / count

    every = parts.recipe.hyper_every
    block = every if 1 < every < 100 else 1
    run(block)
    seconds = sorted(run(block) for _ in range(max(3, steps // block)))
    queue.put({"seconds": seconds[len(seconds) // 2], "memory_mib": peak(device) - before})


def errors(setting: str, features: int, device_name: str, batches: int, queue) -> None:
    """Worst cosine and relative error of every estimator, in float32 and with fast first-order passes."""
    device = torch.device(device_name)
    parts = make_parts(setting, {}, features=features, device=device, fast=True, method="learn2synth")
    state = initial_state(parts)
    for _ in range(25):
        state = synthetic_step(parts, state, rate_scale=1.0).state
    rows: dict[str, dict[str, float]] = {}
    for _ in range(batches):
        problem = TwoPasses(parts, draw_synthetic(parts), draw_real(parts))
        given = (problem, state.phi, state.theta, parts.rule, state.inner_state)
        exact = HYPERGRADIENTS["unrolled"]()(*map(to_double, given)).theta_grad
        for name, estimator in HYPERGRADIENTS.items():
            for fast in (False, True):
                got = to_double(estimator(fast=fast)(*given).theta_grad)
                difference = {k: got[k] - exact[k] for k in exact}
                cosine = (inner(got, exact) / norm(got) / norm(exact)).item()
                row = rows.setdefault(name + (", fast first order" if fast else ""), {"cosine": 1.0, "error": 0.0})
                row["cosine"] = min(row["cosine"], cosine)
                row["error"] = max(row["error"], (norm(difference) / norm(exact)).item())
    queue.put(rows)


def to_double(value):
    """The same in float64, whatever holds it."""
    if isinstance(value, torch.Tensor):
        return value.double() if value.is_floating_point() else value
    if isinstance(value, dict):
        return {k: to_double(v) for k, v in value.items()}
    if isinstance(value, TwoPasses):
        drawn, scans = value.drawn, value.scans
        clean = type(scans)(drawn.clean.image.double(), drawn.clean.target)
        return TwoPasses(
            value.parts,
            type(drawn)(clean, to_double(dict(drawn.noise))),
            type(scans)(scans.image.double(), scans.target),
        )
    return value


def main() -> None:
    options = parser(__doc__.splitlines()[0])
    options.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    options.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    options.add_argument("--features", type=int, default=8, help="of the first stage; a CPU's plan of 64³ has 8")
    options.add_argument("--steps", type=int, default=7)
    options.add_argument("--batches", type=int, default=3, help="for the errors; 0 measures none")
    options.add_argument("--fast", action="store_true", help="first-order passes in bfloat16 where that is fast")
    given = options.parse_args()
    figures: dict = {"machine": machine(given.device), "features": given.features, "fast": given.fast, "settings": {}}
    for setting in given.settings:
        rows: dict[str, dict] = {}
        for row in given.rows:
            rows[row] = in_a_process(cost, row, setting, given.features, given.device, given.steps, given.fast)
            unit = rows[given.rows[0]]
            rows[row]["time_ratio"] = rows[row]["seconds"] / unit["seconds"]
            rows[row]["memory_ratio"] = rows[row]["memory_mib"] / unit["memory_mib"]
            print(f"{setting:20s} {row:36s} {json.dumps({k: round(v, 3) for k, v in rows[row].items()})}", flush=True)
        figures["settings"][setting] = {"rows": rows}
        if given.batches:
            found = in_a_process(errors, setting, given.features, given.device, given.batches)
            figures["settings"][setting]["errors"] = found
            for name, row in found.items():
                print(f"{setting:20s} {name:50s} cosine {row['cosine']:.6f}, error {row['error']:.2e}", flush=True)
    finish(figures, given.json)


if __name__ == "__main__":
    main()
