"""Learn from one sequence, segment others: MPRAGE to FLASH, of simulated scans."""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from l2s_auto.core.errors import Offence, UserError
from l2s_auto.core.folding import say
from l2s_auto.core.types import Case
from l2s_auto.experiments.contrast.data import load_heads, names_in, person_of, write_data
from l2s_auto.experiments.contrast.physics import FIELDS, SEQUENCES
from l2s_auto.experiments.contrast.report import draw
from l2s_auto.experiments.contrast.samseg import NAME, require_samseg, segment_folder
from l2s_auto.experiments.folder import make_folder
from l2s_auto.experiments.methods.bench import REFERENCES, Bench
from l2s_auto.experiments.methods.plans import PLANS, settle_choices
from l2s_auto.experiments.methods.report import markdown, table
from l2s_auto.experiments.methods.run import require_cases
from l2s_auto.experiments.methods.scoring import scored
from l2s_auto.experiments.methods.statistics import summaries
from l2s_auto.experiments.methods.trainings import (
    length_of,
    missing,
    require_done,
    run_all,
    same_data,
    some_of,
    told,
)
from l2s_auto.experiments.methods.variants import USUAL, recipe_of
from l2s_auto.io.atomic import atomic_path
from l2s_auto.io.dataset import find_dataset
from l2s_auto.io.json_files import write_json
from l2s_auto.networks.device import choose_device, free_memory_gb
from l2s_auto.planning.choices import Choices

#: Memory that simulating a person takes.
PERSON_GB = 2.0
#: Persons whose scans are learned from, as in the paper.
CASES = (29, 5)


def contrast(
    output: Path,
    *,
    data: Path | None = None,
    methods: Sequence[str] | None = None,
    cases: Sequence[int | None] = CASES,
    seeds: Sequence[int] = (0,),
    time_budget: float | None = None,
    iterations: int | None = None,
    dimensions: int = 2,
    field: float = FIELDS[0],
    device: str = "cpu",
    part: tuple[int, int] = (1, 1),
    choices: Choices | None = None,
    overwrite: bool = False,
) -> Path:
    """Write contrast.json, contrast.md and contrast.png below `output`, print the table; returns the picture.

    data        folder of whole-head label maps with FreeSurfer's and SynthSeg's numbers; None: phantoms
    cases       persons whose simulated MPRAGE is learned from, each number of those drawn by the seed; None: 29
    dimensions  2: six axial slices of a person, in voxels of 3 mm, 3: whole heads, of 2 mm
    field       1.5 or 3 T
    methods     as in the experiment `methods`, and samseg, which learns from no scan
    seeds, time_budget, iterations, part, choices, overwrite  as there

    A third of the heads is tested on, in MPRAGE and FLASH of four flip angles; no person has one of these.
    Raises UserError.
    """
    length = length_of(time_budget, iterations)
    variants = list(dict.fromkeys(methods or USUAL))
    recipes = {name: recipe_of(name, **length) for name in variants if name != NAME}
    if not recipes and choices is not None:
        raise UserError.single(
            "SAMSEG alone has no plan.",
            where="--spacing, --patch, --batch or --features",
            found=f"--methods {NAME}",
            expected="a method that is trained",
            mend="Leave them out, or name another method too.",
        )
    program = require_samseg(dimensions) if NAME in variants else ""
    where = str(choose_device(device))
    if field not in FIELDS:
        raise UserError.single(
            "Tissues are known at two field strengths.",
            where="--field",
            found=f"{field:g}",
            expected=" or ".join(f"{known:g}" for known in FIELDS),
            mend="Choose one of them.",
        )
    counts = list(dict.fromkeys(count if count is not None else CASES[0] for count in cases))
    make_folder(output, picture="contrast.png", data=data, overwrite=overwrite)
    settled = settle_choices(output / PLANS, choices or Choices())
    heads = load_heads(data, field=field)
    name = f"{dimensions}D, {field:g} T, {max(*CASES, *counts)} persons"
    digest = zlib.crc32(b"".join(np.ascontiguousarray(labels).tobytes() for labels, _ in heads.heads))
    same_data({"dataset": f"{name}, label maps {digest:08x}"}, output / "dataset.json")
    place = write_data(
        heads, output / "data", persons=max(*CASES, *counts), dimensions=dimensions, workers=simulators()
    )
    dataset = find_dataset(place)
    persons = list(dict.fromkeys(person_of(case.id) for case in dataset.cases))
    require_cases(counts, len(persons), "the persons there are")
    bench = Bench(
        dataset=dataset,
        draw=partial(drawn, dataset.cases, persons),
        tests=lambda: place / "tests",
        names=tuple(SEQUENCES),
        scans={name: person_of(name) for name in names_in(place / "tests" / REFERENCES)},
        choices=settled,
    )
    rows: list[dict[str, Any]] = []
    left = 0
    failed: list[Offence] = []
    if recipes:
        rows, left, failed = run_all(
            bench, recipes, output, counts=counts, seeds=seeds, length=length, device=where, part=part
        )
    if program and part[0] == 1:  # its scans are not shared out
        numbers = {target: number for number, target in enumerate(heads.targets, start=1)}
        for sequence in SEQUENCES:
            failed += segment_folder(program, place / "tests" / sequence, output / NAME / sequence, numbers)
    if program and all(names_in(output / NAME / sequence) == sorted(bench.scans) for sequence in SEQUENCES):
        reached = scored(bench, lambda sequence: output / NAME / sequence)
        own = {"variant": NAME, "seed": 0, "iterations": 0, "seconds": 0.0, **reached}
        rows += [{**own, "cases": count} for count in counts]
    elif program:
        left += 1
    if not rows:
        require_done(failed)
        raise UserError("SAMSEG is the first job's, which has not ended it.")
    found = summaries(rows, bench.names, bench.scans, first=variants[0])
    print(f"Simulated scans, {dimensions}D, {field:g} T: persons are learned from in MPRAGE")
    print(table(found, bench.names))
    if left:
        say(missing(left))
    result = {
        "data": "simulated from " + ("phantoms" if data is None else f"label maps of {data.resolve().name}"),
        "dimensions": dimensions,
        "field": field,
        "labels": list(heads.targets),
        "tests": list(bench.scans),
        "missing": left,
        "device": where,
        **length,
    }
    write_json(output / "contrast.json", {**result, "summary": found, "rows": rows})
    with atomic_path(output / "contrast.md") as path:
        path.write_text(markdown(found, bench.names), encoding="utf-8")
    title = f"Simulated MRI, {dimensions}D, {field:g} T, {told(length)}"
    picture = draw(found, bench.names, output / "contrast.png", title=title)
    require_done(failed)
    return picture


def simulators() -> int:
    """Processes that simulate persons: as many as there are cores, and memory for."""
    free = free_memory_gb(torch.device("cpu"))
    return max(1, min(os.cpu_count() or 1, int((free or PERSON_GB) / PERSON_GB)))


def drawn(cases: Sequence[Case], persons: Sequence[str], count: int, seed: int) -> list[Case]:
    """The scans of so many persons."""
    chosen = set(some_of(persons, count, seed))
    return [case for case in cases if person_of(case.id) in chosen]
