"""One plan for all methods that learn from the same scans, whoever comes first and whatever memory is free then."""

from __future__ import annotations

import gc
import shutil
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch

from l2s_auto.core.errors import UserError, shortened
from l2s_auto.core.plan import Plan
from l2s_auto.core.recipe import Recipe
from l2s_auto.io.atomic import atomic_path
from l2s_auto.io.dataset import find_dataset
from l2s_auto.io.json_files import read_json, read_model, write_json
from l2s_auto.io.lock import only_one
from l2s_auto.planning.choices import Choices
from l2s_auto.training.checks import build_method
from l2s_auto.training.options import Options
from l2s_auto.training.plans import Planning, differences
from l2s_auto.training.prepare import named_by_intensity, planned
from l2s_auto.training.run_folder import RunFolder, start_logging

#: Folder of the plans in that of the experiment.
PLANS = "plans"


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


def settle_choices(place: Path, choices: Choices) -> Choices:
    """What the user decides of all plans of an experiment: noted by its first call, and the same ever after.

    place  where the plans are kept
    Raises UserError where what is chosen is not what the plans that are there have.
    """
    note = place / "choices.json"
    place.mkdir(parents=True, exist_ok=True)
    with only_one(place, wait=True):
        plans = sorted(place.glob("*/plan.json"))
        differing = [found for path in plans for found in differences(read_model(path, Plan), choices, path)]
        if differing:
            raise UserError("The folder holds trainings by another plan.", differing)
        if plans and note.exists():
            return _noted(note)
        write_json(note, {name: value for name, value in asdict(choices).items() if value is not None})
    return choices


def _noted(note: Path) -> Choices:
    """What a former call has decided. UserError where the file is of another form."""
    found = read_json(note)
    known = {choice.name for choice in fields(Choices)}
    if not isinstance(found, dict) or not set(found) <= known:
        raise UserError.single(
            "What was decided of the plans cannot be read.",
            where=str(note),
            found=shortened(found),
            expected=f"an object with some of {', '.join(sorted(known))}",
            mend="Choose another folder with -o.",
        )
    noted: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}
    return Choices(**noted)


def told_plan(run: Path) -> dict[str, Any]:
    """What a row of the table tells of the plan."""
    plan = read_model(RunFolder(run).plan, Plan)
    early = {"early": plan.early.model_dump()} if plan.early is not None else {}
    return {"patch": plan.patch, "batch": plan.batch, **early, "features": plan.topology.features}


def make_room() -> None:
    """Give memory of a training that is over back to the device."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
