"""One fold, from its cases to a validated model: train, choose the point between its ends, validate."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from l2s_auto.core.composition import AT_HOME, in_words
from l2s_auto.core.dial import DIAL, ENDS
from l2s_auto.core.recipe import Recipe
from l2s_auto.core.types import Case, TrainState
from l2s_auto.inference.model_zip import LOW_RESOLUTION
from l2s_auto.io.atomic import sweep
from l2s_auto.io.json_files import write_json
from l2s_auto.io.ownership import remove
from l2s_auto.networks.device import fast_dtype
from l2s_auto.preprocessing.store import StoredCase
from l2s_auto.training.appearances import validate_appearances
from l2s_auto.training.build import Parts, build_parts, initial_state
from l2s_auto.training.checkpoint import load_checkpoint
from l2s_auto.training.choosing import Chooser
from l2s_auto.training.dial import MOST_TIME, Held, choose_point
from l2s_auto.training.home import Phases, back_to_general, phases_of
from l2s_auto.training.loop import Limits, train
from l2s_auto.training.methods import Method
from l2s_auto.training.options import Options
from l2s_auto.training.outcome import tell_fold
from l2s_auto.training.prepare import Prepared
from l2s_auto.training.run_folder import RunFolder
from l2s_auto.training.show import progress_to
from l2s_auto.training.threads import report_threads
from l2s_auto.training.transfer import restore_frozen, transfer_weights
from l2s_auto.training.validate import mean_dice, to_check, validate_fold

LOGGER = logging.getLogger("l2s_auto")
Context = Callable[[np.ndarray], np.ndarray]


def train_fold(
    name: str,
    prepared: Prepared,
    recipe: Recipe,
    method: Method,
    options: Options,
    *,
    context: Context | None = None,
) -> None:
    """Train and validate one fold.

    context  what a cascade's first network finds in an image, where this is the second
    """
    plan, run, stored, team = prepared.plan, prepared.run, prepared.stored(), options.team
    learned_from, held_out = divide(name, prepared)
    learn = [case for case in stored if case.id in learned_from]
    left_out = [case for case in stored if case.id in held_out]
    parts = build_parts(
        plan,
        recipe,
        learn,
        method=method,
        device=options.device,
        autocast=fast_dtype(options.device),
        team=team,
        context=context,
    )
    check = to_check(parts, left_out)
    phases = phases_of(method, recipe, has_images=all(case.image is not None for case in learn))
    limits = limits_of(parts, phases, checked=bool(check))
    state = first_state(name, parts, phases, limits, run, options)
    report_threads(state, team, seed=recipe.seed)
    LOGGER.info("Fold %s: %d cases to learn from, %d held out", name, len(learn), len(held_out))
    LOGGER.info("Training images: %s", told_images(parts, phases))
    if team.leader:
        for place in (run.path, run.fold(name), run.fold(name) / "checkpoint"):
            sweep(place)
        for file in (DIAL, ENDS):  # of the training so far: they are written again at its end
            remove(run.fold(name) / file)
        write_json(run.plan_of_fold(name), plan)
    state = train(
        parts,
        phases,
        state,
        folder=run.fold(name),
        limits=limits,
        validate=functools.partial(mean_dice, parts, cases=check),
        title=f"Fold {name}",
    )
    cases = [case for case in prepared.dataset.cases if case.id in held_out]
    validate(name, prepared, parts, state, cases, left_out, appearances=options.appearances)


def limits_of(parts: Parts, phases: Phases, *, checked: bool) -> Limits:
    """When the training ends; with two ends and cases to check them on, a point is chosen after it."""
    recipe = parts.recipe
    return Limits(
        iterations=recipe.iterations or (None if recipe.time_budget else parts.plan.iterations),
        time_budget=recipe.time_budget,
        after=MOST_TIME if phases.home and checked else 0.0,
    )


def told_images(parts: Parts, phases: Phases) -> str:
    """What the network learns from, and for how long."""
    families = in_words(parts.generator.composition.fractions)
    if not phases.home:
        return families
    return f"{families}; then, in the last {100 * phases.home:.3g} % of the training, {in_words(AT_HOME)} (home phase)"


def divide(name: str, prepared: Prepared) -> tuple[set[str], set[str]]:
    """Names of the cases to learn from, and of the validation cases."""
    ids = {case.id for case in prepared.dataset.cases}
    if name == "all":
        return ids, set()
    split = prepared.splits[int(name)]
    learned_from, held_out = set(split["train"]), set(split["val"])
    assert not held_out & learned_from, "a validation case is never learned from"
    return learned_from, held_out


def first_state(
    name: str, parts: Parts, phases: Phases, limits: Limits, run: RunFolder, options: Options
) -> TrainState:
    """What the training starts from: fresh weights, those of another model, or its checkpoint."""
    state = initial_state(parts)
    if options.init is not None:
        taken, left = transfer_weights(state, parts.network, options.init, device=str(options.device))
        LOGGER.info(
            "From %s: %d tensors taken; %d left: %s", options.init, len(taken), len(left), ", ".join(left) or "none"
        )
    if options.resume and run.resumable(name):
        state = load_checkpoint(run.fold(name) / "checkpoint", options.device)
        if not phases.is_home(limits.progress(state)):
            state = back_to_general(state)
        restore_frozen(parts.network, run.fold(name) / "weights.safetensors")
        LOGGER.info("Fold %s goes on from iteration %d", name, state.step)
    return state


def validate(
    name: str,
    prepared: Prepared,
    parts: Parts,
    state: TrainState,
    cases: Sequence[Case],
    stored: Sequence[StoredCase],
    *,
    appearances: bool,
) -> None:
    """Choose the weights that predict on the validation cases, and measure all of these with them.

    stored       the cases as they are preprocessed
    appearances  whether they are measured with changed appearances too
    """
    folder: Path = prepared.run.fold(name)
    leader = parts.team.leader

    def bar(title: str) -> Callable[[int, int], None]:
        return progress_to(title) if leader else lambda done, total: None

    known = {case.id: case for case in stored}
    held = [Held(case, known[case.id]) for case in cases if case.images and case.label is not None]
    chosen = choose_point(parts, state, held, folder, aim=parts.recipe.aim, progress=bar("Choosing the weights"))
    choose = Chooser(parts, chosen)
    validate_fold(
        parts, choose, cases, folder, fingerprint=prepared.fingerprint, progress=bar("Validating"), stored=stored
    )
    if leader:
        tell_fold(name, folder, cascade=prepared.run.path.name == LOW_RESOLUTION)
    if appearances:
        validate_appearances(parts, choose, cases, folder, progress=bar("Changing appearances"))
