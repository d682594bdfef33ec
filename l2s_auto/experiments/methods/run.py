"""Train each method on the same cases for the same time, and segment held-out scans as they are and changed."""

from __future__ import annotations

import json
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from l2s_auto.core.errors import UserError
from l2s_auto.core.recipe import Recipe
from l2s_auto.core.types import Case, Dataset
from l2s_auto.evaluation import evaluate_folders
from l2s_auto.evaluation.appearance import APPEARANCES
from l2s_auto.experiments.methods.report import draw, sentence, table
from l2s_auto.experiments.methods.statistics import summaries
from l2s_auto.experiments.methods.subset import write_references, write_scans, write_subset
from l2s_auto.experiments.methods.variants import USUAL, recipe_of
from l2s_auto.inference.predict import predict
from l2s_auto.io.dataset import find_dataset
from l2s_auto.io.json_files import read_json, write_json
from l2s_auto.io.splits import make_splits
from l2s_auto.networks.device import choose_device
from l2s_auto.training.run import plan_and_train

#: Seconds of training each, without --time-budget or --iterations.
SECONDS = 600.0
#: Held-out scans that are looked at, at most.
TESTS = 40


def methods(
    output: Path,
    *,
    data: Path | None = None,
    methods: Sequence[str] | None = None,
    cases: Sequence[int | None] = (None,),
    seeds: Sequence[int] = (0,),
    time_budget: float | None = None,
    iterations: int | None = None,
    tests: int = TESTS,
    device: str = "cpu",
    part: tuple[int, int] = (1, 1),
) -> Path:
    """Write methods.json and methods.png below `output`, print the table; returns the picture.

    data         labelled dataset; None: phantoms
    methods      names of variants (`variants.recipe_of`); the others are tested against the first
    cases        numbers of scans to learn from, each of those drawn by the seed; None: all that are not held out
    time_budget  seconds of training each; iterations: updates each, instead
    tests        held-out scans, at most: of the first of five folds
    part         (i, n): of n jobs that share the trainings, this is the i-th

    What `output` holds of the same settings is not trained again; a training that was interrupted goes on.
    Nothing of the held-out scans is seen: plan and statistics of the intensities are those of the scans to learn from.
    Raises UserError.
    """
    if time_budget is not None and iterations is not None:
        raise UserError.single(
            "Methods are compared in equal time or with equal iterations.",
            where="--time-budget and --iterations",
            found="both",
            expected="one of them",
            mend="Leave one out.",
        )
    length: dict[str, Any] = {"iterations": iterations} if iterations else {"time_budget": time_budget or SECONDS}
    names = list(dict.fromkeys(methods or USUAL))
    recipes = {name: recipe_of(name, **length) for name in names}
    where = str(choose_device(device))
    make_folder(output)
    dataset = find_dataset(data if data is not None else phantoms(output))
    learn, held_out = divided(dataset, tests)
    same_dataset(dataset, output / "dataset.json")
    counts = list(dict.fromkeys(count if count is not None else len(learn) for count in cases))
    too_many = [count for count in counts if count > len(learn)]
    if too_many:
        raise UserError.single(
            "There are too few cases.",
            where="--cases",
            found=", ".join(map(str, too_many)),
            expected=f"at most {len(learn)}, which is what the first of five folds leaves",
            mend="Ask for fewer.",
        )
    work = [(seed, count, name) for seed in seeds for count in counts for name in names]
    rows = []
    for number, (seed, count, name) in enumerate(work):
        folder = output / name.replace(":", " ") / f"{count} cases, {told(length)}, seed {seed}"
        row = known(folder / "row.json", held_out)
        if row is None and number % part[1] == part[0] - 1:
            chosen = drawn(learn, count, seed)
            recipe = recipes[name].model_copy(update={"seed": seed})
            row = run_one(dataset, chosen, held_out, recipe, folder, tests=scans_of(output, held_out), device=where)
            row = {"variant": name, "cases": count, "seed": seed, **length, **row}
            write_json(folder / "row.json", row)
        if row is not None:
            rows.append(row)
    result = {"dataset": dataset.name, "tests": [case.id for case in held_out], "device": where, **length}
    if not rows:
        raise UserError("None of the trainings is this job's, and no other job has ended one.")
    found = summaries(rows)
    print(table(found))
    print(sentence(found))
    write_json(output / "methods.json", {**result, "summary": found, "sentence": sentence(found), "rows": rows})
    return draw(found, output / "methods.png", title=f"{dataset.name}, {told(length)}")


def make_folder(output: Path) -> None:
    """UserError where results cannot be written."""
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError.single(
            "The experiment's folder cannot be made.",
            where=f"-o {output}",
            found=str(error),
            expected="a folder that can be written, or nothing",
            mend="Choose another folder with -o.",
        ) from error


def same_dataset(dataset: Dataset, note: Path) -> None:
    """Note which cases the folder is about. UserError if it is about others."""
    own = {"dataset": dataset.name, "cases": [case.id for case in dataset.cases]}
    if note.exists() and read_json(note) != own:
        raise UserError.single(
            "The folder holds an experiment on other data.",
            where=str(note.parent),
            found=str(read_json(note).get("dataset")),
            expected=f"{dataset.name}, with the same cases",
            mend="Choose another folder with -o.",
        )
    write_json(note, own)


def known(path: Path, held_out: Sequence[Case]) -> dict[str, Any] | None:
    """What a former call found on the same test scans."""
    row = read_json(path) if path.exists() else None
    return row if isinstance(row, dict) and set(row.get("scans", ())) == {case.id for case in held_out} else None


def scans_of(output: Path, held_out: Sequence[Case]) -> Path:
    """Where the test scans stand, in each appearance, beside their references; other scans stand elsewhere."""
    digest = zlib.crc32(" ".join(case.id for case in held_out).encode())
    place = output / "tests" / f"{len(held_out)} scans {digest:08x}"
    if not place.exists():
        with tempfile.TemporaryDirectory(dir=output, prefix=".tests-") as temporary:
            made = Path(temporary) / "made"
            write_references(held_out, made / "references")
            for name in APPEARANCES:
                write_scans(held_out, made / name, appearance=name)
            place.parent.mkdir(exist_ok=True)
            if not place.exists():  # another job may have been faster
                made.rename(place)
    return place


def phantoms(output: Path) -> Path:
    """The demo's dataset, made on the spot."""
    from l2s_auto.experiments.phantoms import write_dataset

    place = output / "phantoms"
    return place if (place / "dataset.json").exists() else write_dataset(place, seed=0)


def told(length: dict[str, Any]) -> str:
    if "iterations" in length:
        return f"{length['iterations']} iterations"
    return f"{length['time_budget']:g} s"


def divided(dataset: Dataset, tests: int) -> tuple[list[Case], list[Case]]:
    """Cases to learn from, and held-out ones, at most `tests`, evenly spread: of the first fold."""
    split = make_splits(dataset.cases)[0]
    held_out = [case for case in dataset.cases if case.id in set(split["val"]) and case.images and case.label]
    learn = [case for case in dataset.cases if case.id in set(split["train"])]
    if len(held_out) > tests:
        held_out = [held_out[i] for i in np.linspace(0, len(held_out) - 1, tests).round().astype(int)]
    if not held_out:
        raise UserError.single(
            "No held-out scans are there to test on.",
            where=str(dataset.folder),
            found="label maps without images in the first fold",
            expected="an image and a label map for some cases",
            mend="Add images.",
        )
    return learn, held_out


def drawn(cases: Sequence[Case], count: int, seed: int) -> list[Case]:
    """So many of the cases; those of a larger number include those of a smaller one."""
    order = np.random.default_rng(zlib.crc32(f"cases {seed}".encode())).permutation(len(cases))
    return sorted((cases[i] for i in order[:count]), key=lambda case: case.id)


def run_one(
    dataset: Dataset,
    learn: Sequence[Case],
    held_out: Sequence[Case],
    recipe: Recipe,
    folder: Path,
    *,
    tests: Path,
    device: str,
) -> dict[str, Any]:
    """Train, segment and compare -> Dice of each appearance, of each scan, iterations, seconds and theta."""
    own = write_subset(dataset, learn, folder / "dataset")
    run = plan_and_train(dataset=own, output=folder / "run", recipe=recipe, device=device, fold="all", resume=True)
    labels = {value: name for value, name in dataset.labels.items() if value != 0}
    scans: dict[str, dict[str, float]] = {case.id: {} for case in held_out}
    dice = {}
    for name in APPEARANCES:
        found = folder / "segmented" / f"{tests.name}, {name}"
        predict(tests / name, found, model=run, device=device, workers=0)
        metrics = evaluate_folders(found, tests / "references", labels, regions=dataset.regions, ignore=dataset.ignore)
        dice[name] = metrics["mean"]["dice"]
        for case in metrics["cases"]:
            values = [m["dice"] for m in case["labels"].values() if m["dice"] is not None]
            scans[case["case"]][name] = float(np.mean(values)) if values else 0.0
    line = last_line(run / "fold_all" / "history.jsonl")
    return {"dice": dice, "scans": scans, **{key: line.get(key) for key in ("iterations", "seconds", "theta")}}


def last_line(history: Path) -> dict[str, Any]:
    """Iterations, seconds and theta at the end of a training."""
    line = json.loads(history.read_text(encoding="utf-8").splitlines()[-1])
    return {"iterations": line["iteration"], "seconds": line["seconds"], "theta": line["theta"]}
