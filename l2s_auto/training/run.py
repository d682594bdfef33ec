"""From a dataset to a trained, validated model: fingerprint, plan, preprocess, train, validate, report."""

from __future__ import annotations

import functools
import logging
import math
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from l2s_auto.core.errors import UserError
from l2s_auto.core.plan import Fingerprint, Plan, Triple
from l2s_auto.core.recipe import Recipe
from l2s_auto.core.types import Dataset
from l2s_auto.inference.cascade import context_in
from l2s_auto.inference.load import load_model, remember_model
from l2s_auto.io.atomic import sweep
from l2s_auto.io.dataset import find_dataset, verify_and_look, verify_dataset
from l2s_auto.io.json_files import read_model, write_json
from l2s_auto.io.splits import make_splits, read_splits
from l2s_auto.io.verify import MINIMUM_CASES
from l2s_auto.networks.device import AUTO, choose_device, fast_dtype
from l2s_auto.planning.choices import Choices
from l2s_auto.planning.measured import with_measured_clusters
from l2s_auto.planning.modality import with_named_channels
from l2s_auto.planning.patch import times
from l2s_auto.planning.planner import shapes_at
from l2s_auto.preprocessing.read import read_image
from l2s_auto.preprocessing.store import StoredCase, bytes_a_voxel, open_case, store_cases
from l2s_auto.report.html import write_report
from l2s_auto.synthesis.classes import enrich
from l2s_auto.training.appearances import validate_appearances
from l2s_auto.training.build import build_parts, initial_state
from l2s_auto.training.checkpoint import load_checkpoint
from l2s_auto.training.checks import build_method, check_recipe, warn_of_unused
from l2s_auto.training.leaks import leaks
from l2s_auto.training.loop import Limits, train
from l2s_auto.training.methods import Method
from l2s_auto.training.options import Options
from l2s_auto.training.plan_table import plan_table
from l2s_auto.training.plans import Planning, known_plan, measure, new_plan
from l2s_auto.training.preview import write_preview
from l2s_auto.training.run_folder import RunFolder, be_quiet, start_logging
from l2s_auto.training.show import progress_to
from l2s_auto.training.smoothness import warn_of_kinks
from l2s_auto.training.step import replace_state
from l2s_auto.training.team import require_samples, team_from_environment
from l2s_auto.training.transfer import restore_frozen, transfer_weights
from l2s_auto.training.validate import mean_dice, validate_fold

LOGGER = logging.getLogger("l2s_auto")
#: Below this many bytes of images, worker processes cost more than they save.
WORTH_WORKERS = 500_000_000
#: Of a time budget, for the first network of a cascade.
FIRST_SHARE = 1 / 3
Splits = list[dict[str, list[str]]]
Context = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Prepared:
    """A dataset that is verified, planned and preprocessed, and the folds to train on it.

    first  the same for the first network of a cascade
    """

    dataset: Dataset
    plan: Plan
    splits: Splits
    folds: list[str]
    run: RunFolder
    fingerprint: Fingerprint
    first: Prepared | None = None

    def stored(self) -> list[StoredCase]:
        """The preprocessed cases."""
        return [open_case(case.id, self.run.preprocessed) for case in self.dataset.cases]


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
) -> Path:
    """Everything from a labelled dataset to a model and its report -> the run folder.

    fold     the fold of the splits that is held out, or "all" for none; ignored with cv, which trains every fold
    choices  what the user decides instead of the planner
    Raises UserError for everything that the user can mend, before anything that takes long.
    """
    recipe = recipe or Recipe()
    team, device = team_from_environment(device)

    def prepare_all() -> Prepared:
        check_recipe(recipe)
        method = build_method(recipe)
        chosen = choose_device(device)
        found = find_dataset(dataset, workers=0)
        require_images(found, method, recipe)
        require_channels(found, recipe)
        run = RunFolder(Path(output) if output else Path("l2s_runs") / found.name)
        parts_of = split_dataset(found, splits, needed=cv or str(fold) != "all")
        folds = choose_folds(fold, cv, len(parts_of))
        run.check(recipe, folds, parts_of, dataset=found.folder, resume=resume)
        if init is not None:
            load_model(init, "cpu")  # whether it is one
        options = Options(chosen, choose_workers(workers, found), team=team)
        planning = Planning(recipe, method, options, memory_gb, choices or Choices())
        return prepare(found, run, planning, parts_of, folds)

    prepared = team.from_leader(prepare_all)
    method = build_method(recipe)
    options = Options(choose_device(device), 0, resume, init, team, appearances=cv)
    run = prepared.run
    if not team.leader:
        be_quiet()
    if dry_run:
        return finish_dry_run(prepared, recipe, method, options) if team.leader else run.path
    for name in prepared.folds:
        context = None
        if prepared.first is not None:
            context = train_first(name, prepared.first, recipe, method, options, spacing=prepared.plan.spacing)
        train_fold(name, prepared, after_first(recipe) if context else recipe, method, options, context=context)
        if team.leader:
            remember_model(run.path)
            write_report(run.path)
    LOGGER.info("Report: %s", run.path / "report.html")
    return run.path


def prepare(found: Dataset, run: RunFolder, planning: Planning, splits: Splits, folds: list[str]) -> Prepared:
    """Verify, plan and preprocess; what a training needs then stands in the run folder."""
    recipe, options = planning.recipe, planning.options
    run.make()
    start_logging(run.log)
    LOGGER.info(
        "Dataset %s: %d cases, %d labels. Run folder: %s", found.name, len(found.cases), len(found.labels) - 1, run.path
    )
    named = with_named_channels(found, read=read_image)
    if named.channels != found.channels:
        LOGGER.info("By their intensities, the scans are CT in Hounsfield units: %s", ", ".join(named.channels))
    found = named
    minimum = 1 if folds == ["all"] else MINIMUM_CASES
    plan = known_plan(found, run, planning)
    if plan is not None:
        verify_dataset(found, minimum=minimum, workers=options.workers, progress=progress_to("Checking"))
    else:
        look = functools.partial(measure, dataset=found)
        measured = verify_and_look(
            found, look, minimum=minimum, workers=options.workers, progress=progress_to("Checking and measuring")
        )
        plan = new_plan(found, measured, run, planning)
    for warning in leaks(found, splits):
        LOGGER.warning("Warning: %s", warning)
    LOGGER.info("%s", plan_table(plan, recipe))
    require_samples(options.team, plan.batch)
    warn_of_kinks(plan, recipe, planning.method)
    warn_of_unused(recipe, planning.method)
    write_json(run.recipe, recipe)
    write_json(run.splits, splits)
    report_disk_use(plan, run)
    plan = preprocess(found, plan, run, workers=options.workers)
    first, fingerprint = None, read_model(run.fingerprint, Fingerprint)
    if plan.low_resolution is not None:
        own = run.low_resolution
        own.path.mkdir(exist_ok=True)
        write_json(own.recipe, recipe)
        first = Prepared(
            found, preprocess(found, plan.first_stage, own, workers=options.workers), splits, folds, own, fingerprint
        )
    return Prepared(found, plan, splits, folds, run, fingerprint, first)


def preprocess(found: Dataset, plan: Plan, run: RunFolder, *, workers: int) -> Plan:
    """Store the cases -> the plan with what was measured on them, written to the run folder."""
    stored = store_cases(
        found, plan, run.preprocessed, enrich=enrich, workers=workers, progress=progress_to("Preprocessing")
    )
    measured = with_measured_clusters(plan, [case.intensities for case in stored if case.intensities is not None])
    if measured is not plan or not run.plan.exists() or read_model(run.plan, Plan) != plan:
        write_json(run.plan, measured)
    return measured


def report_disk_use(plan: Plan, run: RunFolder) -> None:
    """Say how much the preprocessed cases will take, before they do."""
    fingerprint = read_model(run.fingerprint, Fingerprint)
    stages = [plan] if plan.low_resolution is None else [plan, plan.first_stage]
    voxels = sum(math.prod(shape) for stage in stages for shape in shapes_at(fingerprint, stage.spacing))
    size = voxels * bytes_a_voxel(plan) / 1e9
    LOGGER.info("Preprocessed cases take at most %.2g GB in %s", size, run.preprocessed)
    stores = (run.preprocessed, run.low_resolution.preprocessed)
    there = sum(path.stat().st_size for store in stores for path in store.rglob("*") if path.is_file()) / 1e9
    free = shutil.disk_usage(run.path).free / 1e9
    if size > free + there:
        raise UserError.single(
            "There is not enough room on the disk for the preprocessed cases.",
            where=str(run.path),
            found=f"{free:.2g} GB free",
            expected=f"{size:.2g} GB",
            mend="Free some, choose a folder on another disk with -o, or a coarser --spacing.",
        )


def require_images(dataset: Dataset, method: Method, recipe: Recipe) -> None:
    """UserError if the method learns from real images and there are none."""
    if method.needs_images and not any(case.images for case in dataset.cases):
        raise UserError.single(
            f"The method {recipe.method.name} learns from real images too.",
            where=str(dataset.folder),
            found="label maps without images",
            expected="an image for each label map",
            mend="Add the images, or train on label maps alone with --method synthseg.",
        )


def require_channels(dataset: Dataset, recipe: Recipe) -> None:
    """UserError if channels may be missing, and there is one alone."""
    if recipe.missing_share and len(dataset.channels) < 2:
        raise UserError.single(
            "Scans of one channel cannot lack any.",
            where="--missing-channels",
            found=f"{len(dataset.channels)} channels in {dataset.folder}",
            expected="2 or more",
            mend="Leave the option out.",
        )


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
    name = str(fold)
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


def finish_dry_run(prepared: Prepared, recipe: Recipe, method: Method, options: Options) -> Path:
    """A picture of synthetic images and the report, and nothing trained."""
    run = prepared.run
    parts = build_parts(prepared.plan, recipe, prepared.stored(), augmenter=method.augmenter(), device=options.device)
    LOGGER.info("Preview of synthetic images: %s", write_preview(parts, run.path / "preview.png"))
    LOGGER.info("Report: %s", write_report(run.path))
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
    check = [case for case in stored if case.id in held_out and case.image is not None]
    parts = build_parts(
        plan,
        recipe,
        learn,
        augmenter=method.augmenter(),
        device=options.device,
        autocast=fast_dtype(options.device),
        team=team,
        context=context,
    )
    state = initial_state(parts)
    if options.init is not None:
        taken, left = transfer_weights(state, parts.network, options.init, device=str(options.device))
        LOGGER.info(
            "From %s: %d tensors taken; %d left: %s", options.init, len(taken), len(left), ", ".join(left) or "none"
        )
    if not check:
        state = replace_state(state, start={})  # nothing tells whether theta has paid: no rival
    if options.resume and run.resumable(name):
        state = load_checkpoint(run.fold(name) / "checkpoint", options.device)
        restore_frozen(parts.network, run.fold(name) / "weights.safetensors")
        LOGGER.info("Fold %s goes on from iteration %d", name, state.step)
    limits = Limits(
        iterations=recipe.iterations or (None if recipe.time_budget else plan.iterations),
        time_budget=recipe.time_budget,
    )
    LOGGER.info("Fold %s: %d cases to learn from, %d held out", name, len(learn), len(held_out))
    if team.leader:
        for place in (run.path, run.fold(name), run.fold(name) / "checkpoint"):
            sweep(place)
        write_json(run.plan_of_fold(name), plan)
    state = train(
        parts,
        method,
        state,
        folder=run.fold(name),
        limits=limits,
        validate=functools.partial(mean_dice, parts, cases=check),
        title=f"{recipe.method.name}, fold {name}",
    )
    metrics = validate_fold(
        parts,
        state.phi,
        [case for case in dataset.cases if case.id in held_out],
        run.fold(name),
        fingerprint=prepared.fingerprint,
        progress=progress_to("Validating") if team.leader else lambda done, total: None,
    )
    if metrics["mean"]["dice"] is not None:
        LOGGER.info(
            "Fold %s: mean Dice %.3f on %d held-out cases", name, metrics["mean"]["dice"], len(metrics["cases"])
        )
    if options.appearances:
        changing = progress_to("Changing appearances") if team.leader else lambda done, total: None
        held = [case for case in dataset.cases if case.id in held_out]
        validate_appearances(parts, state.phi, held, run.fold(name), progress=changing)
