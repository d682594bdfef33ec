"""What a training says at its end: how good the model is, what to mind, and what to do next."""

from __future__ import annotations

import logging
from pathlib import Path

from l2s_auto.core.plan import Plan
from l2s_auto.core.recipe import Recipe
from l2s_auto.report.abilities import abilities, dials_of
from l2s_auto.report.verdict import verdict_of
from l2s_auto.training.remaining_time import told_seconds

LOGGER = logging.getLogger("l2s_auto")


def tell_fold(name: str, folder: Path, *, cascade: bool = False) -> None:
    """Say what a validated fold has become; a model that finds nothing is a warning, and no success.

    cascade  whether it is the first of two networks
    """
    verdict = verdict_of(folder)
    if verdict is None:
        LOGGER.warning("Warning: fold %s was not validated: %s cannot be read.", name, folder / "validation")
        return
    what = f"Fold {name}, first of two networks" if cascade else f"Fold {name}"
    if verdict.dice is not None:
        level, start = (logging.WARNING, "Warning: ") if verdict.useless else (logging.INFO, "")
        LOGGER.log(level, "%s%s: mean Dice %s", start, what, verdict.measured)
    for warning in verdict.warnings:
        LOGGER.warning("Warning: %s: %s", what, warning)
    for note in verdict.notes:
        LOGGER.info("Note: %s: %s", what, note)
    if not verdict.useless:
        for sentence in abilities(dials_of([folder])):
            LOGGER.info("%s: %s", what, sentence)


def last_words(run: Path, folds: list[str]) -> None:
    """The last lines of the log: what folds reach together, where the report is, and which are not to be used."""
    dials = dials_of(run / f"fold_{name}" for name in folds)
    for sentence in abilities(dials) if len(dials) > 1 else ():
        LOGGER.info("%d folds together: %s", len(dials), sentence)
    LOGGER.info("Report: %s", run / "report.html")
    found = [(name, verdict) for name in folds if (verdict := verdict_of(run / f"fold_{name}")) is not None]
    useless = [name for name, verdict in found if verdict.useless]
    poor = [name for name, verdict in found if verdict.poor and not verdict.useless]
    nothing = "finds (almost) nothing on the validation cases. Do not use it."
    for what, names in ((nothing, useless), ("is poor.", poor)):
        if names:
            which = "the model" if len(folds) == 1 else f"the model of fold {', '.join(names)}"
            LOGGER.warning("Warning: the training has ended, but %s %s", which, what)


def tell_length(recipe: Recipe, plan: Plan, *, folds: int, cascade: bool) -> None:
    """Say how long the training takes at most, and what of: each fold has the whole budget."""
    each = f"for each of {folds} folds" if folds > 1 else "in all"
    together = ", which the two networks of the cascade share" if cascade else ""
    if recipe.time_budget is not None:
        LOGGER.info(
            "Training: at most %s %s (--time-budget)%s. Validation at the end comes on top.",
            told_seconds(recipe.time_budget),
            each,
            together,
        )
        return
    count = recipe.iterations or plan.iterations
    networks = " of each of the two networks" if cascade else ""
    LOGGER.info("Training: %s iterations%s %s.", f"{count:,}", networks, each)
