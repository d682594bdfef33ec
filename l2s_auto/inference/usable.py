"""Whether a run folder holds a model that predicts, and what it says of itself, without loading any network."""

from __future__ import annotations

import datetime
import json
from dataclasses import dataclass
from pathlib import Path

from l2s_auto.core.dial import ENDS
from l2s_auto.core.errors import UserError, some_of
from l2s_auto.core.folding import WIDTH
from l2s_auto.core.plan import Plan
from l2s_auto.core.printable import printable
from l2s_auto.inference.aim import EACH, read_dials
from l2s_auto.inference.model_zip import LOW_RESOLUTION, PLAN, RECIPE, WEIGHTS
from l2s_auto.io.json_files import LARGEST_MODEL, read_json, read_model
from l2s_auto.io.recipes import read_recipe
from l2s_auto.report.verdict import verdict_of_all

#: Bytes of the header of a file of weights, at most.
_LARGEST_HEADER = 100_000_000


@dataclass(frozen=True)
class Weights:
    """Of a run folder: one file a trained fold, and when the last was written (seconds since 1970; 0: never)."""

    path: Path
    files: tuple[Path, ...]
    time: float


def why_unusable(run: Weights) -> str:
    """Why a run folder has no model that predicts; empty where it has one."""
    if not run.files:
        return "no weights"
    try:
        plan = read_model(run.path / PLAN, Plan)
        read_recipe(run.path / RECIPE)
    except UserError as error:
        return error.summary.rstrip(".")
    except OSError as error:
        return error.strerror or str(error)
    files = list(run.files)
    if plan.low_resolution is not None:
        first = [run.path / LOW_RESOLUTION / file.parent.name / WEIGHTS for file in run.files]
        if not all(file.is_file() for file in first):
            return "the first network of the cascade is missing"
        files += first
    try:
        dials = read_dials([file.parent for file in run.files])
    except UserError as error:
        return error.summary.rstrip(".")
    needed = [dial is not None and dial.aim == EACH for dial in dials]
    files += [file.parent / ENDS for file, is_needed in zip(run.files, needed, strict=True) if is_needed]
    broken = [f"{file.parent.name}/{file.name}" for file in files if not is_whole(file)]
    return f"{some_of(broken)} is damaged or cut short" if broken else ""


def is_whole(path: Path) -> bool:
    """Whether a file of weights (safetensors) is as long as its header says."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= _LARGEST_HEADER:
                return False
            header = json.loads(file.read(length))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        return bool(ends) and path.stat().st_size == 8 + length + max(ends)
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        return False


def described(path: Path) -> list[str]:
    """A run or a fold folder -> two lines for a terminal: dataset, date and Dice, and the labels.

    None of it stops a prediction: what cannot be read is not told.
    """
    run = path if (path / PLAN).is_file() else path.parent
    folds = sorted(run.glob("fold_*")) if run == path else [path]
    weights = [fold / WEIGHTS for fold in folds if (fold / WEIGHTS).is_file()]
    try:
        plan = Plan.model_validate(read_json(run / PLAN, largest=LARGEST_MODEL))
        moment = datetime.datetime.fromtimestamp(max(file.stat().st_mtime for file in weights))
    except (OSError, ValueError):
        return []
    verdict = verdict_of_all([file.parent for file in weights])
    dice = "not validated" if verdict is None or verdict.dice is None else f"mean Dice {verdict.measured}"
    about = f"Dataset {printable(plan.dataset)}, trained {moment:%Y-%m-%d %H:%M}, {dice}"
    return [about, _labels([printable(label.name) for label in plan.labels if label.value != 0])]


def _labels(names: list[str]) -> str:
    """As many names of labels as fit into a line."""
    for count in range(len(names), 0, -1):
        line = f"Labels: {some_of(names, most=count)}"
        if len(line) <= WIDTH:
            return line
    return f"Labels: {len(names)}"
