"""Commands that a report offers to be copied."""

from __future__ import annotations

import shlex
from dataclasses import fields

from l2s_auto.core.recipe import Recipe
from l2s_auto.core.trust import OPTION, is_import_path
from l2s_auto.planning.choices import Choices
from l2s_auto.report.run_data import RunData

#: Parts of a recipe that have an option of the same name.
NAMED = ("method", "augmenter", "network", "loss", "hypergradient")
NUMBERS = {"hyper_every": "--hyper-every", "hyper_part": "--hyper-part", "seed": "--seed"}


def train_longer(run: RunData) -> str:
    """How a training goes on: with the options that it was begun with, without which it is refused."""
    folds = [fold.name for fold in run.folds]
    which = ["--cv"] if len(folds) > 1 else [] if folds in ([], ["0"]) else ["--fold", *folds]
    own = options_of(run.recipe) if run.recipe is not None else []
    words = ["l2s_plan_and_train", "DATASET", "-o", str(run.path), *own, *which, "--resume", "--time-budget", "8h"]
    return shlex.join(words)


def options_of(recipe: Recipe) -> list[str]:
    """The options of l2s_plan_and_train that lead to a recipe, those that are usual left out."""
    usual = Recipe()
    found = []
    for part in NAMED:
        if (name := getattr(recipe, part).name) != getattr(usual, part).name:
            found += [f"--{part}", name]
    for name in import_paths(recipe):
        found += [OPTION, name]
    if direction := recipe.hypergradient.options.get("direction"):
        found += ["--direction", str(direction)]
    if recipe.prior_share == 0 and recipe.reversed_share == 0:
        found += ["--contrasts", "random"]
    for field, option in NUMBERS.items():
        if (value := getattr(recipe, field)) != getattr(usual, field):
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
