"""Augmenters and the contrast prior: mean Dice on held-out scans as they are, and under five changes of appearance.

Each variant is trained by `l2s_plan_and_train`'s function with equal time. Then the held-out scans are segmented as
they are, and changed as in `l2s_auto.evaluation.appearance`.

    OMP_NUM_THREADS=1 python benchmarks/appearances.py DATASET -o FOLDER --time-budget 600 --json results.json

`--part I N` trains the Ith of N shares of the variants and seeds, for several processes; a later call gathers them.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
from methods_on_dataset import last_line

from common import finish, machine, parser
from l2s_auto.core.component import Component
from l2s_auto.core.composition import of_shares
from l2s_auto.core.recipe import Recipe
from l2s_auto.evaluation import evaluate_folders
from l2s_auto.evaluation.appearance import APPEARANCES, mean_of_changed
from l2s_auto.experiments.methods.subset import write_references, write_scans
from l2s_auto.inference.predict import predict
from l2s_auto.io.dataset import find_dataset
from l2s_auto.io.json_files import read_json, write_json
from l2s_auto.training.run import plan_and_train


def of_method(name: str, **options) -> dict:
    return {"method": Component(name=name), **options}


def learned(augmenter: str) -> dict:
    return of_method("learn2synth", augmenter=Component(name=augmenter))


def implicit(augmenter: str, **options) -> dict:
    """Dear hyper-steps, therefore seldom, and theta's rate is higher."""
    return of_method(
        "learn2synth",
        augmenter=Component(name=augmenter, options=options),
        hypergradient=Component(
            name="finite-difference", options={"direction": "implicit", "direction_options": {"steps": 3}}
        ),
        hyper_every=50,
        outer_optimiser=Component(name="adam", options={"rate": 0.03}),
    )


#: name -> options of the recipe
VARIANTS = {
    "synthseg": of_method("synthseg"),
    "synthseg with prior": of_method("synthseg", families=dict(of_shares(0.4, 0.2).fractions)),
    "learn2synth": of_method("learn2synth"),
    "learn2synth, 70 % near": of_method("learn2synth", families=dict(of_shares(0.7, 0.15).fractions)),
    "learn2synth, half near": of_method("learn2synth", families=dict(of_shares(0.5, 0.2).fractions)),
    "learn2synth, implicit": implicit("parametric"),
    "learn2synth, implicit, share": implicit("share+parametric-range", share={"start": 0.5, "most": 0.8}),
    "learn2synth, theta at rest": of_method("learn2synth", warm_up=0.9999),
    **{
        f"learn2synth {name}": learned(name)
        for name in (
            "parametric-random",
            "parametric-range",
            "nonparametric",
            "contrast+parametric-range",
            "contrast+gamma+blur+rician+parametric",
        )
    },
    "matched parametric-range": of_method("learn2synth-matched", augmenter=Component(name="parametric-range")),
    "supervised": of_method("supervised"),
}


def run_one(name: str, seed: int, given) -> dict:
    """Train and test one variant, or what a former call did."""
    folder = given.output / f"{name}, seed {seed}"
    if (folder / "row.json").exists():
        return read_json(folder / "row.json")
    recipe = Recipe(**{**VARIANTS[name], "time_budget": given.time_budget, "seed": seed})
    run = plan_and_train(dataset=given.dataset, output=folder, recipe=recipe, device=given.device, resume=True)
    dataset = find_dataset(given.dataset)
    labels = {value: label for value, label in dataset.labels.items() if value != 0}
    held_out = set(read_json(run / "splits.json")[0]["val"])
    cases = [case for case in dataset.cases if case.id in held_out]
    tests = given.output / f"tests of part {given.part[0]}"
    write_references(cases, tests / "references")
    dice = {}
    for change in APPEARANCES:
        if not (tests / change).exists():
            write_scans(cases, tests / change, appearance=change)
        predict(tests / change, run / "tests" / change, model=run, device=given.device)
        dice[change] = evaluate_folders(run / "tests" / change, tests / "references", labels)["mean"]["dice"]
    line = last_line(run)
    row = {
        "variant": name,
        "seed": seed,
        "dice": dice,
        "mean_of_changed": mean_of_changed(dice),
        "iterations": line["iteration"],
        "seconds": line["seconds"],
        "theta": line["theta"],
    }
    write_json(folder / "row.json", row)
    return row


def summary(rows: list[dict]) -> dict:
    """variant -> mean and standard deviation over seeds of the Dice on scans as they are, and changed."""
    found = {}
    for name in dict.fromkeys(row["variant"] for row in rows):
        own = [row for row in rows if row["variant"] == name]
        values = {
            "as they are": [row["dice"]["as they are"] for row in own],
            "changed": [row["mean_of_changed"] for row in own],
        }
        found[name] = {
            key: {"mean": float(np.mean(v)), "sd": float(np.std(v, ddof=1)) if len(v) > 1 else None}
            for key, v in values.items()
        }
    return found


def main() -> None:
    options = parser(__doc__.splitlines()[0])
    options.add_argument("dataset", type=Path)
    options.add_argument("-o", "--output", type=Path, default=Path("l2s_runs/appearances"))
    options.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    options.add_argument("--time-budget", type=float, default=600.0, help="seconds of training a variant")
    options.add_argument("--seeds", type=int, nargs="+", default=[0])
    options.add_argument("--part", type=int, nargs=2, default=(1, 1), help="I of N shares of the trainings")
    given = options.parse_args()
    rows = []
    work = list(itertools.product(given.seeds, given.variants))
    for seed, name in work[given.part[0] - 1 :: given.part[1]]:
        row = run_one(name, seed, given)
        rows.append(row)
        shown = "  ".join(f"{change} {value:.3f}" for change, value in row["dice"].items())
        print(f"{name:40s} seed {seed} {shown}  changed {row['mean_of_changed']:.3f}", flush=True)
    finish(
        {
            "machine": machine(given.device),
            "dataset": find_dataset(given.dataset).name,
            "time_budget": given.time_budget,
            "summary": summary(rows),
            "rows": rows,
        },
        given.json,
    )


if __name__ == "__main__":
    main()
