"""The plan as a table for the terminal: what was decided, and why."""

from __future__ import annotations

import textwrap

from l2s_auto.core.folding import WIDTH
from l2s_auto.core.plan import Plan
from l2s_auto.core.recipe import Recipe

#: Columns of the second column, at most.
WIDEST = 26


def plan_table(plan: Plan, recipe: Recipe | None = None) -> str:
    """A line a choice: its name, its value, its reason; long reasons go on below themselves.

    recipe  of the training, whose length goes before the plan's
    """
    shown, reasons_of = told(plan), dict(plan.why)
    if recipe is not None and recipe.iterations is not None:
        shown["iterations"], reasons_of["iterations"] = f"{recipe.iterations:,}", "as asked for (--iterations)"
    if recipe is not None and recipe.time_budget is not None:
        budget = f"{recipe.time_budget / 60:.3g} min"
        if recipe.iterations is None:
            shown["iterations"], reasons_of["iterations"] = f"as many as {budget} allow", "as asked for (--time-budget)"
        else:
            reasons_of["iterations"] += f"; fewer where {budget} are over before (--time-budget)"
    rows = [(name, value, reasons_of.get(name, "")) for name, value in shown.items()]
    first, second = (max(len(row[column]) for row in rows) for column in (0, 1))
    second = min(second, WIDEST)
    lines = ["Plan (every line can be chosen otherwise by an option, or in plan.json):"]
    for name, value, why in rows:
        reasons = textwrap.wrap(why, max(30, WIDTH - first - second - 6)) or [""]
        values = textwrap.wrap(value, second) or [""]
        for number in range(max(len(reasons), len(values))):
            cells = (
                name if number == 0 else "",
                values[number] if number < len(values) else "",
                reasons[number] if number < len(reasons) else "",
            )
            lines.append(f"  {cells[0]:{first}s}  {cells[1]:{second}s}  {cells[2]}".rstrip())
    return "\n".join(lines)


def told(plan: Plan) -> dict[str, str]:
    """Field of the plan -> its value in few words."""
    features = plan.topology.features
    schemes = dict(zip(plan.channels, (n.scheme for n in plan.normalisation), strict=False))
    rows = {
        "spacing": f"{_times(plan.spacing)} mm",
        "patch": f"{_times(plan.patch)} voxels",
        "batch": str(plan.batch),
        **({"early": str(plan.early)} if plan.early is not None else {}),
        "topology": f"U-Net of {len(features)} stages, {features[0]} to {max(features)} features",
        "normalisation": ", ".join(f"{name}: {scheme}" for name, scheme in schemes.items()) or "none",
        "generation": f"{plan.generation.classes} classes of intensities",
        "pairs": f"{len(plan.pairs)} of left and right" if plan.pairs else "none",
        "iterations": f"{plan.iterations:,}",
    }
    if (low := plan.low_resolution) is not None:
        early = "" if low.early is None else f"; {low.early}"
        rows["low_resolution"] = f"{_times(low.spacing)} mm, {_times(low.patch)} voxels{early}"
    return {**rows, **{name: "" for name in ("context", "memory") if name in plan.why}}


def _times(numbers: tuple[float, ...]) -> str:
    return " x ".join(f"{number:.3g}" for number in numbers)
