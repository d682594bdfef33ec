"""Commands that a report offers to be copied."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from l2s_auto.core.composition import as_text, uniform
from l2s_auto.core.recipe import Recipe
from l2s_auto.core.shell import command_line
from l2s_auto.core.trust import OPTION, is_import_path
from l2s_auto.io.json_files import read_json
from l2s_auto.planning.choices import Choices
from l2s_auto.report.run_data import RunData

#: Parts of a recipe that have an option of the same name.
NAMED = ("method", "augmenter", "network", "loss", "hypergradient")
NUMBERS = {"hyper_every": "--hyper-every", "hyper_part": "--hyper-part", "home": "--home", "seed": "--seed"}


@dataclass(frozen=True)
class Again:
    """What a command was given beside the recipe and the run folder, so that it can be repeated.

    dataset  as the user named it; None: it is not known, and the reader fills it in
    """

    dataset: Path | None = None
    splits: Path | None = None
    device: str | None = None
    memory_gb: float | None = None
    workers: int | None = None
    choices: Choices = field(default_factory=Choices)

    @property
    def options(self) -> list[str]:
        given = {
            "--splits": None if self.splits is None else os.path.abspath(self.splits),
            "--device": self.device,
            "--memory-gb": None if self.memory_gb is None else f"{self.memory_gb:g}",
            "--workers": self.workers,
        }
        own = [word for option, value in given.items() if value is not None for word in (option, str(value))]
        return [*own, *choices_of(self.choices)]


def train_longer(run: RunData, again: Again | None = None) -> list[str]:
    """How a training goes on, a command for each fold, or one for all: with the options that it was begun with,
    without which it is refused. It runs as it stands, in any folder, where the dataset is known.
    """
    again = again or Again()
    names = [fold.name.removeprefix("fold_") for fold in run.folds]
    dataset = "DATASET" if again.dataset is None else os.path.abspath(again.dataset)
    own = options_of(run.recipe) if run.recipe is not None else []
    start = ["l2s_plan_and_train", dataset, "-o", os.path.abspath(run.path), *own, *again.options]
    end = ["--resume", "--time-budget", longer(run.recipe)]
    return [command_line([*start, *which, *end]) for which in _folds(names, run.path)]


def same_again(run: RunData, again: Again | None = None) -> str:
    """The command of a cross-validation with --resume, which trains nothing again."""
    again = again or Again()
    dataset = "DATASET" if again.dataset is None else os.path.abspath(again.dataset)
    length: list[str] = []
    if run.recipe is not None:
        length += [] if run.recipe.iterations is None else ["--iterations", str(run.recipe.iterations)]
        length += [] if run.recipe.time_budget is None else ["--time-budget", f"{run.recipe.time_budget:.3f}s"]
    own = options_of(run.recipe) if run.recipe is not None else []
    words = ["l2s_plan_and_train", dataset, "-o", os.path.abspath(run.path), *own, *again.options, *length]
    return command_line([*words, "--cv", "--resume"])


def longer(recipe: Recipe | None) -> str:
    """A time budget that is longer than that of the recipe, as a user types it."""
    hours = 0.0 if recipe is None or recipe.time_budget is None else recipe.time_budget / 3600
    return f"{max(8, math.ceil(2 * hours))}h"


def _folds(names: Sequence[str], run: Path) -> list[list[str]]:
    """The options that name these folds: all of a cross-validation at once, others one by one."""
    try:
        count = len(read_json(run / "splits.json"))
    except (ValueError, OSError, TypeError):
        count = 0
    if not names:
        return [[]]
    numbers = {name for name in names if name != "all"}
    if len(numbers) > 1 and len(numbers) >= count:
        rest = [["--fold", "all"]] if "all" in names else []
        return [["--cv"], *rest]
    return [[] if name == "0" else ["--fold", name] for name in names]


def options_of(recipe: Recipe) -> list[str]:
    """The options of l2s_plan_and_train that lead to a recipe, those that are usual left out."""
    usual = Recipe()
    found = []
    for part in NAMED:
        if (name := getattr(recipe, part).name) != getattr(usual, part).name:
            found += [f"--{part}", name]
    for name in import_paths(recipe):
        found += [OPTION, name]
    if recipe.aim != usual.aim:
        found += ["--aim", recipe.aim]
    if direction := recipe.hypergradient.options.get("direction"):
        found += ["--direction", str(direction)]
    if recipe.families == uniform():
        found += ["--contrasts", "random"]
    elif recipe.families is not None:
        found += ["--families", as_text(recipe.families)]
    for name, option in NUMBERS.items():
        if (value := getattr(recipe, name)) != getattr(usual, name):
            found += [option, str(value)]
    return [*found, *(["--missing-channels"] if recipe.missing_share else [])]


def import_paths(recipe: Recipe) -> list[str]:
    """Parts outside of l2s_auto, which a command runs only where it names them once more."""
    names = (name for part in NAMED for name in getattr(recipe, part).name.split("+"))
    return list(dict.fromkeys(name for name in names if is_import_path(name)))


def choices_of(choices: Choices) -> list[str]:
    """The options of l2s_plan_and_train by which a user decides instead of the planner."""
    found = []
    for choice in fields(choices):
        value = getattr(choices, choice.name)
        if value:
            values = () if value is True else value if isinstance(value, tuple) else (value,)
            found += [f"--{choice.name}", *(str(part).removesuffix(".0") for part in values)]
    return found
