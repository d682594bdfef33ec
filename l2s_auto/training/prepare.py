"""From a labelled dataset to what a training needs in the run folder: verified, planned, preprocessed."""

from __future__ import annotations

import functools
import logging
import math
import shutil
from dataclasses import dataclass

from l2s_auto.core.composition import FROM_SCANS
from l2s_auto.core.errors import UserError
from l2s_auto.core.plan import Fingerprint, Plan
from l2s_auto.core.recipe import Recipe
from l2s_auto.core.types import Dataset
from l2s_auto.io.dataset import verify_and_look, verify_dataset
from l2s_auto.io.hounsfield import OTHER_CT
from l2s_auto.io.json_files import read_model, write_json
from l2s_auto.io.verify import MINIMUM_CASES
from l2s_auto.planning.measured import with_measured_clusters
from l2s_auto.planning.modality import with_named_channels
from l2s_auto.planning.planner import shapes_at
from l2s_auto.preprocessing.read import read_image
from l2s_auto.preprocessing.store import StoredCase, bytes_a_voxel, open_case, store_cases
from l2s_auto.synthesis.classes import enrich
from l2s_auto.training.checks import warn_of_unused
from l2s_auto.training.home import home_of
from l2s_auto.training.leaks import leaks
from l2s_auto.training.methods import Method
from l2s_auto.training.plan_table import plan_table
from l2s_auto.training.plans import Planning, known_plan, measure, new_plan
from l2s_auto.training.run_folder import RunFolder, start_logging
from l2s_auto.training.show import progress_to
from l2s_auto.training.smoothness import warn_of_kinks
from l2s_auto.training.team import require_samples

LOGGER = logging.getLogger("l2s_auto")
Splits = list[dict[str, list[str]]]


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


def prepare(found: Dataset, run: RunFolder, planning: Planning, splits: Splits, folds: list[str]) -> Prepared:
    """Verify, plan and preprocess; what a training needs then stands in the run folder."""
    recipe, options = planning.recipe, planning.options
    run.make()
    start_logging(run.log)
    LOGGER.info(
        "Dataset %s: %d cases, %d labels. Run folder: %s", found.name, len(found.cases), len(found.labels) - 1, run.path
    )
    for note in found.notes:
        LOGGER.warning("Note: %s", note)
    found = named_by_intensity(found)
    plan = planned(found, run, planning, minimum=1 if folds == ["all"] else MINIMUM_CASES)
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


def named_by_intensity(found: Dataset) -> Dataset:
    """Channels without a telling name are called CT where their intensities are Hounsfield units."""
    named = with_named_channels(found, read=read_image)
    renamed = [names for names in zip(found.channels, named.channels, strict=True) if names[0] != names[1]]
    if any(new != OTHER_CT for _, new in renamed):
        LOGGER.info("By their intensities, the scans are CT in Hounsfield units: %s", ", ".join(named.channels))
    for old, new in renamed:
        if new == OTHER_CT:
            LOGGER.warning(
                "Warning: the channel %s is not in Hounsfield units. Each scan is normalised by its own percentiles,\n"
                "and the model is for scans with the same kind of intensities. Better: export the scans again.",
                old,
            )
    return named


def planned(found: Dataset, run: RunFolder, planning: Planning, *, minimum: int = 1) -> Plan:
    """The plan in the run folder, or a new one, of a dataset that is verified; `minimum` cases are needed."""
    workers = planning.options.workers
    plan = known_plan(found, run, planning)
    if plan is not None:
        verify_dataset(found, minimum=minimum, workers=workers, progress=progress_to("Checking"))
        return plan
    measured = verify_and_look(
        found,
        functools.partial(measure, dataset=found),
        minimum=minimum,
        workers=workers,
        progress=progress_to("Checking and measuring"),
    )
    return new_plan(found, measured, run, planning)


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


def require_ends(dataset: Dataset, method: Method, recipe: Recipe) -> None:
    """UserError for an aim that the model could not be chosen for: it has one end only."""
    if recipe.aim == "both" or (home_of(method, recipe) > 0 and dataset.has_images):
        return
    reason = f"the method {recipe.method.name}" if dataset.has_images else "label maps without images"
    raise UserError.single(
        "The model could not be chosen for an aim: it would have one end only.",
        where=f"--aim {recipe.aim}",
        found=f"{reason}, which gives no weights for scans as they are",
        expected="a method with a home phase, such as learn2synth, and images to every label map",
        mend="Leave --aim out, or change the method or the dataset.",
    )


def require_images(dataset: Dataset, method: Method, recipe: Recipe) -> None:
    """UserError if the method, or a family of training images, is made of real images and there are none."""
    if any(case.images for case in dataset.cases):
        return
    of_scans = [name for name, fraction in (recipe.families or {}).items() if name in FROM_SCANS and fraction > 0]
    if method.needs_images or of_scans:
        what = f"method {recipe.method.name}" if method.needs_images else f"family {of_scans[0]}"
        raise UserError.single(
            f"The {what} learns from real images too.",
            where=str(dataset.folder),
            found="label maps without images",
            expected="an image for each label map",
            mend="Add the images, or train on label maps alone with --method synthseg (without --families).",
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
