"""Methods on a dataset's held-out fold: mean Dice on the scans as they are, and with their intensities inverted.

Each method is trained by `l2s_plan_and_train`'s function with equal time; then the held-out scans, and copies in which
intensity x becomes minimum + maximum - x, are segmented and compared with their references.

    python benchmarks/methods_on_dataset.py DATASET -o FOLDER --time-budget 600 --json results.json
"""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np

from common import finish, machine, parser
from l2s_auto.core.component import Component
from l2s_auto.core.recipe import Recipe
from l2s_auto.core.types import Case
from l2s_auto.evaluation import evaluate_folders
from l2s_auto.experiments.methods.subset import write_references
from l2s_auto.inference.predict import predict
from l2s_auto.io.dataset import find_dataset
from l2s_auto.io.json_files import read_json
from l2s_auto.preprocessing.read import read_image
from l2s_auto.training.run import plan_and_train


def inverted(data: np.ndarray) -> np.ndarray:
    """Bright becomes dark: minimum + maximum - x."""
    return data.max() + data.min() - data


APPEARANCES = {"as they are": lambda data: data, "inverted": inverted}


def write_cases(cases: list[Case], folder: Path, *, change) -> None:
    """Copies of the cases' images as NIfTI, changed."""
    folder.mkdir(parents=True, exist_ok=True)
    for case in cases:
        volume = read_image(case)
        assert len(volume.data) == 1, "one channel is expected"
        nib.save(nib.Nifti1Image(change(volume.data[0]), volume.affine), folder / f"{case.id}.nii.gz")


def last_line(run: Path) -> dict:
    return json.loads((run / "fold_0" / "history.jsonl").read_text().splitlines()[-1])


def test_run(run: Path, cases: list[Case], labels: dict[int, str], folder: Path, device: str) -> dict[str, float]:
    """Mean Dice of a trained run under each appearance."""
    scores = {}
    for name, change in APPEARANCES.items():
        images, output = folder / f"images {name}", folder / run.name / name
        if not images.exists():
            write_cases(cases, images, change=change)
        predict(images, output, model=run, device=device)
        scores[name] = evaluate_folders(output, folder / "references", labels)["mean"]["dice"]
    return scores


def main() -> None:
    options = parser(__doc__.splitlines()[0])
    options.add_argument("dataset", type=Path)
    options.add_argument("-o", "--output", type=Path, default=Path("l2s_runs/methods"))
    options.add_argument("--methods", default="learn2synth,synthseg,supervised")
    options.add_argument("--time-budget", type=float, default=600.0, help="seconds of training a method")
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    dataset = find_dataset(given.dataset)
    labels = {value: name for value, name in dataset.labels.items() if value != 0}
    rows: dict[str, dict] = {}
    for method in given.methods.split(","):
        recipe = Recipe(method=Component(name=method), time_budget=given.time_budget, seed=given.seed)
        run = plan_and_train(
            dataset=given.dataset, output=given.output / method, recipe=recipe, device=given.device, resume=True
        )
        held_out = set(read_json(run / "splits.json")[0]["val"])
        cases = [case for case in dataset.cases if case.id in held_out]
        write_references(cases, given.output / "tests" / "references")
        scores = test_run(run, cases, labels, given.output / "tests", given.device)
        line = last_line(run)
        rows[method] = {**scores, "iterations": line["iteration"], "seconds": line["seconds"], "theta": line["theta"]}
        print(f"{method:14s} {json.dumps(rows[method])}", flush=True)
    finish(
        {
            "machine": machine(given.device),
            "dataset": dataset.name,
            "cases": len(cases),
            "seed": given.seed,
            "time_budget": given.time_budget,
            "mean_dice": rows,
        },
        given.json,
    )


if __name__ == "__main__":
    main()
