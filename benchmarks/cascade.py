"""A cascade beside one network: Dice on held-out cases of which a patch shows little, at equal time.

The dataset is one of label maps; scans of those that are held out are made from them here, with random intensities.
Both are trained by `l2s_plan_and_train`'s function; of a cascade's time the first network has a third.

    OMP_NUM_THREADS=1 python benchmarks/cascade.py DATASET -o FOLDER --patch 32 32 32 --time-budget 600 --json F
"""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import torch

from common import finish, machine, parser
from l2s_auto.core.component import Component
from l2s_auto.core.plan import Plan
from l2s_auto.core.recipe import Recipe
from l2s_auto.evaluation import evaluate_folders
from l2s_auto.inference.predict import predict
from l2s_auto.io.dataset import find_dataset
from l2s_auto.io.json_files import read_json, read_model
from l2s_auto.io.volumes import read_label_map
from l2s_auto.planning.choices import Choices
from l2s_auto.training.run import plan_and_train


def images_of(cases, labels: dict[int, str], folder: Path) -> None:
    """A scan of each label map: a random intensity a label, noise, a smooth bias field; and its reference."""
    for kind in ("images", "references"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for number, case in enumerate(cases):
        rng = np.random.default_rng(1000 + number)
        values, affine = read_label_map(case.label)
        table = np.zeros(max(labels) + 1, dtype=np.float32)
        table[list(labels)] = rng.uniform(0, 1, len(labels))
        coarse = torch.from_numpy(rng.uniform(np.log(0.7), np.log(1.4), (1, 1, 4, 4, 4)))
        bias = torch.nn.functional.interpolate(coarse, values.shape, mode="trilinear").exp()[0, 0].numpy()
        image = table[values] * bias + 0.03 * rng.standard_normal(values.shape)
        nib.save(nib.Nifti1Image(image.astype(np.float32), affine), folder / "images" / f"{case.id}.nii.gz")
        nib.save(nib.Nifti1Image(values.astype(np.int16), affine), folder / "references" / f"{case.id}.nii.gz")


def run_one(name: str, given) -> dict:
    recipe = Recipe(method=Component(name=given.method), time_budget=given.time_budget, seed=given.seed)
    choices = Choices(patch=tuple(given.patch), spacing=tuple(given.spacing), cascade=name == "cascade" or None)
    run = plan_and_train(
        dataset=given.dataset, output=given.output / name, recipe=recipe, device=given.device, choices=choices
    )
    dataset = find_dataset(given.dataset)
    labels = {value: label for value, label in dataset.labels.items() if value != 0}
    held_out = set(read_json(run / "splits.json")[0]["val"])
    cases = [case for case in dataset.cases if case.id in held_out][: given.cases]
    tests = given.output / "tests"
    images_of(cases, dataset.labels, tests)
    summary = predict(tests / "images", run / "tests", model=run, device=given.device)
    metrics = evaluate_folders(run / "tests", tests / "references", labels)
    plan = read_model(run / "plan.json", Plan)
    low = plan.low_resolution
    return {
        "dice": round(metrics["mean"]["dice"], 4),
        "patch": plan.patch,
        "low_resolution": None if low is None else {"spacing": low.spacing, "patch": low.patch},
        "seconds_a_case": round(summary.seconds / len(cases), 2),
    }


def main() -> None:
    options = parser(__doc__.splitlines()[0])
    options.add_argument("dataset", type=Path)
    options.add_argument("-o", "--output", type=Path, default=Path("l2s_runs/cascade"))
    options.add_argument("--patch", nargs=3, type=int, default=[32, 32, 32])
    options.add_argument("--spacing", nargs=3, type=float, default=[2.0, 2.0, 2.0])
    options.add_argument("--method", default="synthseg")
    options.add_argument("--time-budget", type=float, default=600.0, help="seconds of training")
    options.add_argument("--cases", type=int, default=4, help="held-out cases that are segmented")
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    rows = {}
    for name in ("one network", "cascade"):
        rows[name] = run_one(name, given)
        print(name, rows[name], flush=True)
    dataset = find_dataset(given.dataset).name
    finish({"machine": machine(given.device), "dataset": dataset, "seed": given.seed, "rows": rows}, given.json)


if __name__ == "__main__":
    main()
