"""What the steps of a recipe keep in memory, and whether a plan that is there fits."""

from __future__ import annotations

import logging
from pathlib import Path

from l2s_auto.core.errors import UserError
from l2s_auto.core.plan import Plan
from l2s_auto.core.recipe import Recipe
from l2s_auto.hypergradients import HYPERGRADIENTS
from l2s_auto.planning.memory import StepMemory, plan_memory_gb
from l2s_auto.training.build import make_hypergradient

LOGGER = logging.getLogger("l2s_auto")


def step_memory(recipe: Recipe, *, hyper_steps: bool, home: bool = False) -> StepMemory:
    """Of the most demanding step; an estimator that does not tell its memory counts as the most demanding one.

    hyper_steps  whether the method takes theta's gradient
    home         whether the training has a home phase, beside which the general weights are kept
    """
    checkpointing = bool(recipe.network.options.get("checkpointing"))
    if not hyper_steps:
        return StepMemory(micro_batch=recipe.micro_batch, checkpointing=checkpointing, home=home)
    most = max(estimator.memory for estimator in HYPERGRADIENTS.values())
    hyper = float(getattr(make_hypergradient(recipe), "memory", most))
    return StepMemory(hyper, recipe.hyper_part, recipe.micro_batch, checkpointing, home)


#: A plan that is estimated to need this many times what is free is not tried.
HOPELESS = 3.0


def check_memory(
    plan: Plan, step: StepMemory, *, memory_gb: float | None, free_gb: float | None, path: Path, processes: int = 1
) -> None:
    """Whether a plan that was made before, or by hand, fits into the memory.

    memory_gb  what the user allows each process: beyond it the plan is an error. None: what is free for it, `free_gb`,
               beyond which it is a warning, and beyond HOPELESS times as much an error
    path       the plan's file
    """
    if plan.low_resolution is not None:
        check_memory(plan.first_stage, step, memory_gb=memory_gb, free_gb=free_gb, path=path, processes=processes)
    allowed = free_gb if memory_gb is None else memory_gb
    needed = plan_memory_gb(plan, step, processes=processes)
    if allowed is None or needed <= allowed:
        return
    patch = " x ".join(map(str, plan.patch))
    needs = f"about {needed:.2g} GB for patches of {patch} voxels and a batch of {plan.batch}"
    needs += f" ({plan.early})" if plan.early is not None else ""
    if memory_gb is None and needed <= HOPELESS * allowed:
        LOGGER.warning("Warning: the plan in %s needs %s; %.2g GB are free.", path, needs, allowed)
        return
    raise UserError.single(
        "The plan in the run folder needs more memory than is allowed.",
        where=str(path),
        found=needs,
        expected=f"at most {allowed:.2g} GB, " + ("which are free" if memory_gb is None else "as --memory-gb says"),
        mend="Correct patch, batch and early, allow more, take fewer samples at a time (--micro-batch), or plan anew "
        "in another folder (-o).",
    )
