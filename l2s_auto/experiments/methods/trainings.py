"""Trainings of several methods on the same cases, each tested on the same scans: what the comparisons share."""

from __future__ import annotations

import itertools
import json
import logging
import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from l2s_auto.core.component import Component
from l2s_auto.core.dial import Aim
from l2s_auto.core.errors import Offence, UserError, disk_is_full
from l2s_auto.core.recipe import Recipe
from l2s_auto.core.types import Case
from l2s_auto.experiments.methods.bench import Bench
from l2s_auto.experiments.methods.plans import PLANS, make_room, share_plan, told_plan
from l2s_auto.experiments.methods.scoring import AGAIN, known, lacks_structural, last_line, tested, with_structural
from l2s_auto.experiments.methods.subset import write_subset
from l2s_auto.experiments.methods.variants import variant_and_aim
from l2s_auto.io.json_files import read_json, write_json
from l2s_auto.io.lock import Busy, only_one
from l2s_auto.training.run import plan_and_train

LOGGER = logging.getLogger("l2s_auto")
Item = TypeVar("Item")
#: Seconds of training each, without --time-budget or --iterations.
SECONDS = 600.0


def length_of(time_budget: float | None, iterations: int | None) -> dict[str, Any]:
    """How long each training is, as a recipe has it. UserError for both."""
    if time_budget is not None and iterations is not None:
        raise UserError.single(
            "Methods are compared in equal time or with equal iterations.",
            where="--time-budget and --iterations",
            found="both",
            expected="one of them",
            mend="Leave one out.",
        )
    return {"iterations": iterations} if iterations else {"time_budget": time_budget or SECONDS}


def told(length: Mapping[str, Any]) -> str:
    """The length in words."""
    return f"{length['iterations']} iterations" if "iterations" in length else f"{length['time_budget']:g} s"


def some_of(
    items: Sequence[Item], count: int, seed: int, *, first: Callable[[Item], bool] = lambda item: True
) -> list[Item]:
    """So many of the items, in their order; those of a larger number include those of a smaller one.

    first  what one of them at least is, if any is
    """
    order = list(np.random.default_rng(zlib.crc32(f"cases {seed}".encode())).permutation(len(items)))
    if count < len(items):
        at = next((place for place, i in enumerate(order) if first(items[i])), 0)
        order.insert(0, order.pop(at))
    return [items[i] for i in sorted(order[:count])]


def same_data(own: Mapping[str, Any], note: Path) -> None:
    """Note which data the folder is about. UserError if it is about others."""
    noted = read_json(note) if note.exists() else dict(own)
    if noted != dict(own):
        raise UserError.single(
            "The folder holds an experiment on other data, or on data that were changed since.",
            where=str(note.parent),
            found=" ".join(str(value) for value in noted.values()) if isinstance(noted, dict) else repr(noted),
            expected=" ".join(str(value) for value in own.values()),
            mend="Choose another folder with -o.",
        )
    write_json(note, dict(own))


def run_all(
    bench: Bench,
    recipes: Mapping[str, Recipe],
    output: Path,
    *,
    counts: Sequence[int],
    seeds: Sequence[int],
    length: Mapping[str, Any],
    device: str,
    part: tuple[int, int],
) -> tuple[list[dict[str, Any]], int, list[Offence]]:
    """Rows of the trainings that are done, in the order of the recipes, and of those of former calls that were as long
    and have the same test scans; how many of those asked for are not done; and which of this job failed.

    A training for each recipe, number of cases and seed, by one plan for all recipes. What `output` holds is not
    trained again; one that was interrupted goes on, and one that fails does not keep the others from being done. Jobs
    take turns with the recipes, so that none is always trained by the same. UserError without any row.
    """
    names = list(recipes)
    work = [Work(output, length, *one) for one in itertools.product(dict.fromkeys(seeds), counts, names)]
    failed: list[Offence] = []
    for number, one in enumerate(work):
        if job_of(number, len(names), part[1]) != part[0]:
            continue
        try:
            one.make_row(bench, recipes[one.name], device=device)
        except Busy:
            LOGGER.warning("%s: another job is at it", one)
        except Exception as error:
            if disk_is_full(error):
                raise
            mendable = isinstance(error, UserError)
            why = str(error) if mendable else f"{type(error).__name__}: {error}"
            failed.append(Offence(str(one.folder), " ".join(why.split()), "a model", AGAIN))
            LOGGER.warning("Warning: %s failed: %s", one, why, exc_info=None if mendable else error)
    asked = [one.row for one in work]
    done = [row for path in asked if (row := known(path, bench)) is not None]
    if not done:
        require_done(failed)
        raise UserError("None of the trainings is this job's, and no other job has ended one.")
    others = sorted(set(output.glob(f"*/* cases, {told(length)}, seed */row.json")) - set(asked))
    rows = done + [row for path in others if (row := known(path, bench)) is not None]
    for warning in unlike_plans(rows):
        LOGGER.warning("Warning: %s", warning)
    return rows, len(asked) - len(done), failed


@dataclass(frozen=True)
class Work:
    """A row to be made: of so many cases, drawn by the seed, and the variant of that name."""

    output: Path
    length: Mapping[str, Any]
    seed: int
    count: int
    name: str

    def __str__(self) -> str:
        return f"{self.name}, {self.count} cases, seed {self.seed}"

    def _folder(self, name: str) -> Path:
        return self.output / name.replace(":", " ") / f"{self.count} cases, {told(self.length)}, seed {self.seed}"

    @property
    def folder(self) -> Path:
        return self._folder(self.name)

    @property
    def row(self) -> Path:
        return self.folder / "row.json"

    @property
    def trained(self) -> Path:
        """Folder of the training: for an aim, that of the variant itself. A choice for each scan needs one that holds
        cases out.
        """
        variant, aim = variant_and_aim(self.name)
        return self._folder(self.name if aim == "each" else variant)

    def make_row(self, bench: Bench, recipe: Recipe, *, device: str) -> None:
        """Train, test and write the row, as far as that is not done. Raises Busy where another job is at it."""
        row, aim = known(self.row, bench), variant_and_aim(self.name)[1]
        aim = None if aim == "each" else aim  # what its own training is for, as far as that can be had
        if row is not None and not lacks_structural(row, self.trained, bench):
            return
        with ExitStack() as held:
            for place in sorted({self.folder, self.trained}):
                place.mkdir(parents=True, exist_ok=True)
                held.enter_context(only_one(place))
            if row is None:
                row = self._new_row(bench, recipe.model_copy(update={"seed": self.seed}), aim, device=device)
            else:
                row = with_structural(row, bench, self.folder, run=self.trained / "run", aim=aim, device=device)
            write_json(self.row, row)

    def _new_row(self, bench: Bench, recipe: Recipe, aim: Aim | None, *, device: str) -> dict[str, Any]:
        plan = self.output / PLANS / f"{self.count} cases, seed {self.seed}"
        learn = bench.draw(self.count, self.seed)
        found = run_one(bench, learn, recipe, self.folder, trained=self.trained, aim=aim, plan=plan, device=device)
        return {"variant": self.name, "cases": self.count, "seed": self.seed, **self.length, **found}


def unlike_plans(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What to say of rows that learned from the same scans by different plans."""
    groups: dict[tuple[int, int], dict[str, list[str]]] = {}
    for row in rows:
        if plan := row.get("plan"):
            beside = groups.setdefault((row["cases"], row["seed"]), {})
            beside.setdefault(json.dumps(plan, sort_keys=True), []).append(row["variant"])
    return [
        f"{' and '.join(', '.join(names) for names in plans.values())} learned by different plans from {cases} cases, "
        f"seed {seed}: do not compare them. The plan was edited in between; begin anew with another folder (-o)."
        for (cases, seed), plans in groups.items()
        if len(plans) > 1
    ]


def job_of(number: int, recipes: int, jobs: int) -> int:
    """Which of so many jobs, from 1 on, has the training of this number, in rounds of the recipes.

    One after the other; where a recipe would stay with few of the jobs, each round begins one further.
    """
    shift = number // recipes if math.gcd(recipes, jobs) > 1 else 0
    return (number + shift) % jobs + 1


def require_done(failed: Sequence[Offence]) -> None:
    """UserError that names the trainings, or SAMSEG's scans, that failed."""
    if failed:
        raise UserError("Not all could be done; what is done is kept.", failed)


def missing(count: int) -> str:
    """What to say of trainings that failed, or that other jobs have not ended; nothing where there are none."""
    if not count:
        return ""
    lacking = "1 training is" if count == 1 else f"{count} trainings are"
    return f"{lacking} not done: the table is not whole. Run the command again once other jobs have ended."


def run_one(
    bench: Bench,
    learn: Sequence[Case],
    recipe: Recipe,
    folder: Path,
    *,
    trained: Path,
    aim: Aim | None,
    plan: Path,
    device: str,
) -> dict[str, Any]:
    """Train, segment and compare -> Dice of each kind of scans, of each scan, iterations, seconds, theta and the plan.

    trained  folder of the training, which may be done
    aim      what the model is chosen for; None: what it is by itself
    plan     where the plan of these scans is kept
    """
    make_room()
    bench.tests()
    fold = "0" if recipe.aim == "each" else "all"
    history = trained / "run" / f"fold_{fold}" / "history.jsonl"
    if not (trained / "row.json").exists() or not history.exists():
        run_training(bench, learn, recipe, trained, plan=plan, device=device, fold=fold)
    names = (*bench.names, *bench.structural)
    found = tested(bench, names, folder, run=trained / "run", aim=aim, device=device)
    return {**found, **last_line(history), "plan": told_plan(trained / "run")}


def run_training(
    bench: Bench, learn: Sequence[Case], recipe: Recipe, folder: Path, *, plan: Path, device: str, fold: str
) -> None:
    """Train in that folder, on all scans to learn from, or without one fold of them."""
    if fold == "all":
        recipe = recipe.model_copy(update={"aim": Recipe().aim})  # any may be asked for afterwards
    own = write_subset(bench.dataset, learn, folder / "dataset")
    learned = recipe.model_copy(update={"method": Component(name="learn2synth")})  # it needs most memory
    demanding = learned if any(case.images for case in learn) else recipe
    share_plan(own, plan, folder / "run", recipe=demanding, device=device, choices=bench.choices)
    plan_and_train(
        dataset=own, output=folder / "run", recipe=recipe, device=device, fold=fold, resume=True, remember=False
    )
