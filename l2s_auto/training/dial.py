"""The dial after a training: both ends are kept, and the point between them is chosen on validation cases."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from l2s_auto.core.dial import DIAL, ENDS, GENERAL, HOME, Aim, Dial
from l2s_auto.core.protocols import Network, Params
from l2s_auto.core.types import Case, TrainState
from l2s_auto.evaluation.appearance import APPEARANCES, AS_THEY_ARE, changed
from l2s_auto.evaluation.dial import settle, unmeasured
from l2s_auto.evaluation.overlap import dice
from l2s_auto.inference.box import Box, agreement, box_of, is_complete
from l2s_auto.inference.box import look as look_at
from l2s_auto.inference.ends import between
from l2s_auto.inference.sliding_window import Windowing, sliding_window_classes
from l2s_auto.io.json_files import write_json
from l2s_auto.networks import parameters, save_weights
from l2s_auto.preprocessing.pipeline import prepare
from l2s_auto.preprocessing.read import read_image
from l2s_auto.preprocessing.repair import repaired
from l2s_auto.preprocessing.store import StoredCase
from l2s_auto.synthesis.classes import target_of
from l2s_auto.training.build import Parts
from l2s_auto.training.choosing import Chosen
from l2s_auto.training.deep_supervision import of_network
from l2s_auto.training.validate import evenly, network_with, shown

#: Fraction of the training's time that the choice may take.
MOST_TIME = 0.1
#: Points that are measured, and those where time is short.
POINTS, FEW_POINTS = (0.0, 0.25, 0.5, 0.75, 1.0), (0.0, 0.5, 1.0)
#: Validation cases that are looked at, at most; below which fewer points are measured, and below which none is.
MOST_CASES, ENOUGH_CASES, FEWEST_CASES = 24, 8, 2
LOGGER = logging.getLogger("l2s_auto")

#: Point -> case -> appearance -> Dice.
Table = dict[float, dict[str, dict[str, float]]]


@dataclass(frozen=True)
class Held:
    """A validation case: its files, and its label map on the plan's grid."""

    case: Case
    stored: StoredCase


def choose_point(
    parts: Parts,
    state: TrainState,
    cases: Sequence[Held],
    folder: Path,
    *,
    aim: Aim,
    progress: Callable[[int, int], None],
) -> Chosen:
    """Write ends.safetensors, dial.json and weights.safetensors into the fold's folder -> what predicts.

    The processes of a team share the cases; the main one writes. A training without general weights of its own has one
    end: nothing is written, and its weights predict.
    """
    if not state.general:
        if parts.team.leader and aim != "both":
            LOGGER.warning(
                "Warning: the training was too short for a home phase: the model has one end, and --aim %s changes "
                "nothing.",
                aim,
            )
        return Chosen(of_network(state.phi))
    general, home = of_network(state.general["phi"]), of_network(state.phi)
    dial = measured(parts, general, home, cases, aim=aim, seconds=MOST_TIME * state.seconds, progress=progress)
    phi = between(general, home, dial.a)
    if parts.team.leader:
        rest = parameters(parts.network)  # frozen weights are no part of the state, yet of what predicts
        ends = {
            f"{prefix}{name}": value.detach().clone()  # tensors of a file share no memory
            for prefix, end in ((GENERAL, general), (HOME, home))
            for name, value in {**rest, **end}.items()
        }
        save_weights(ends, folder / ENDS)
        save_weights({**rest, **phi}, folder / "weights.safetensors")
        write_json(folder / DIAL, dial)
    if dial.aim == "each" and dial.threshold is not None:
        return Chosen(phi, general, dial.threshold)
    return Chosen(phi)


def measured(
    parts: Parts,
    general: Params,
    home: Params,
    cases: Sequence[Held],
    *,
    aim: Aim,
    seconds: float,
    progress: Callable[[int, int], None],
) -> Dial:
    """The dial, from Dice of validation cases as they are and changed, at points between the ends.

    seconds  that measuring may take
    """
    if not cases:
        return unmeasured(aim, why="no case with a scan was held out")
    first = cases[0]
    taken = parts.team.from_leader(lambda: seconds_of_one(parts, general, first, most=seconds / 2))
    points, count = affordable(taken, seconds, processes=parts.team.size)
    if count < FEWEST_CASES:
        why = f"{FEWEST_CASES} validation cases would take longer than {100 * MOST_TIME:g} % of the training's time"
        return unmeasured(aim, why=why)
    some = evenly(cases, count)
    networks = {a: network_with(parts, between(general, home, a)) for a in points}
    rows: list[tuple[float, str, str, float | None, float]] = []
    mine = parts.team.some_of(some)
    for number, held in enumerate(mine):
        for appearance in APPEARANCES:
            rows += [(a, held.case.id, appearance, *found) for a, found in look(parts, networks, held, appearance)]
        progress(number + 1, len(mine))
    dices: Table = {a: {} for a in points}
    agreements: Table = {a: {} for a in points if a > 0}
    for a, case, appearance, reached, agreed in parts.team.gather(rows):
        if reached is not None:
            dices[a].setdefault(case, {})[appearance] = reached
        if a > 0:
            agreements[a].setdefault(case, {})[appearance] = agreed
    return settle(dices, agreements, aim=aim)


def affordable(taken: float, seconds: float, *, processes: int) -> tuple[tuple[float, ...], int]:
    """Points to measure, and the number of cases that the time suffices for; a look at a scan takes `taken` seconds."""
    for points in (POINTS, FEW_POINTS):
        count = int(processes * seconds / (taken * len(points) * len(APPEARANCES)))
        if count >= ENOUGH_CASES:
            break
    return points, min(count, MOST_CASES)


def seconds_of_one(parts: Parts, phi: Params, held: Held, *, most: float) -> float:
    """What a look at a scan takes: the second one, since the first fills caches, unless that took more than `most`."""
    network, taken = {0.0: network_with(parts, phi)}, 0.0
    for _ in range(2):
        started = time.monotonic()
        list(look(parts, network, held, AS_THEY_ARE))
        taken = max(time.monotonic() - started, 1e-4)
        if taken > most:
            break
    return taken


def look(
    parts: Parts, networks: dict[float, Network], held: Held, appearance: str
) -> Iterator[tuple[float, tuple[float | None, float]]]:
    """For each point: Dice with the reference (None: undefined), and the agreement with the first point, on the plan's
    grid.

    The agreement is measured as in prediction (`inference/box.py`). So is that of the first point with itself, so that
    each point takes as long.
    """
    plan = parts.plan
    volume = repaired(read_image(held.case), plan.normalisation)
    volume = replace(volume, data=changed(volume.data, appearance))
    reference = target_of(plan.generation)[np.asarray(held.stored.enriched)]
    image, windowing = shown(parts, prepare(volume, plan).image)
    general = None
    for a, network in networks.items():
        found = sliding_window_classes([network], image, windowing).numpy()
        general = _General(network, image, windowing, found.copy()) if general is None else general
        agreed = general.agreement(found)
        found[reference == len(plan.labels)] = 0  # nobody labelled what is there
        yield a, (mean_overlap(found, reference, len(plan.labels)), agreed)


class _General:
    """What the general weights find in one scan: everywhere, and in boxes at which they look.

    complete  (*S) their classes
    """

    def __init__(self, network: Network, image: torch.Tensor, windowing: Windowing, complete: np.ndarray) -> None:
        self.network, self.image, self.windowing, self.complete = network, image, windowing, complete
        self.box: Box | None = None
        self.seen = complete

    def agreement(self, found: np.ndarray) -> float:
        """(*S) classes of other weights -> agreement with them, as prediction measures it."""
        box = box_of(found, self.windowing.patch, labels=self.windowing.classes)
        if box != self.box:  # neighbouring points often have the same
            self.box, self.seen = box, self._look(box)
        return agreement(found[box], self.seen, labels=self.windowing.classes)

    def _look(self, box: Box) -> np.ndarray:
        if is_complete(box, self.complete.shape, self.windowing):
            return self.complete
        return look_at([self.network], self.image, self.windowing, box).values


def mean_overlap(one: np.ndarray, other: np.ndarray, classes: int) -> float | None:
    """Mean Dice over the labels; None where both have none."""
    values = [value for k in range(1, classes) if (value := dice(one == k, other == k)) is not None]
    return float(np.mean(values)) if values else None
