"""The run folder: what stands where, the log, and whether a training may start or go on there."""

from __future__ import annotations

import itertools
import logging
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from l2s_auto.core.composition import as_text
from l2s_auto.core.errors import Offence, UserError
from l2s_auto.core.messages import LogFile, TerminalHandler
from l2s_auto.core.plan import Fingerprint, Plan
from l2s_auto.core.recipe import Recipe
from l2s_auto.inference.model_zip import LOW_RESOLUTION
from l2s_auto.io.json_files import read_json, read_model
from l2s_auto.io.ownership import remove, remove_empty
from l2s_auto.io.places import (
    DATASET_FOLDERS,
    contents,
    kind_of,
    mark,
    refuse_folder,
    require_outside_of_datasets,
    require_unicode,
)
from l2s_auto.io.recipes import read_recipe
from l2s_auto.training.checkpoint import has_checkpoint

LOGGER = logging.getLogger("l2s_auto")
#: What may differ between a training and its resumption; the last only saves memory, as checkpoints do.
MAY_CHANGE = {"iterations", "time_budget", "micro_batch", "aim"}
#: Options that ask for what a recipe calls otherwise.
ASKED_BY = {
    "families": "--families or --contrasts",
    "home": "--home",
    "missing_share": "--missing-channels",
}
#: Kind of folder, as its mark tells.
KIND = "run"
#: Files that are written into a run folder, and into that of a fold.
RUN_FILES = (
    "fingerprint.json",
    "plan.json",
    "recipe.json",
    "splits.json",
    "report.html",
    "preview.png",
    "log.txt",
)
FOLD_FILES = (
    "weights.safetensors",
    "ends.safetensors",
    "dial.json",
    "calibration.json",
    "history.jsonl",
    "trained_by.json",
    "checkpoint/state.safetensors",
    "validation/metrics.json",
    "validation/appearances.json",
)
_FIRST_LINE = re.compile(r"\d{4}-\d\d-\d\d[ T][^\n]*(Dataset|l2s_auto)")


@dataclass(frozen=True)
class RunFolder:
    """Where the files of a run stand."""

    path: Path

    @property
    def fingerprint(self) -> Path:
        return self.path / "fingerprint.json"

    @property
    def plan(self) -> Path:
        return self.path / "plan.json"

    @property
    def recipe(self) -> Path:
        return self.path / "recipe.json"

    @property
    def splits(self) -> Path:
        return self.path / "splits.json"

    @property
    def log(self) -> Path:
        return self.path / "log.txt"

    @property
    def preprocessed(self) -> Path:
        return self.path / "preprocessed"

    @property
    def low_resolution(self) -> RunFolder:
        """Of a cascade's first networks: a run of its own, whose models predict by themselves."""
        return RunFolder(self.path / LOW_RESOLUTION)

    def fold(self, name: str) -> Path:
        return self.path / f"fold_{name}"

    def has_models(self, *, besides: Sequence[str] = ()) -> bool:
        """Whether there is a trained fold, other than those of these names."""
        left = {self.fold(name) for name in besides}
        return any(path.parent not in left for path in self.path.glob("fold_*/weights.safetensors"))

    def make(self) -> None:
        """Make the folder, marked as a run's; UserError where that is impossible."""
        try:
            mark(self.path, KIND)
            self.log.touch()
        except OSError as error:
            raise self._unusable(str(error)) from error

    def _unusable(self, found: str) -> UserError:
        return UserError.single(
            "The run folder cannot be made.",
            where=str(self.path),
            found=found,
            expected="a folder that can be written, or nothing, outside of the dataset",
            mend="Choose another folder with -o.",
        )

    def is_ours(self) -> bool:
        """Whether a training made the folder, or a model was imported into it; an empty one is everybody's.

        Folders of earlier versions have no mark, and are known by what is in them.
        """
        names = contents(self.path)
        if not names or kind_of(self.path) == KIND:
            return True
        if _is_valid(self.plan, Plan) or _is_valid(self.fingerprint, Fingerprint):
            return True
        if names == [self.log.name]:  # of a training that was killed at once
            return not self.log.is_dir() and _is_log(self.log)
        return self.has_models() and _is_valid(self.recipe, Recipe)

    def _check_owner(self, folds: Sequence[str], *, overwrite: bool) -> None:
        """UserError for a folder that holds what no training wrote, unless that may be replaced."""
        if not self.is_ours() and not overwrite:
            refuse_folder(self.path, kind="a run")
        folders = (self.preprocessed, self.low_resolution.path, *map(self.fold, folds))
        wrong = [path.name for path in folders if os.path.lexists(path) and not os.path.isdir(path)]
        wrong += [name for name in RUN_FILES if (self.path / name).is_dir()]
        if wrong:
            found = f"{', '.join(wrong)}, of which a file is a folder or the other way round"
            refuse_folder(self.path, kind="a run", found=found, mend="Choose another folder with -o.")

    def clear(self, folds: Sequence[str], *, foreign: bool = False) -> None:
        """Remove what a training writes of these folds; all other files stay.

        foreign  whether the folder was no run's, so that files with the names of a run's are removed too
        """
        for name in RUN_FILES if foreign else ():
            if name != self.log.name:
                remove(self.path / name)
        for folder in (run.fold(name) for run in (self, self.low_resolution) for name in folds):
            for name in FOLD_FILES:
                remove(folder / name)
            for place in (folder / "checkpoint", folder / "validation", folder):
                remove_empty(place)

    def check(
        self,
        recipe: Recipe,
        folds: list[str],
        splits: list[dict[str, list[str]]],
        *,
        dataset: Path,
        resume: bool,
        overwrite: bool = False,
    ) -> None:
        """UserError unless training these folds here loses nothing and mixes nothing.

        overwrite  whether these folds, and files that no training wrote, may be replaced
        """
        if self.path.exists() and not self.path.is_dir():
            raise self._unusable("a file")
        own, home = self.path.resolve(), dataset.resolve()
        if own == home or any(home / name in (own, *own.parents) for name in DATASET_FOLDERS):
            raise self._unusable("a folder of the dataset, which is never written to")
        require_outside_of_datasets(self.path)
        require_unicode(self.path)
        self._check_owner(folds, overwrite=overwrite)
        trained = [
            name
            for name in folds
            if any((run.fold(name) / "weights.safetensors").exists() for run in (self, self.low_resolution))
        ]
        if trained and not resume and not overwrite:
            raise UserError.single(
                "There is a trained model already, and it would be overwritten.",
                where=str(self.path),
                found=", ".join(f"fold_{name}" for name in trained),
                expected="a run folder without these folds",
                mend="Add --resume to go on, choose another folder with -o, or replace the folds with --overwrite.",
            )
        if self.has_models(besides=folds if overwrite else ()):
            if self.recipe.exists():
                self._check_recipe(recipe)
            if self.splits.exists() and read_json(self.splits) != splits:
                raise UserError.single(
                    "This run was begun with other splits; what was learned from would be validated on.",
                    where=str(self.splits),
                    found="other cases to train or validate on than now",
                    expected="the splits that the run was begun with",
                    mend="Leave --splits as it was, or choose another folder with -o.",
                )
        if resume:
            self._require_checkpoints(folds)

    def _require_checkpoints(self, folds: Sequence[str]) -> None:
        """UserError for trained folds that cannot be gone on with, such as imported ones: they would start again."""
        offences = [
            Offence(
                str(run.fold(name)),
                "weights without a checkpoint",
                "the checkpoint that a training leaves",
                "Choose another folder with -o and start from this model with --init, or replace it with --overwrite.",
            )
            for run in (self, self.low_resolution)
            for name in folds
            if (run.fold(name) / "weights.safetensors").exists() and not run.resumable(name)
        ]
        if offences:
            raise UserError("There is a trained model that cannot be resumed, and it would be overwritten.", offences)

    def _check_recipe(self, recipe: Recipe) -> None:
        old, new = (_what_matters(r) for r in (read_recipe(self.recipe), recipe))
        changed = [name for name in new if new[name] != old[name]]
        if changed:
            raise UserError(
                "This run was begun with other options.",
                [
                    Offence(
                        str(self.recipe),
                        f"{_known_as(name)} = {_shown(old[name])}, and {_shown(new[name])} is asked for",
                        "the options that the run was begun with",
                        "Repeat them, or choose another folder with -o.",
                    )
                    for name in changed
                ],
            )

    def known_plan(self) -> Plan | None:
        """The plan that a former call wrote here, or that the user edited."""
        return read_model(self.plan, Plan) if self.plan.exists() else None

    @property
    def former_plan(self) -> Path:
        """Where the next plan goes that another takes the place of; none of those before is replaced."""
        more = (f"plan.old.{number}.json" for number in itertools.count(2))
        names = itertools.chain(["plan.old.json"], more)
        return next(self.path / name for name in names if not os.path.lexists(self.path / name))

    def plan_of_fold(self, name: str) -> Path:
        """A copy of the plan that a fold is trained by."""
        return self.fold(name) / "trained_by.json"

    def trained_plan(self) -> Plan | None:
        """The plan that the models here were trained by; None where there is none, or that is not known."""
        for weights in sorted(self.path.glob("fold_*/weights.safetensors")):
            copy = weights.parent / "trained_by.json"
            if copy.exists():
                return read_model(copy, Plan)
        return None

    def resumable(self, name: str) -> bool:
        return has_checkpoint(self.fold(name) / "checkpoint")


def _is_valid(path: Path, model: type[BaseModel]) -> bool:
    """Whether a file holds such a model, all of whose fields have defaults in a recipe: so one must be there."""
    try:
        value = read_json(path)
        return isinstance(value, dict) and bool(value) and bool(model.model_validate(value))
    except (UserError, ValueError, RecursionError):
        return False


def _is_log(path: Path) -> bool:
    """Whether a file is empty, or begins as our log does."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            first = file.readline(1000)
    except OSError:
        return False
    return not first or _FIRST_LINE.match(first) is not None


def _known_as(name: str) -> str:
    return f"{name} ({ASKED_BY[name]})" if name in ASKED_BY else name


def _shown(value: object) -> str:
    """An option's value as a user types it."""
    if value is None:
        return "the default"
    fractions = isinstance(value, dict) and bool(value) and all(isinstance(one, float) for one in value.values())
    return as_text(value) if fractions else str(value)  # type: ignore[arg-type]


def _what_matters(recipe: Recipe) -> dict[str, Any]:
    """The recipe without what may differ between a training and its resumption."""
    kept = recipe.model_dump(exclude=MAY_CHANGE)
    kept["network"]["options"].pop("checkpointing", None)
    return kept


def be_quiet() -> None:
    """No messages from this process: another one of the team says them."""
    for handler in list(LOGGER.handlers):
        LOGGER.removeHandler(handler)
        handler.close()
    LOGGER.addHandler(logging.NullHandler())
    LOGGER.propagate = False


def start_logging(path: Path) -> None:
    """Messages go to the terminal and, with the time, to the log file."""
    be_quiet()
    LOGGER.setLevel(logging.INFO)
    LOGGER.addHandler(TerminalHandler())
    LOGGER.addHandler(LogFile(path))
