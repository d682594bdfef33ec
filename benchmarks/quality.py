"""Whether qc.csv finds the segmentations that are bad: area under the ROC curve of its score, over a cross-validation.

Each fold is trained by `l2s_plan_and_train`'s function; its held-out scans are segmented as they are and under the
five changes of appearance of `appearances.py`, and compared with their references. A label of a scan is bad where its
Dice is below 0.7, a scan where the mean over its labels is. The score of a scan is its labels' mean; what is empty has
the score 0.

    OMP_NUM_THREADS=1 python benchmarks/quality.py DATASET -o FOLDER --time-budget 300 --json results.json
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from scipy.stats import mannwhitneyu

from common import finish, machine, parser
from l2s_auto.core.component import Component
from l2s_auto.core.recipe import Recipe
from l2s_auto.evaluation import evaluate_folders
from l2s_auto.evaluation.appearance import APPEARANCES
from l2s_auto.experiments.methods.subset import write_references, write_scans
from l2s_auto.inference.predict import predict
from l2s_auto.io.dataset import find_dataset
from l2s_auto.io.json_files import read_json
from l2s_auto.training.run import plan_and_train

BAD = 0.7

#: Case, appearance, label or "" for all labels, score, Dice, whether a line is flagged.
Row = tuple[str, str, str, float, float, bool]


def area_under_curve(scores: Sequence[float], bad: Sequence[bool]) -> float | None:
    """The chance that a bad one has a lower score than a good one, ties counting half; None without both."""
    low = [score for score, is_bad in zip(scores, bad, strict=True) if is_bad]
    high = [score for score, is_bad in zip(scores, bad, strict=True) if not is_bad]
    if not low or not high:
        return None
    return round(float(mannwhitneyu(high, low).statistic) / (len(low) * len(high)), 4)


def of_fold(run: Path, fold: int, given: Any) -> list[Row]:
    """Segment and compare the fold's held-out scans under each appearance."""
    dataset = find_dataset(given.dataset)
    labels = {value: label for value, label in dataset.labels.items() if value != 0}
    held_out = set(read_json(run / "splits.json")[fold]["val"])
    cases = [case for case in dataset.cases if case.id in held_out]
    tests = given.output / f"tests_{fold}"
    write_references(cases, tests / "references")
    rows: list[Row] = []
    for change in APPEARANCES:
        if not (tests / change).exists():
            write_scans(cases, tests / change, appearance=change)
        out = run / f"tests_{fold}" / change
        predict(tests / change, out, model=run / f"fold_{fold}", device=given.device)
        found = evaluate_folders(out, tests / "references", labels)
        dice = {
            one["case"]: {name: own["dice"] or 0.0 for name, own in one["labels"].items()} for one in found["cases"]
        }
        with (out / "qc.csv").open(encoding="utf-8") as file:
            lines = list(csv.DictReader(file))
        for case, reached in dice.items():
            own = [line for line in lines if line["case"] == case]
            scores = {line["label"]: float(line["score"] or 0.0) for line in own}
            flags = {line["label"]: line["flag"] == "true" for line in own}
            rows += [(case, change, name, scores[name], value, flags[name]) for name, value in reached.items()]
            rows.append((case, change, "", fmean(scores.values()), fmean(reached.values()), any(flags.values())))
    return rows


def summary(rows: Sequence[Row]) -> dict[str, Any]:
    """Area under the curve of labels and of scans, over all appearances; and what the flags find."""
    result: dict[str, Any] = {}
    for kind, own in (("labels", [row for row in rows if row[2]]), ("scans", [row for row in rows if not row[2]])):
        bad = [row[4] < BAD for row in own]
        flagged = [row[5] for row in own]
        result[kind] = {
            "count": len(own),
            "bad": sum(bad),
            "area_under_curve": area_under_curve([row[3] for row in own], bad),
            "bad_that_are_flagged": share(flagged, bad),
            "good_that_are_flagged": share(flagged, [not one for one in bad]),
            "mean_error_of_score": round(float(np.mean([abs(row[3] - row[4]) for row in own])), 4),
        }
    return result


def share(marks: Sequence[bool], of: Sequence[bool]) -> float | None:
    """Of those in `of`, how many are marked."""
    found = [mark for mark, one in zip(marks, of, strict=True) if one]
    return round(fmean(found), 4) if found else None


def main() -> None:
    options = parser(__doc__.splitlines()[0])
    options.add_argument("dataset", type=Path)
    options.add_argument("-o", "--output", type=Path, required=True)
    options.add_argument("--methods", nargs="+", default=["learn2synth", "supervised"])
    options.add_argument("--folds", nargs="+", type=int, default=list(range(5)))
    options.add_argument("--time-budget", type=float, default=300.0, help="seconds a fold")
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    figures: dict[str, Any] = {"machine": machine(given.device), "seconds_a_fold": given.time_budget, "methods": {}}
    for method in given.methods:
        rows: list[Row] = []
        recipe = Recipe(method=Component(name=method), time_budget=given.time_budget, seed=given.seed)
        for fold in given.folds:
            run = plan_and_train(
                dataset=given.dataset,
                output=given.output / method,
                recipe=recipe,
                device=given.device,
                fold=fold,
                resume=True,
            )
            rows += of_fold(run, fold, given)
        dice = {change: fmean(r[4] for r in rows if r[1] == change and not r[2]) for change in APPEARANCES}
        figures["methods"][method] = {**summary(rows), "dice": {name: round(value, 4) for name, value in dice.items()}}
        print(method, figures["methods"][method], flush=True)
    finish(figures, given.json)


if __name__ == "__main__":
    main()
