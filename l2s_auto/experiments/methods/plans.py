"""One plan for all methods that learn from the same scans, whoever comes first and whatever memory is free then."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from l2s_auto.core.errors import UserError
from l2s_auto.core.plan import Plan
from l2s_auto.core.recipe import Recipe
from l2s_auto.io.atomic import atomic_path
from l2s_auto.io.dataset import find_dataset
from l2s_auto.io.json_files import read_model
from l2s_auto.io.lock import only_one
from l2s_auto.planning.choices import Choices
from l2s_auto.training.checks import build_method
from l2s_auto.training.options import Options
from l2s_auto.training.plans import Planning, differences
from l2s_auto.training.prepare import named_by_intensity, planned
from l2s_auto.training.run_folder import RunFolder, start_logging


def share_plan(dataset: Path, place: Path, run: Path, *, recipe: Recipe, device: str, choices: Choices) -> None:
    """Put the plan of these scans into the run folder of one method, unless it has one.

    dataset  the scans to learn from
    place    where their plan is kept; it is made once
    recipe   of the method that needs most memory: what fits it fits all
    choices  what the user decides of a new plan
    Raises UserError where nothing fits.
    """
    shared, own = RunFolder(place), RunFolder(run)
    if own.plan.exists() or own.has_models():
        return
    shared.make()
    start_logging(shared.log)
    with only_one(place, wait=True):
        found = named_by_intensity(find_dataset(dataset))
        options = Options(torch.device(device), 0)
        planned(found, shared, Planning(recipe, build_method(recipe), options, choices=choices))
    for source, target in ((shared.fingerprint, own.fingerprint), (shared.plan, own.plan)):
        with atomic_path(target) as path:
            shutil.copyfile(source, path)


def require_choices(places: Iterable[Path], choices: Choices) -> None:
    """UserError that names the plans that are there and were made with other choices than the user's."""
    plans = [(path, read_model(path, Plan)) for path in (RunFolder(place).plan for place in places) if path.exists()]
    differing = [offence for path, plan in plans for offence in differences(plan, choices, path)]
    if differing:
        raise UserError("The folder holds trainings by another plan.", differing)


def told_plan(run: Path) -> dict[str, Any]:
    """What a row of the table tells of the plan."""
    plan = read_model(RunFolder(run).plan, Plan)
    return {"patch": plan.patch, "batch": plan.batch, "features": plan.topology.features}


def make_room() -> None:
    """Give memory of a training that is over back to the device."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
