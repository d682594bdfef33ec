"""Whole trainings on a dataset, one a variant and seed: estimators and schedules of hyper-steps, compared by accuracy.

At equal iterations, or with `--equal time`, at equal time: the cost of a plain step and of each variant's hyper-step
is measured first, in turns, and every variant gets as many iterations as fit what the first variant's `--iterations`
take. That is repeatable, and other programs on the machine change the ratios little.

    python benchmarks/trainings.py DATASET --variants finite-difference unrolled --figure curves.png --json results.json
"""

from __future__ import annotations

import json
import shutil
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from methods_on_dataset import APPEARANCES, write_cases

from common import finish, machine, parser
from l2s_auto.core.component import Component
from l2s_auto.core.plan import Plan
from l2s_auto.core.recipe import Recipe
from l2s_auto.core.types import TrainState
from l2s_auto.evaluation import evaluate_folders
from l2s_auto.experiments.methods.subset import write_references
from l2s_auto.inference.predict import predict
from l2s_auto.io.dataset import find_dataset
from l2s_auto.io.json_files import read_json, read_model, write_json
from l2s_auto.networks.device import choose_device, fast_dtype
from l2s_auto.preprocessing.store import open_case
from l2s_auto.report.style import COLOURS, LIGHT, new_figure, write_png
from l2s_auto.training.build import Parts, build_parts, initial_state
from l2s_auto.training.run import plan_and_train
from l2s_auto.training.step import hyper_step, synthetic_step

NEVER = 10**9
#: name -> options of the recipe; an estimator's name is a variant too
VARIANTS: dict[str, dict] = {
    **{name: {"hypergradient": Component(name=name)} for name in ("unrolled", "forward", "finite-difference")},
    "finite-difference-central": {"hypergradient": Component(name="finite-difference-central")},
    **{f"every {k}": {"hyper_every": k} for k in (1, 2, 5, 10, 20, 50)},
    "every 10, part 0.5": {"hyper_every": 10, "hyper_part": 0.5},
    "theta fixed": {"hyper_every": NEVER},
    "silu": {"network": Component(name="unet", options={"activation": "silu"})},
    "elu": {"network": Component(name="unet", options={"activation": "elu"})},
}


@dataclass(frozen=True)
class Cost:
    """Seconds of a plain step and of a hyper-step."""

    plain: float
    hyper: float

    def mean(self, recipe: Recipe) -> float:
        """Seconds of an iteration, averaged over a training."""
        share = (1 - recipe.warm_up) / recipe.hyper_every
        return self.plain + share * (self.hyper - self.plain)


def recipe_of(variant: str, given, seed: int, iterations: int) -> Recipe:
    shared = {"hyper_every": given.every, "warm_up": given.warm_up, "seed": seed, "iterations": iterations}
    return Recipe(**{**shared, **VARIANTS[variant]})


def prepare(given) -> Path:
    """Plan and preprocess once, for all variants; the plan's features and patch become those asked for."""
    shared = given.output / "shared"
    if not (shared / "plan.json").exists():
        plan_and_train(dataset=given.dataset, output=shared, device=given.device, dry_run=True)
    plan = read_model(shared / "plan.json", Plan)
    features, wanted = plan.topology.features, given.features or plan.topology.features[0]
    scaled = tuple(max(1, count * wanted // features[0]) for count in features)
    topology = plan.topology.model_copy(update={"features": scaled})
    changed = {"topology": topology, "patch": tuple(given.patch or plan.patch)}
    write_json(shared / "plan.json", plan.model_copy(update=changed))
    return shared


def measure(shared: Path, variants: list[str], given, rounds: int = 7) -> dict[str, Cost]:
    """The cost of both kinds of steps of each variant: medians of rounds in which every variant has its turn."""
    device = choose_device(given.device)
    plan = read_model(shared / "plan.json", Plan)
    folder = shared / "preprocessed"
    cases = [open_case(path.name, folder) for path in sorted(folder.iterdir())[:8]]
    runs: dict[str, tuple[Parts, TrainState]] = {}
    for variant in variants:
        recipe = recipe_of(variant, given, 0, given.iterations)
        parts = build_parts(plan, recipe, cases, device=device, autocast=fast_dtype(device))
        runs[variant] = parts, initial_state(parts)
    taken: dict[str, tuple[list[float], list[float]]] = {variant: ([], []) for variant in variants}
    for _ in range(rounds + 1):
        for variant, (parts, state) in runs.items():
            taken[variant][0].append(seconds(lambda p=parts, s=state: synthetic_step(p, s, rate_scale=1.0)))
            taken[variant][1].append(
                seconds(lambda p=parts, s=state: hyper_step(p, s, rate_scale=1.0, outer_rate_scale=1.0))
            )
    # Plain steps are the same in all variants of one network.
    networks = {variant: runs[variant][0].recipe.network for variant in variants}
    plain = {
        variant: statistics.median(s for v in variants if networks[v] == networks[variant] for s in taken[v][0][1:])
        for variant in variants
    }
    return {variant: Cost(plain[variant], statistics.median(taken[variant][1][1:])) for variant in variants}


def seconds(step) -> float:
    started = time.perf_counter()
    step()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started


def run_one(variant: str, seed: int, iterations: int, shared: Path, given, tests: Path) -> dict:
    """Train, or go on where a former call stopped, and test -> the curves and the Dice of each appearance."""
    folder = given.output / f"{variant}, seed {seed}, {iterations} iterations"
    if (folder / "row.json").exists():
        return read_json(folder / "row.json")
    if not folder.exists():
        shutil.copytree(shared, folder)
    recipe = recipe_of(variant, given, seed, iterations)
    run = plan_and_train(dataset=given.dataset, output=folder, recipe=recipe, device=given.device, resume=True)
    dataset = find_dataset(given.dataset)
    labels = {value: name for value, name in dataset.labels.items() if value != 0}
    held_out = set(read_json(run / "splits.json")[0]["val"])
    cases = [case for case in dataset.cases if case.id in held_out][: given.test_cases]
    if not (tests / "references").exists():
        write_references(cases, tests / "references")
    dice = {}
    for name, change in APPEARANCES.items():
        if not (tests / f"images {name}").exists():
            write_cases(cases, tests / f"images {name}", change=change)
        predict(tests / f"images {name}", run / f"test {name}", model=run, device=given.device)
        dice[name] = evaluate_folders(run / f"test {name}", tests / "references", labels)["mean"]["dice"]
    lines = [json.loads(line) for line in (run / "fold_0" / "history.jsonl").read_text().splitlines()]
    row = {
        "variant": variant,
        "seed": seed,
        "iterations": lines[-1]["iteration"],
        "seconds": lines[-1]["seconds"],
        "dice": dice,
        "validation": [[line["iteration"], line["val_dice"]] for line in lines if line["val_dice"] is not None],
        "theta": [[line["iteration"], line["theta"]] for line in lines[::3] + lines[-1:]],
        "theta_gradient": lines[-1]["theta_gradient"],
    }
    (folder / "row.json").write_text(json.dumps(row), encoding="utf-8")
    return row


def draw(rows: list[dict], path: Path) -> None:
    """Curves of validation Dice and of every number of theta: a colour a variant, a line a seed.

    Later variants are thinner, so that equal curves show both.
    """
    variants = list(dict.fromkeys(row["variant"] for row in rows))
    names = list(rows[0]["theta"][0][1])
    figure = new_figure(4.2 * (1 + len(names)), 3.4, LIGHT)
    panels = figure.subplots(1, 1 + len(names))
    for number, variant in enumerate(variants):
        for row in (row for row in rows if row["variant"] == variant):
            label = variant if row["seed"] == rows[0]["seed"] else None
            style = {"color": COLOURS[number], "lw": max(1.0, 5.0 - 2 * number), "label": label}
            panels[0].plot(*np.array(row["validation"]).T, **style)
            steps = [step for step, _ in row["theta"]]
            for panel, name in zip(panels[1:], names, strict=True):
                panel.plot(steps, [theta[name] for _, theta in row["theta"]], **style)
    for panel, name in zip(panels, ["validation Dice", *names], strict=True):
        panel.set_title(name.replace("_", " "), fontsize=10)
        panel.set_xlabel("iteration")
    panels[0].legend(fontsize=8, frameon=False)
    figure.tight_layout()
    write_png(figure, path)


def summary(rows: list[dict]) -> dict[str, dict]:
    """Mean and spread (standard deviation over the seeds) of each variant."""
    found: dict[str, dict] = {}
    for row in rows:
        found.setdefault(row["variant"], {}).setdefault("rows", []).append(row)
    return {
        variant: {
            "iterations": group["rows"][0]["iterations"],
            **{
                name: {
                    "mean": float(np.mean(values := [row["dice"][name] for row in group["rows"]])),
                    "std": float(np.std(values, ddof=1)) if len(values) > 1 else None,
                }
                for name in APPEARANCES
            },
        }
        for variant, group in found.items()
    }


def main() -> None:
    options = parser(__doc__.splitlines()[0])
    options.add_argument("dataset", type=Path)
    options.add_argument("-o", "--output", type=Path, default=Path("l2s_runs/trainings"))
    options.add_argument("--variants", nargs="+", choices=VARIANTS, default=["finite-difference", "unrolled"])
    options.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    options.add_argument("--iterations", type=int, default=450)
    options.add_argument("--every", type=int, default=3, help="iterations from one hyper-step to the next")
    options.add_argument("--warm-up", type=float, default=0.1)
    options.add_argument("--equal", choices=("iterations", "time"), default="iterations")
    options.add_argument("--features", type=int, help="of the first stage; the plan's if it is left out")
    options.add_argument("--patch", type=int, nargs=3, help="voxels; the plan's if it is left out")
    options.add_argument("--test-cases", type=int, help="held-out cases to test on at the end; all if it is left out")
    options.add_argument("--figure", type=Path)
    given = options.parse_args()
    shared = prepare(given)
    costs = measure(shared, given.variants, given)
    first = recipe_of(given.variants[0], given, 0, given.iterations)
    budget = given.iterations * costs[given.variants[0]].mean(first)
    rows = []
    for seed in given.seeds:
        for variant in given.variants:
            cost = costs[variant].mean(recipe_of(variant, given, seed, given.iterations))
            iterations = round(budget / cost) if given.equal == "time" else given.iterations
            rows.append(run_one(variant, seed, iterations, shared, given, given.output / "tests"))
            print(f"{variant:28s} seed {seed}: {iterations} iterations, {json.dumps(rows[-1]['dice'])}", flush=True)
    if given.figure:
        draw(rows, given.figure)
    finish(
        {
            "machine": machine(given.device),
            "dataset": find_dataset(given.dataset).name,
            "equal": given.equal,
            "hyper_every": given.every,
            "warm_up": given.warm_up,
            "features": list(read_model(shared / "plan.json", Plan).topology.features),
            "patch": list(read_model(shared / "plan.json", Plan).patch),
            "test_cases": given.test_cases,
            "seconds_plain_and_hyper_step": {v: [cost.plain, cost.hyper] for v, cost in costs.items()},
            "summary": summary(rows),
            "runs": rows,
        },
        given.json,
    )


if __name__ == "__main__":
    main()
