"""A 3D training that dies of memory with `unrolled`, runs with the default estimator, and what the planner makes of it.

Each training is a process of its own whose data may grow by --memory-gb from where it begins (RLIMIT_DATA: Linux). All
train the plan that the default estimator gets for heads of 64³ voxels, with a hyper-step on every second iteration; the
last one trains what the planner gives to `unrolled` for the same memory.

    OMP_NUM_THREADS=1 python benchmarks/memory_limit.py --json benchmarks/results/memory_limit_cpu.json
"""

from __future__ import annotations

import resource
from pathlib import Path

import torch
from made_up import make_cases, plain_fingerprint
from made_up import make_plan as made_up_plan

from common import finish, in_a_process, machine, parser
from l2s_auto.core.component import Component
from l2s_auto.core.plan import Plan
from l2s_auto.core.recipe import Recipe
from l2s_auto.planning.memory import plan_memory_gb
from l2s_auto.planning.planner import make_plan
from l2s_auto.training.build import build_parts, initial_state
from l2s_auto.training.memory import step_memory
from l2s_auto.training.methods import METHODS

DEFAULT = Recipe().hypergradient.name


def recipe_of(estimator: str) -> Recipe:
    return Recipe(hypergradient=Component(name=estimator), hyper_every=2, warm_up=0.0)


def planned(estimator: str, memory_gb: float | None) -> Plan:
    """The plan for cases of 64³ voxels of 1 mm on a CPU."""
    step = step_memory(recipe_of(estimator), hyper_steps=True)
    return make_plan(plain_fingerprint((64, 64, 64)), memory_gb=memory_gb, device="cpu", step=step)


def read(plan: Plan, estimator: str) -> dict:
    """What of a plan matters here, with the estimate for the estimator."""
    needed = plan_memory_gb(plan, step_memory(recipe_of(estimator), hyper_steps=True))
    return {
        "patch": plan.patch,
        "batch": plan.batch,
        "features": plan.topology.features,
        "estimated_gb": round(needed, 2),
    }


def attempt(plan: Plan, estimator: str, memory_gb: float, iterations: int, queue) -> None:
    """Train under a limit -> iterations done, and the error that ended it, if one did."""
    plan = made_up_plan(plan.topology, plan.patch, plan.batch)
    cases = make_cases(plan.patch)
    limit = held() + int(memory_gb * 1e9)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    done = {"plain": 0, "hyper": 0}
    error = None
    kind = "none"
    try:
        parts = build_parts(plan, recipe_of(estimator), cases, device=torch.device("cpu"))
        method, state = METHODS["learn2synth"](), initial_state(parts)
        state.step = 1  # so that a plain step is the first
        while sum(done.values()) < iterations:
            kind, step = "plain" if state.step % 2 else "hyper", state.step + 1
            state = method.step(parts, state, progress=0.5).state
            state.step = step
            done[kind] += 1
    except (RuntimeError, MemoryError) as found:
        error = f"{type(found).__name__} in a {kind} step: {str(found).splitlines()[0]}"
    queue.put({"iterations": sum(done.values()), "hyper_steps": done["hyper"], "error": error})


def held() -> int:
    """Bytes of data that this process has mapped."""
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmData:"))
    return int(line.split()[1]) * 1024


def main() -> None:
    options = parser(__doc__.splitlines()[0])
    options.add_argument("--memory-gb", type=float, default=1.2)
    options.add_argument("--iterations", type=int, default=10)
    given = options.parse_args()
    if given.device != "cpu":
        options.error("the limit is one of the CPU's memory")
    plans = {name: planned(name, given.memory_gb) for name in (DEFAULT, "unrolled")}
    rows = [(DEFAULT, plans[DEFAULT]), ("unrolled", plans[DEFAULT]), ("unrolled", plans["unrolled"])]
    figures: dict = {"machine": machine(given.device), "memory_gb": given.memory_gb, "plans": {}, "trainings": []}
    for name, plan in plans.items():
        figures["plans"][name] = read(plan, name)
        print(f"planned for {name:18s} {figures['plans'][name]}", flush=True)
    for name, plan in rows:
        found = in_a_process(attempt, plan, name, given.memory_gb, given.iterations)
        figures["trainings"].append({"estimator": name, **read(plan, name), **found})
        print(f"trained with {name:17s} {figures['trainings'][-1]}", flush=True)
    finish(figures, given.json)


if __name__ == "__main__":
    main()
