"""Recipes in files, which may come from anybody: they name registered parts, or code that the user trusts."""

from __future__ import annotations

from pathlib import Path

from l2s_auto.core.component import problem_of
from l2s_auto.core.errors import Offence, UserError
from l2s_auto.core.recipe import Recipe
from l2s_auto.core.registered import REGISTERED
from l2s_auto.io.json_files import read_model


def read_recipe(path: Path) -> Recipe:
    """The recipe in a file. Nothing is imported. Raises UserError for one that is damaged, or names other parts."""
    recipe = read_model(path, Recipe)
    if problems := problems_of(recipe, where=str(path)):
        raise UserError("The recipe names parts that l2s_auto does not have.", problems)
    return recipe


def problems_of(recipe: Recipe, *, where: str) -> list[Offence]:
    """What a recipe names that is neither registered nor code that the user trusts on this call."""
    problems = []
    for field, registered in REGISTERED.items():
        name = getattr(recipe, field).name
        names = name.split("+") if field == "augmenter" else [name]
        found = (problem_of(one, registered, where=f"{where}, field {field}.name") for one in names)
        problems += [problem for problem in found if problem is not None]
    return problems
