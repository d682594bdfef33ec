"""From a dataset to a trained, validated model: fingerprint, plan, preprocess, train, validate, report."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from l2s_auto.core.errors import UserError
from l2s_auto.core.plan import Triple
from l2s_auto.core.recipe import Recipe
from l2s_auto.core.trust import trusting
from l2s_auto.core.types import Dataset
from l2s_auto.inference.cascade import context_in
from l2s_auto.inference.load import load_first, load_model, remember_model
from l2s_auto.io.dataset import find_dataset
from l2s_auto.io.lock import only_one
from l2s_auto.io.ownership import protected
from l2s_auto.io.splits import make_splits, read_splits
from l2s_auto.networks.device import AUTO, choose_device
from l2s_auto.planning.choices import Choices
from l2s_auto.planning.patch import times
from l2s_auto.preprocessing.store import require_own
from l2s_auto.report.commands import Again
from l2s_auto.report.html import write_report
from l2s_auto.training.build import build_parts
from l2s_auto.training.checks import build_method, check_recipe
from l2s_auto.training.fold import Context, divide, train_fold
from l2s_auto.training.methods import Method
from l2s_auto.training.options import Options
from l2s_auto.training.outcome import last_words, tell_length
from l2s_auto.training.plans import Planning
from l2s_auto.training.prepare import Prepared, Splits, prepare, require_channels, require_ends, require_images
from l2s_auto.training.preview import write_preview
from l2s_auto.training.run_folder import RunFolder, be_quiet
from l2s_auto.training.team import team_from_environment

LOGGER = logging.getLogger("l2s_auto")
#: Below this many bytes of images, worker processes cost more than they save.
WORTH_WORKERS = 500_000_000
#: Of a time budget, for the first network of a cascade.
FIRST_SHARE = 1 / 3


def plan_and_train(
    *,
    dataset: Path,
    output: Path | None = None,
    recipe: Recipe | None = None,
    device: str = AUTO,
    fold: str | int = 0,
    cv: bool = False,
    splits: Path | None = None,
    memory_gb: float | None = None,
    choices: Choices | None = None,
    workers: int | None = None,
    resume: bool = False,
    init: Path | None = None,
    dry_run: bool = False,
    remember: bool = True,
    trust_code: Iterable[str] = (),
    overwrite: bool = False,
) -> Path:
    """Everything from a labelled dataset to a model and its report -> the run folder.

    fold     the fold of the splits that is held out, or "all" for none; ignored with cv, which trains every fold
    choices  what the user decides instead of the planner
    remember  whether prediction without a named model is to take this one from now on
    trust_code  import paths MODULE:CLASS of the user's own parts: without it, recipes name registered parts only
    overwrite  train these folds again from the start, also in a folder that holds files that no training wrote
    Several processes may train a fold each in one run folder.
    Raises UserError for everything that the user can mend, before anything that takes long.
    """
    recipe = recipe or Recipe()
    if resume and overwrite:
        raise UserError.single(
            "Two options contradict each other.",
            where="--resume and --overwrite",
            found="both",
            expected="at most one of them",
            mend="Go on with what is trained (--resume), or replace it (--overwrite).",
        )
    team, device = team_from_environment(device)
    held = ExitStack()  # the folds' locks

    def prepare_all() -> Prepared:
        check_recipe(recipe)
        method = build_method(recipe)
        chosen = choose_device(device)
        found = find_dataset(dataset, workers=0)
        require_images(found, method, recipe)
        require_ends(found, method, recipe)
        require_channels(found, recipe)
        run = RunFolder(Path(output) if output else Path("l2s_runs") / found.name)
        parts_of = split_dataset(found, splits, needed=cv or str(fold) not in ("all", "fold_all"))
        folds = choose_folds(fold, cv, len(parts_of))
        run.check(recipe, folds, parts_of, dataset=found.folder, resume=resume, overwrite=overwrite)
        for store in (run.preprocessed, run.low_resolution.preprocessed):
            require_own(found, store)
        if init is not None:
            load_model(init, "cpu")  # whether it is one
        options = Options(chosen, choose_workers(workers, found), team=team)
        planning = Planning(recipe, method, options, memory_gb, choices or Choices())
        held.enter_context(protected(file for case in found.cases for file in (*case.images, case.label) if file))
        foreign = not run.is_ours()  # and to be overwritten, or it would have been refused
        run.make()
        for name in folds:
            held.enter_context(only_one(run.path, run.fold(name).name))
        with only_one(run.path, wait=True):
            if overwrite:
                run.clear(folds, foreign=foreign)
            return prepare(found, run, planning, parts_of, folds)

    with held, trusting(trust_code):
        prepared = team.from_leader(prepare_all)
        method = build_method(recipe)
        options = Options(choose_device(device), 0, resume, init, team, appearances=cv)
        run = prepared.run
        if not team.leader:
            be_quiet()
        again = Again(
            dataset=dataset,
            splits=splits,
            device=device if device != AUTO else None,
            memory_gb=memory_gb,
            workers=workers,
            choices=choices or Choices(),
        )
        if dry_run:
            return finish_dry_run(prepared, recipe, method, options, again) if team.leader else run.path
        tell_length(recipe, prepared.plan, folds=len(prepared.folds), cascade=prepared.first is not None)
        for name in prepared.folds:
            context = None
            if prepared.first is not None:
                context = train_first(name, prepared.first, recipe, method, options, spacing=prepared.plan.spacing)
            train_fold(name, prepared, after_first(recipe) if context else recipe, method, options, context=context)
            if team.leader:
                if remember:
                    remember_model(run.path)
                write_report(run.path, again=again)
        if team.leader:
            last_words(run.path, prepared.folds)
    return run.path


def split_dataset(dataset: Dataset, path: Path | None, *, needed: bool) -> Splits:
    """The user's splits, or our own by subject; none for a single subject unless they are needed."""
    if path is not None:
        return read_splits(path, [case.id for case in dataset.cases])
    if not needed and len({case.group for case in dataset.cases}) < 2:
        return []
    return make_splits(dataset.cases)


def choose_folds(fold: str | int, cv: bool, count: int) -> list[str]:
    """Names of the folds to train: "all", or numbers below `count`."""
    if cv:
        return [str(number) for number in range(count)]
    name = str(fold).removeprefix("fold_")
    if name != "all" and not (name.isdigit() and int(name) < count):
        raise UserError.single(
            "There is no such fold.",
            where="--fold",
            found=name,
            expected=f"a number from 0 to {count - 1}, or all",
            mend="Correct the number, or hold nothing out with --fold all.",
        )
    return [name]


def choose_workers(workers: int | None, dataset: Dataset) -> int:
    """The number asked for; else none for small datasets, and one a core for large ones."""
    if workers is not None:
        return workers
    size = sum(path.stat().st_size for case in dataset.cases for path in case.images if path.is_file())
    return (os.cpu_count() or 1) if size > WORTH_WORKERS else 0


def finish_dry_run(prepared: Prepared, recipe: Recipe, method: Method, options: Options, again: Again) -> Path:
    """A picture of synthetic images and the report, and nothing trained."""
    run = prepared.run
    learned_from, _ = divide(prepared.folds[0], prepared)
    cases = [case for case in prepared.stored() if case.id in learned_from]
    parts = build_parts(prepared.plan, recipe, cases, method=method, device=options.device)
    LOGGER.info("Preview of synthetic images: %s", write_preview(parts, run.path / "preview.png"))
    LOGGER.info("Report: %s", write_report(run.path, again=again))
    return run.path


def train_first(
    name: str, first: Prepared, recipe: Recipe, method: Method, options: Options, *, spacing: Triple
) -> Context:
    """Train the first network of a cascade -> what it finds in images of `spacing` mm."""
    LOGGER.info("The first of two networks, which sees scans in voxels of %s mm:", times(first.plan.spacing))
    own = recipe
    if recipe.time_budget is not None:
        own = recipe.model_copy(update={"time_budget": FIRST_SHARE * recipe.time_budget})
    train_fold(name, first, own, method, replace(options, init=None, appearances=False))
    model, device = load_first(first.run.fold(name), options.device), options.device
    LOGGER.info("The second, which is told what the first finds:")
    return lambda image: context_in(image, model, spacing=spacing, device=device)


def after_first(recipe: Recipe) -> Recipe:
    """With the time that the first network of a cascade leaves to the second."""
    if recipe.time_budget is None:
        return recipe
    return recipe.model_copy(update={"time_budget": (1 - FIRST_SHARE) * recipe.time_budget})
