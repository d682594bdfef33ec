"""From a dataset to a trained, validated model: fingerprint, plan, preprocess, train, validate, report."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np

from l2s_auto.core.dial import DIAL, ENDS
from l2s_auto.core.errors import UserError
from l2s_auto.core.plan import Triple
from l2s_auto.core.recipe import Recipe
from l2s_auto.core.trust import trusting
from l2s_auto.core.types import Dataset
from l2s_auto.inference.cascade import context_in
from l2s_auto.inference.load import load_model, remember_model
from l2s_auto.inference.model_zip import LOW_RESOLUTION
from l2s_auto.io.atomic import sweep
from l2s_auto.io.dataset import find_dataset
from l2s_auto.io.json_files import write_json
from l2s_auto.io.lock import only_one
from l2s_auto.io.ownership import protected, remove
from l2s_auto.io.splits import make_splits, read_splits
from l2s_auto.networks.device import AUTO, choose_device, fast_dtype
from l2s_auto.planning.choices import Choices
from l2s_auto.planning.patch import times
from l2s_auto.preprocessing.store import require_own
from l2s_auto.report.commands import Again
from l2s_auto.report.html import write_report
from l2s_auto.training.appearances import validate_appearances
from l2s_auto.training.build import build_parts, initial_state
from l2s_auto.training.checkpoint import load_checkpoint
from l2s_auto.training.checks import build_method, check_recipe
from l2s_auto.training.dial import Held, choose_point
from l2s_auto.training.home import back_to_general, phases_of
from l2s_auto.training.loop import Limits, train
from l2s_auto.training.methods import Method
from l2s_auto.training.options import Options
from l2s_auto.training.outcome import last_words, tell_fold, tell_length
from l2s_auto.training.plans import Planning
from l2s_auto.training.prepare import Prepared, Splits, prepare, require_channels, require_ends, require_images
from l2s_auto.training.preview import write_preview
from l2s_auto.training.run_folder import RunFolder, be_quiet
from l2s_auto.training.show import progress_to
from l2s_auto.training.step import replace_state
from l2s_auto.training.team import team_from_environment
from l2s_auto.training.threads import report_threads
from l2s_auto.training.transfer import restore_frozen, transfer_weights
from l2s_auto.training.validate import mean_dice, to_check, validate_fold

LOGGER = logging.getLogger("l2s_auto")
#: Below this many bytes of images, worker processes cost more than they save.
WORTH_WORKERS = 500_000_000
#: Of a time budget, for the first network of a cascade.
FIRST_SHARE = 1 / 3
Context = Callable[[np.ndarray], np.ndarray]


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
    parts = build_parts(prepared.plan, recipe, prepared.stored(), method=method, device=options.device)
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
    model, device = load_model(first.run.fold(name), options.device), options.device
    LOGGER.info("The second, which is told what the first finds:")
    return lambda image: context_in(image, model, spacing=spacing, device=device)


def after_first(recipe: Recipe) -> Recipe:
    """With the time that the first network of a cascade leaves to the second."""
    if recipe.time_budget is None:
        return recipe
    return recipe.model_copy(update={"time_budget": (1 - FIRST_SHARE) * recipe.time_budget})


def train_fold(
    name: str,
    prepared: Prepared,
    recipe: Recipe,
    method: Method,
    options: Options,
    *,
    context: Context | None = None,
) -> None:
    """Train and validate one fold.

    context  what a cascade's first network finds in an image, where this is the second
    """
    dataset, plan, run, stored = prepared.dataset, prepared.plan, prepared.run, prepared.stored()
    splits, team = prepared.splits, options.team
    ids = {case.id for case in dataset.cases}
    held_out = set() if name == "all" else set(splits[int(name)]["val"])
    learned_from = ids if name == "all" else set(splits[int(name)]["train"])
    assert not held_out & learned_from, "a validation case is never learned from"
    learn = [case for case in stored if case.id in learned_from]
    parts = build_parts(
        plan,
        recipe,
        learn,
        method=method,
        device=options.device,
        autocast=fast_dtype(options.device),
        team=team,
        context=context,
    )
    check = to_check(parts, [case for case in stored if case.id in held_out])
    state = initial_state(parts)
    if options.init is not None:
        taken, left = transfer_weights(state, parts.network, options.init, device=str(options.device))
        LOGGER.info(
            "From %s: %d tensors taken; %d left: %s", options.init, len(taken), len(left), ", ".join(left) or "none"
        )
    if not check:
        state = replace_state(state, start={})  # nothing tells whether theta has paid: no rival
    phases = phases_of(method, recipe, has_images=all(case.image is not None for case in learn))
    limits = Limits(
        iterations=recipe.iterations or (None if recipe.time_budget else plan.iterations),
        time_budget=recipe.time_budget,
    )
    if options.resume and run.resumable(name):
        state = load_checkpoint(run.fold(name) / "checkpoint", options.device)
        if not phases.is_home(limits.progress(state)):
            state = back_to_general(state)
        restore_frozen(parts.network, run.fold(name) / "weights.safetensors")
        LOGGER.info("Fold %s goes on from iteration %d", name, state.step)
    report_threads(state, team, seed=recipe.seed)
    LOGGER.info("Fold %s: %d cases to learn from, %d held out", name, len(learn), len(held_out))
    if team.leader:
        for place in (run.path, run.fold(name), run.fold(name) / "checkpoint"):
            sweep(place)
        for file in (DIAL, ENDS):  # of the training so far: they are written again at its end
            remove(run.fold(name) / file)
        write_json(run.plan_of_fold(name), plan)
    state = train(
        parts,
        phases,
        state,
        folder=run.fold(name),
        limits=limits,
        validate=functools.partial(mean_dice, parts, cases=check),
        title=f"Fold {name}",
    )
    bar = progress_to("Validating") if team.leader else lambda done, total: None
    stored_of = {case.id: case for case in stored}
    looked_at = [
        Held(case, stored_of[case.id])
        for case in dataset.cases
        if case.id in held_out and case.images and case.label is not None
    ]
    choosing = progress_to("Choosing the weights") if team.leader else lambda done, total: None
    phi = choose_point(parts, state, looked_at, run.fold(name), aim=recipe.aim, progress=choosing)
    validate_fold(
        parts,
        phi,
        [case for case in dataset.cases if case.id in held_out],
        run.fold(name),
        fingerprint=prepared.fingerprint,
        progress=bar,
        stored=[case for case in stored if case.id in held_out],
    )
    if team.leader:
        tell_fold(name, run.fold(name), cascade=run.path.name == LOW_RESOLUTION)
    if options.appearances:
        changing = progress_to("Changing appearances") if team.leader else lambda done, total: None
        held = [case for case in dataset.cases if case.id in held_out]
        validate_appearances(parts, phi, held, run.fold(name), progress=changing)
