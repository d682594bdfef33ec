"""Does the size of a voxel matter? The same images and label maps with their affines multiplied, trained alike.

A mouse is a person of a tenth of the size: the voxels are the same, only the header says otherwise. So a training with
the same seed and iterations has to reach the same Dice, on the held-out cases and on scans that no training saw.

    OMP_NUM_THREADS=2 python benchmarks/scaled_affines.py -o FOLDER --json F
    OMP_NUM_THREADS=2 python benchmarks/scaled_affines.py --dataset Dataset004_Hippocampus -o FOLDER --json F

Without --dataset it makes phantoms of a head.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np

from common import finish, machine, parser
from l2s_auto.core.component import Component
from l2s_auto.core.plan import Plan
from l2s_auto.core.recipe import Recipe
from l2s_auto.core.types import Case
from l2s_auto.evaluation import evaluate_folders
from l2s_auto.experiments.phantoms import write_dataset
from l2s_auto.inference.predict import predict
from l2s_auto.io.dataset import find_dataset
from l2s_auto.io.json_files import read_json, read_model
from l2s_auto.planning.choices import Choices
from l2s_auto.training.run import plan_and_train


def write_scaled(cases: Sequence[Case], images: Path, labels: Path, factor: float) -> None:
    """The cases as NIfTI with the affine times `factor`, voxels as they are; one channel."""
    for case in cases:
        for source, folder in ((case.images[0], images), (case.label, labels)):
            volume = nib.load(source)
            affine = volume.affine.copy()
            affine[:3] *= factor
            folder.mkdir(parents=True, exist_ok=True)
            nib.save(nib.Nifti1Image(np.asanyarray(volume.dataobj), affine), folder / f"{case.id}.nii.gz")


def run_one(factor: float, cases: Sequence[Case], labels: dict[int, str], given) -> dict:
    folder = given.output / f"factor_{factor:g}"
    training, extra = cases[: given.cases], cases[given.cases :]
    write_scaled(training, folder / "dataset" / "images", folder / "dataset" / "labels", factor)
    write_scaled(extra, folder / "scans", folder / "references", factor)
    recipe = Recipe(method=Component(name=given.method), iterations=given.iterations, seed=given.seed)
    run = plan_and_train(
        dataset=folder / "dataset",
        output=folder / "run",
        recipe=recipe,
        device=given.device,
        # Fixed, since what is measured in a short test run depends on the moment.
        choices=Choices(patch=tuple(given.patch), batch=given.batch, features=given.features),
        remember=False,
    )
    predict(folder / "scans", folder / "predictions", model=run, device=given.device)
    named = {value: name for value, name in labels.items() if value != 0}
    found = {
        "held_out": read_json(run / "fold_0" / "validation" / "metrics.json"),
        "extra": evaluate_folders(folder / "predictions", folder / "references", named),
    }
    plan = read_model(run / "plan.json", Plan)
    row: dict = {"spacing": plan.spacing, "tolerance_mm": found["held_out"]["tolerance_mm"]}
    for name, metrics in found.items():
        row[name] = {metric: metrics["mean"][metric] for metric in ("dice", "nsd", "nsd_1mm", "hd95_mm")}
    return row


def main() -> None:
    options = parser(__doc__.splitlines()[0])
    options.add_argument("-o", "--output", type=Path, default=Path("l2s_runs/scaled_affines"))
    options.add_argument("--dataset", type=Path, help="a dataset of one channel in NIfTI; default: phantoms")
    options.add_argument("--factors", nargs="+", type=float, default=[0.02, 0.1, 1.0, 10.0])
    options.add_argument("--method", default="learn2synth")
    options.add_argument("--iterations", type=int, default=200)
    options.add_argument("--cases", type=int, default=12, help="of the training, a fifth of them held out")
    options.add_argument("--extra", type=int, default=4, help="other scans that are segmented")
    options.add_argument("--patch", nargs=3, type=int, default=[32, 32, 32])
    options.add_argument("--batch", type=int, default=2)
    options.add_argument("--features", type=int, default=8)
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    dataset = given.dataset or write_dataset(given.output / "phantoms", cases=given.cases + given.extra, test_cases=0)
    found = find_dataset(dataset)
    cases = [case for case in found.cases if case.images and case.label][: given.cases + given.extra]
    rows = {}
    for factor in given.factors:
        rows[f"{factor:g}"] = run_one(factor, cases, found.labels, given)
        print(factor, rows[f"{factor:g}"], flush=True)
    largest = {name: float(np.ptp([row[name]["dice"] for row in rows.values()])) for name in ("held_out", "extra")}
    finish(
        {
            "machine": machine(given.device),
            "dataset": found.name,
            "iterations": given.iterations,
            "cases": given.cases,
            "extra": len(cases) - given.cases,
            "seed": given.seed,
            "rows": rows,
            "largest_difference_of_dice": largest,
        },
        given.json,
    )


if __name__ == "__main__":
    main()
