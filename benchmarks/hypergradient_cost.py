"""Cost and error of a hyper-step with each estimator, beside the plain supervised step of the same network.

Time and peak memory are ratios to the supervised step: times from steps of the rows in turns, the median of several
rounds; memory from a process for each row. The error is that of theta's
gradient in float32 (and with first-order passes in the device's fast precision) to double backward in float64, on the
same batches, after some training: the worst of several batches. A row with part 0.5 looks at half of the synthetic
and real batch for theta; phi learns from all of it.

    python benchmarks/hypergradient_cost.py --json benchmarks/results/hypergradient_cost.json

With `--steps 0` the errors alone are measured.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace

import torch
from made_up import make_cases, make_plan, peak

from common import finish, in_a_process, machine, parser
from l2s_auto.core.component import Component
from l2s_auto.core.recipe import Recipe
from l2s_auto.hypergradients import HYPERGRADIENTS
from l2s_auto.hypergradients.differentiate import inner, norm
from l2s_auto.networks.device import fast_dtype
from l2s_auto.planning.topology import determine_topology
from l2s_auto.training.batches import draw_batch, draw_real
from l2s_auto.training.build import Parts, build_parts, initial_state
from l2s_auto.training.methods import METHODS
from l2s_auto.training.step import TwoPasses, synthetic_step

#: name -> patch, batch
SETTINGS = {"3D, 64³, batch 2": ((64, 64, 64), 2), "2D, 192², batch 8": ((1, 192, 192), 8)}
CHECKPOINTING = Component(name="unet", options={"checkpointing": True})
#: name -> method, options of the recipe; the first is the unit
ROWS: dict[str, tuple[str, dict]] = {
    "supervised step": ("supervised", {}),
    "plain synthetic step": ("learn2synth", {"hyper_every": 10**9}),
    **{name: ("learn2synth", {"hypergradient": name, "hyper_part": 1.0}) for name in HYPERGRADIENTS},
    "finite-difference, part 0.5": ("learn2synth", {"hypergradient": "finite-difference", "hyper_part": 0.5}),
    "plain synthetic step, checkpointing": ("learn2synth", {"hyper_every": 10**9, "network": CHECKPOINTING}),
    "finite-difference, checkpointing": (
        "learn2synth",
        {"hypergradient": "finite-difference", "hyper_part": 1.0, "network": CHECKPOINTING},
    ),
    "unrolled, checkpointing": ("learn2synth", {"hypergradient": "unrolled", "network": CHECKPOINTING}),
    "default hyper-step": ("learn2synth", {}),
}
DEFAULT_SCHEDULE = "default schedule after the warm-up"


def make_parts(
    setting: str, options: dict, *, features: int, device: torch.device, autocast: torch.dtype | None, method: str
) -> Parts:
    patch, batch = SETTINGS[setting]
    topology, patch = determine_topology((1.0, 1.0, 1.0), patch, base_features=features)
    options = {k: Component(name=v) if k == "hypergradient" else v for k, v in options.items()}
    recipe = Recipe(method=Component(name=method), warm_up=0.0, **{"hyper_every": 1, **options})
    return build_parts(
        make_plan(topology, patch, batch),
        recipe,
        make_cases(patch),
        method=METHODS[method](),
        device=device,
        autocast=autocast,
    )


def first_order_dtype(given) -> torch.dtype | None:
    """Of fast first-order passes: the one that is asked for, else what the device is fast in; None = float32."""
    return getattr(torch, given.fast_dtype) if given.fast_dtype else fast_dtype(torch.device(given.device))


class Run:
    """A training of one row."""

    def __init__(self, row: str, setting: str, given) -> None:
        self.device = torch.device(given.device)
        name, options = ROWS[row]
        self.parts = make_parts(
            setting,
            options,
            features=given.features,
            device=self.device,
            autocast=first_order_dtype(given) if given.fast else None,
            method=name,
        )
        self.method, self.state = METHODS[name](), initial_state(self.parts)
        self.state.step = 1  # iteration 0 is a hyper-step of every schedule

    def step(self) -> float:
        """Seconds of an iteration."""
        started, step = time.perf_counter(), self.state.step + 1
        self.state = self.method.step(self.parts, self.state, progress=0.5).state
        self.state.step = step
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter() - started


def times(setting: str, given, queue) -> None:
    """Median seconds of a step of each row. The rows take turns, so that what else runs slows all of them."""
    runs = {row: Run(row, setting, given) for row in given.rows}
    seconds: dict[str, list[float]] = {row: [] for row in runs}
    for number in range(given.steps + 1):
        for row, run in runs.items():
            taken = run.step()
            seconds[row] += [taken] if number else []
    queue.put({row: statistics.median(taken) for row, taken in seconds.items()})


def memory(row: str, setting: str, given, queue) -> None:
    """MiB that a few steps of a row add to the peak of a fresh process."""
    run = Run(row, setting, given)
    before = peak(run.device)
    for _ in range(3):
        run.step()
    queue.put(peak(run.device) - before)


def errors(setting: str, given, queue) -> None:
    """Worst cosine and relative error of every estimator, in float32 and with fast first-order passes."""
    device = torch.device(given.device)
    autocast = first_order_dtype(given)
    parts = make_parts(setting, {}, features=given.features, device=device, autocast=autocast, method="learn2synth")
    state = initial_state(parts)
    for _ in range(25):
        state = synthetic_step(parts, state, rate_scale=1.0).state
    rows: dict[str, dict[str, float]] = {}
    for _ in range(given.batches):
        problem = TwoPasses(parts, draw_batch(parts), draw_real(parts))
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
    if isinstance(value, Mapping):
        return {k: to_double(v) for k, v in value.items()}
    if isinstance(value, TwoPasses):
        return TwoPasses(value.parts, to_double(value.drawn), to_double(value.scans))
    if is_dataclass(value):
        return replace(value, **{field.name: to_double(getattr(value, field.name)) for field in fields(value)})
    return value


def measure(setting: str, given) -> dict[str, dict[str, float]]:
    """Time and memory of each row, and their ratios to the first's; the schedule's time follows from its steps."""
    seconds = in_a_process(times, setting, given)
    mib = {row: in_a_process(memory, row, setting, given) for row in given.rows}
    if {"plain synthetic step", "default hyper-step"} <= set(given.rows):
        every = Recipe().hyper_every
        plain, hyper = seconds["plain synthetic step"], seconds["default hyper-step"]
        seconds[DEFAULT_SCHEDULE] = plain + (hyper - plain) / every
        mib[DEFAULT_SCHEDULE] = mib["default hyper-step"]
    unit = given.rows[0]
    return {
        row: {
            "seconds": seconds[row],
            "memory_mib": mib[row],
            "time_ratio": seconds[row] / seconds[unit],
            "memory_ratio": mib[row] / mib[unit],
        }
        for row in seconds
    }


def main() -> None:
    options = parser(__doc__.splitlines()[0])
    options.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    options.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    options.add_argument("--features", type=int, default=8, help="of the first stage; a CPU's plan of 64³ has 8")
    options.add_argument("--steps", type=int, default=7, help="of each row; 0 measures neither time nor memory")
    options.add_argument("--batches", type=int, default=3, help="for the errors; 0 measures none")
    options.add_argument("--fast", action="store_true", help="first-order passes in bfloat16 where that is fast")
    options.add_argument(
        "--fast-dtype",
        choices=("bfloat16", "float16"),
        help="of fast first-order passes, on any device; without it, what the device is fast in",
    )
    given = options.parse_args()
    dtype = first_order_dtype(given)
    figures: dict = {
        "machine": machine(given.device),
        "features": given.features,
        "fast": given.fast,
        "first_order_dtype": None if dtype is None else str(dtype).removeprefix("torch."),
        "settings": {},
    }
    for setting in given.settings:
        rows = measure(setting, given) if given.steps else {}
        figures["settings"][setting] = {"rows": rows}
        for row, found in rows.items():
            print(f"{setting:20s} {row:36s} {json.dumps({k: round(v, 3) for k, v in found.items()})}", flush=True)
        if given.batches:
            found = in_a_process(errors, setting, given)
            figures["settings"][setting]["errors"] = found
            for name, row in found.items():
                print(f"{setting:20s} {name:50s} cosine {row['cosine']:.6f}, error {row['error']:.2e}", flush=True)
    finish(figures, given.json)


if __name__ == "__main__":
    main()
