"""Where the files of a model lie, in a run folder or a fold folder."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from l2s_auto.core.errors import UserError
from l2s_auto.inference.model_zip import CALIBRATION, LOW_RESOLUTION, PLAN, RECIPE, WEIGHTS

#: Runs that are named to who named a folder around them.
SHOWN = 3


@dataclass(frozen=True)
class ModelFiles:
    """Where the parts of a model lie.

    weights  one file a fold, sorted
    notes    what a user should know, such as folds without weights
    low_resolution  those of a cascade's first networks
    """

    plan: Path
    recipe: Path
    weights: tuple[Path, ...]
    notes: tuple[str, ...] = ()
    low_resolution: ModelFiles | None = None

    @property
    def calibrations(self) -> tuple[Path, ...]:
        """Of the folds that were validated."""
        paths = [weights.parent / CALIBRATION for weights in self.weights]
        return tuple(path for path in paths if path.is_file())

    @property
    def folders(self) -> tuple[Path, ...]:
        return tuple(path.parent for path in self.weights)

    @property
    def folds(self) -> tuple[str, ...]:
        return tuple(folder.name for folder in self.folders)


def find_model(path: Path) -> ModelFiles:
    """The files of the model in a run folder or a fold folder. UserError if there is no model."""
    if not path.is_dir():
        refuse_model(path, "a file" if path.exists() else "no such file or folder")
    if (path / PLAN).is_file():
        run, folds = path, sorted(fold for fold in path.glob("fold_*") if fold.is_dir())
    elif (path.parent / PLAN).is_file() and path.name.startswith("fold_"):
        run, folds = path.parent, [path]
    else:
        refuse_model(path, f"a folder without {PLAN}", runs_below(path))
    weights = tuple(fold / WEIGHTS for fold in folds if (fold / WEIGHTS).is_file())
    if not weights:
        refuse_model(path, f"no fold_*/{WEIGHTS}" if path is run else f"no {WEIGHTS}")
    if not (run / RECIPE).is_file():
        refuse_model(run, f"a folder without {RECIPE}")
    without = [fold.name for fold in folds if fold / WEIGHTS not in weights]
    notes = (f"No weights in {', '.join(without)}: predicting with {len(weights)} of {len(folds)} folds.",)
    low = run / LOW_RESOLUTION if path is run else run / LOW_RESOLUTION / path.name
    return ModelFiles(
        run / PLAN,
        run / RECIPE,
        weights,
        notes if without else ensemble_note(weights),
        find_model(low) if (run / LOW_RESOLUTION / PLAN).is_file() else None,
    )


def ensemble_note(weights: tuple[Path, ...]) -> tuple[str, ...]:
    if len(weights) < 2:
        return ()
    names = ", ".join(path.parent.name for path in weights)
    return (f"Predicting with {len(weights)} models together: {names}.",)


def runs_below(folder: Path, depth: int = 3) -> list[Path]:
    """Run folders with weights inside a folder, such as an experiment's; the first half of a cascade is none."""
    runs = sorted(plan.parent for levels in range(1, depth + 1) for plan in folder.glob("*/" * levels + PLAN))
    return [run for run in runs if run.name != LOW_RESOLUTION and any(run.glob(f"fold_*/{WEIGHTS}"))]


def refuse_model(path: Path, found: str, runs: Sequence[Path] = ()) -> NoReturn:
    mend = "Name the folder that l2s_plan_and_train wrote, or the zip that l2s_export wrote."
    if runs:
        more = f" or another of the {len(runs)} there" if len(runs) > SHOWN else ""
        mend = f"Name a run inside it: {', '.join(shlex.quote(str(run)) for run in runs[:SHOWN])}{more}."
    raise UserError.single(
        "This is not a model.",
        where=str(path),
        found=found,
        expected=f"a run folder ({PLAN}, {RECIPE}, fold_K/{WEIGHTS}), one of its fold folders, an exported "
        "zip, or a model folder of nnU-Net 2",
        mend=mend,
    )
