"""What is compared: a method, `learn2synth:AUGMENTER`, or one of the forms of learn2synth that have a name here.

With @ and fractions it learns from other families of images, with ^ and an aim the same training is used for that.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from l2s_auto.core.component import Component
from l2s_auto.core.composition import parsed, uniform
from l2s_auto.core.dial import AIMS, Aim
from l2s_auto.core.errors import UserError
from l2s_auto.core.recipe import Recipe
from l2s_auto.core.shell import command_line
from l2s_auto.planning.choices import Choices
from l2s_auto.report.commands import choices_of, options_of
from l2s_auto.training.checks import check_recipe
from l2s_auto.training.home import home_of
from l2s_auto.training.methods import METHODS

USUAL = ("learn2synth", "synthseg", "supervised", "mixed", "finetuned", "advchain")
RANDOM = {"families": uniform(), "home": 0.0}
#: Names what a model is chosen for: `learn2synth^home`.
AIM_OF = "^"
#: Names a variant's own fractions of the families: `learn2synth@real-like=0.5,random-curve=0.5`.
FAMILIES_OF = "@"
#: Forms of learn2synth. -random: random contrasts alone, as in the paper; theta is the scanner of all of them. -paper:
#: the paper's algorithm as it stands there, with a hyper-step on every iteration from the first on, and Dice, too.
FORMS: dict[str, dict[str, Any]] = {
    "learn2synth-random": RANDOM,
    "learn2synth-paper": {**RANDOM, "hyper_every": 1, "warm_up": 0.0, "loss": Component(name="dice")},
}


def variant_and_aim(variant: str) -> tuple[str, Aim | None]:
    """The variant that is trained, and what its model is chosen for; None: what it is by itself. UserError."""
    name, mark, aim = variant.partition(AIM_OF)
    if not mark:
        return name, None
    known = next((one for one in AIMS if one == aim), None)
    if known is None:
        raise UserError.single(
            "A model cannot be chosen for that.",
            where="--methods",
            found=repr(variant),
            expected=f"{name}{AIM_OF} with {', '.join(AIMS)}",
            mend="Correct the name.",
        )
    return name, known


def recipe_of(variant: str, **options: Any) -> Recipe:
    """The recipe of a variant's name. UserError if there is none, or its parts cannot be."""
    variant, aim = variant_and_aim(variant)
    if aim is not None:
        options["aim"] = aim
    variant, _, families = variant.partition(FAMILIES_OF)
    if families:
        try:
            options["families"] = parsed(families)
        except ValueError as error:
            raise UserError.single(
                "The experiment cannot be done with such images.",
                where=f"--methods {variant}{FAMILIES_OF}…",
                found=families,
                expected=str(error),
                mend="Correct the fractions.",
            ) from error
    method, _, augmenter = variant.partition(":")
    if method not in {*FORMS, *METHODS} or variant.endswith(":"):
        raise UserError.single(
            "The experiment has no such method.",
            where="--methods",
            found=repr(variant),
            expected=f"among {', '.join((*METHODS, *FORMS))}, or learn2synth:AUGMENTER",
            mend="Correct the name.",
        )
    if augmenter:
        options["augmenter"] = Component(name=augmenter)
    if method in FORMS:
        method, options = "learn2synth", {**FORMS[method], **options}
    recipe = Recipe(method=Component(name=method), **options)
    if aim is not None and not home_of(METHODS[method](), recipe):
        raise UserError.single(
            "The method gives one end only, so that there is nothing to choose.",
            where="--methods",
            found=repr(f"{variant}{AIM_OF}{aim}"),
            expected=f"{method} alone, or a method with a home phase, such as learn2synth{AIM_OF}{aim}",
            mend="Correct the name.",
        )
    if augmenter and METHODS[method]().augmenter() is not None:
        raise UserError.single(
            "The method has an augmentation of its own.",
            where="--methods",
            found=repr(variant),
            expected=f"{method} alone; a method that learns theta may have another augmenter: learn2synth:{augmenter}",
            mend="Correct the name.",
        )
    check_recipe(recipe)
    return recipe


def command_of(variant: str, data: Path, choices: Choices | None = None) -> str:
    """How one trains it for use; empty for what exists in experiments alone."""
    if variant == "learn2synth-paper":
        return ""
    options = [*options_of(recipe_of(variant)), *choices_of(choices or Choices())]
    return command_line(["l2s_plan_and_train", data, *options])
