"""Train each method on the same cases for the same time, and segment held-out scans as they are and changed.

Changes of intensity make the column "changed", and the recommendation; structural changes are reported apart.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import zlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from l2s_auto.core.errors import UserError
from l2s_auto.core.folding import say
from l2s_auto.core.types import Case, Dataset
from l2s_auto.evaluation.appearance import APPEARANCES, STRUCTURAL
from l2s_auto.evaluation.recommendation import recommended
from l2s_auto.experiments.folder import make_folder
from l2s_auto.experiments.methods.bench import REFERENCES, Bench
from l2s_auto.experiments.methods.plans import PLANS, settle_choices
from l2s_auto.experiments.methods.report import draw, markdown, scores_of, sentence, table
from l2s_auto.experiments.methods.statistics import summaries
from l2s_auto.experiments.methods.subset import files_of, write_references, write_scans
from l2s_auto.experiments.methods.trainings import (
    length_of,
    missing,
    require_done,
    run_all,
    same_data,
    some_of,
    told,
)
from l2s_auto.experiments.methods.variants import USUAL, command_of, recipe_of
from l2s_auto.io.atomic import atomic_path, unfinished
from l2s_auto.io.content import hash_of
from l2s_auto.io.dataset import find_dataset, verify_dataset
from l2s_auto.io.json_files import write_json
from l2s_auto.io.ownership import replace
from l2s_auto.io.splits import make_splits
from l2s_auto.io.volumes import read_label_map
from l2s_auto.networks.device import choose_device
from l2s_auto.planning.choices import Choices
from l2s_auto.training.show import progress_to
from l2s_auto.training.validate import evenly

#: Held-out scans that are looked at, at most.
TESTS = 40
#: Which data the folder is about.
NOTE = "dataset.json"


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
    choices: Choices | None = None,
    overwrite: bool = False,
) -> Path:
    """Write methods.json, methods.md and methods.png below `output`, print the table; returns the picture.

    data         labelled dataset; None: phantoms
    methods      names of variants (`variants.recipe_of`); the others are tested against the first
    cases        numbers of scans to learn from, each of those drawn by the seed; None: all that are not held out
    time_budget  seconds of training each; iterations: updates each, instead
    tests        held-out scans, at most: of the first of five folds
    part         (i, n): of n jobs that share the trainings, this is the i-th
    choices      what the user decides of the plans, which all methods share
    overwrite    whether files in `output` may be replaced that no experiment wrote

    What `output` holds of the same settings is not trained again; a training that was interrupted goes on.
    Nothing of the held-out scans is seen: plan and statistics of the intensities are those of the scans to learn from.
    Raises UserError.
    """
    length = length_of(time_budget, iterations)
    recipes = {name: recipe_of(name, **length) for name in dict.fromkeys(methods or USUAL)}
    where = str(choose_device(device))
    make_folder(output, picture="methods.png", data=data, overwrite=overwrite)
    settled = settle_choices(output / PLANS, choices or Choices())
    dataset = find_dataset(data if data is not None else phantoms(output))
    learn, held_out = divided(dataset, tests)
    if not (output / NOTE).exists():
        verify_dataset(dataset, progress=progress_to("Checking"))  # of scans to test on too, before anything is trained
    same_data({"dataset": dataset.name, "content": content_of(dataset)}, output / NOTE)
    bench = Bench(
        dataset=dataset,
        draw=partial(some_of, learn, first=partial(teaches, ignore=dataset.ignore)),
        tests=partial(scans_of, output, held_out, ignore=dataset.ignore),
        names=APPEARANCES,
        structural=tuple(STRUCTURAL),
        scans={case.id: case.group for case in held_out},
        choices=settled,
    )
    counts = list(dict.fromkeys(count if count is not None else len(learn) for count in cases))
    require_cases(counts, len(learn), "which is what the first of five folds leaves")
    rows, left, failed = run_all(
        bench, recipes, output, counts=counts, seeds=seeds, length=length, device=where, part=part
    )
    found = summaries(rows, bench.names, bench.scans, first=next(iter(recipes)), structural=bench.structural)
    said = missing(left) or sentence(found, bench.names, subjects=len(set(bench.scans.values())))
    print(table(found, bench.names, bench.structural))
    say(said)
    if data is not None and not left:
        command = command_of(recommended(scores_of(found, bench.names)), data, settled)
        if command:
            say(f"To train it for your scans:\n  {command}")
    result = {"dataset": dataset.name, "tests": list(bench.scans), "device": where, **length}
    write_json(output / "methods.json", {**result, "missing": left, "summary": found, "sentence": said, "rows": rows})
    with atomic_path(output / "methods.md") as path:
        path.write_text(markdown(found, bench.names, bench.structural), encoding="utf-8")
    picture = draw(found, bench.names, output / "methods.png", title=f"{dataset.name}, {told(length)}")
    require_done(failed)
    return picture


def content_of(dataset: Dataset) -> str:
    """What the files, and what is said of them, are known by."""
    files = [(path.name, hash_of(path)) for path in files_of(dataset.cases)]
    declared = [sorted(dataset.labels.items()), sorted(dataset.regions.items()), dataset.ignore, dataset.channels]
    people = [(case.id, case.group) for case in dataset.cases]
    return hashlib.sha256(json.dumps([files, declared, people]).encode()).hexdigest()[:16]


def teaches(case: Case, *, ignore: int | None) -> bool:
    """Whether a case has an image, and something to be found in it."""
    if not case.images or case.label is None:
        return False
    values = np.unique(read_label_map(case.label)[0])
    return bool(np.any((values != 0) & (values != (0 if ignore is None else ignore))))


def require_cases(counts: Sequence[int], there: int, why: str) -> None:
    """UserError if more cases are asked for than there are."""
    too_many = [count for count in counts if count > there]
    if too_many:
        raise UserError.single(
            "There are too few cases.",
            where="--cases",
            found=", ".join(map(str, too_many)),
            expected=f"at most {there}, {why}",
            mend="Ask for fewer.",
        )


def scans_of(output: Path, held_out: Sequence[Case], *, ignore: int | None = None) -> Path:
    """Where the test scans stand, in each appearance, beside their references; other scans stand elsewhere.

    What is missing is written: a folder of a former version has no structural changes.
    """
    digest = zlib.crc32(" ".join(case.id for case in held_out).encode())
    place = output / "tests" / f"{len(held_out)} scans {digest:08x}"
    for name in (REFERENCES, *APPEARANCES, *STRUCTURAL):
        if (place / name).exists():
            continue
        with tempfile.TemporaryDirectory(dir=output, prefix=unfinished("tests-")) as temporary:
            made = Path(temporary) / "made"
            if name == REFERENCES:
                write_references(held_out, made)
            else:
                write_scans(held_out, made, appearance=name, ignore=ignore)
            place.mkdir(parents=True, exist_ok=True)
            if not (place / name).exists():  # another job may have been faster
                replace(made, place / name)
    return place


def phantoms(output: Path) -> Path:
    """The demo's dataset, made on the spot."""
    from l2s_auto.experiments.phantoms import write_dataset

    place = output / "phantoms"
    if not place.exists():
        with tempfile.TemporaryDirectory(dir=output, prefix=unfinished("phantoms-")) as temporary:
            made = write_dataset(Path(temporary) / place.name, seed=0)
            if not place.exists():  # another job may have been faster
                replace(made, place)
    return place


def divided(dataset: Dataset, tests: int) -> tuple[list[Case], list[Case]]:
    """Cases to learn from, and held-out ones, at most `tests`, evenly spread: of the first fold."""
    split = make_splits(dataset.cases)[0]
    held_out = [case for case in dataset.cases if case.id in set(split["val"]) and case.images and case.label]
    learn = [case for case in dataset.cases if case.id in set(split["train"])]
    held_out = evenly(held_out, tests)
    if not held_out:
        raise UserError.single(
            "No held-out scans are there to test on.",
            where=str(dataset.folder),
            found="label maps without images in the first fold",
            expected="an image and a label map for some cases",
            mend="Add images.",
        )
    return learn, held_out
