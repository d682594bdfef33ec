"""Dice on held-out cases while training, and all metrics on their own grids at the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from l2s_auto.core.plan import Fingerprint
from l2s_auto.core.protocols import Network, Params
from l2s_auto.core.surface_dice import TOLERANCE
from l2s_auto.core.types import Case
from l2s_auto.evaluation.appearance import AS_THEY_ARE, changed
from l2s_auto.evaluation.metrics import evaluate_case, summarise
from l2s_auto.evaluation.overlap import dice
from l2s_auto.evaluation.surface_distance import tolerance_of
from l2s_auto.inference.calibration import calibrate
from l2s_auto.inference.ensemble import windowing_of
from l2s_auto.inference.model_zip import CALIBRATION
from l2s_auto.inference.pieces import keep_largest, pieces_of
from l2s_auto.inference.qc import Scores
from l2s_auto.inference.sliding_window import (
    Windowing,
    slab_axis,
    sliding_window_classes,
    sliding_window_slabs,
)
from l2s_auto.io.json_files import write_json
from l2s_auto.io.volumes import read_label_map
from l2s_auto.networks import call
from l2s_auto.networks.precision import keep_first_block_precise
from l2s_auto.preprocessing.pipeline import prepare, restore_slabs
from l2s_auto.preprocessing.read import read_image
from l2s_auto.preprocessing.store import StoredCase
from l2s_auto.synthesis.classes import target_of
from l2s_auto.training.build import Parts

#: Cases that are looked at while training goes on; all of them are at the end.
LOOKED_AT = 12

#: Value of a label -> the Dice that the network expects of it, and the one that it reaches.
Expected = dict[int, tuple[float | None, float | None]]
#: Value of a label -> by how much its Dice rises where its largest piece alone is kept.
Alone = dict[int, float]


def network_with(parts: Parts, phi: Params) -> Network:
    """The network with the weights phi, in the device's fast precision, as it predicts."""
    network = parts.network
    if parts.autocast is not None:
        network = keep_first_block_precise(deepcopy(network))

    @torch.no_grad()
    def run(image: torch.Tensor) -> torch.Tensor:
        with torch.autocast(parts.device.type, dtype=parts.autocast, enabled=parts.autocast is not None):
            return call(network, phi, image).float()

    return run


def shown(parts: Parts, image: np.ndarray) -> tuple[torch.Tensor, Windowing]:
    """(C, *S) image on the plan's grid -> what the network sees, of a cascade with what the first finds; and how."""
    plan = parts.plan
    if plan.low_resolution is not None:
        assert parts.context is not None, "a cascade is validated once its first network is trained"
        image = np.concatenate([image, parts.context(image)])
    windowing = windowing_of(plan, image.shape[1:], device=parts.device)
    # In which precision the network computes is its own matter here.
    return torch.from_numpy(image), replace(windowing, bfloat16=False)


def mean_dice(parts: Parts, phi: Params, cases: Sequence[StoredCase]) -> float | None:
    """Mean Dice over labels and some of the held-out cases, on the preprocessed grid; None if there are none.

    The processes of a team share the cases; each has the result.
    """
    targets = target_of(parts.plan.generation)
    network = network_with(parts, phi)
    scores: list[float] = []
    for case in parts.team.some_of(evenly(cases, LOOKED_AT)):
        found = sliding_window_classes([network], *shown(parts, np.array(case.image)))
        prediction, reference = found.numpy(), targets[np.asarray(case.enriched)]
        prediction[reference == len(parts.plan.labels)] = 0  # nobody labelled what is there
        values = (dice(prediction == k, reference == k) for k in range(1, len(parts.plan.labels)))
        scores += [value for value in values if value is not None]
    scores = parts.team.gather(scores)
    return float(np.mean(scores)) if scores else None


def evenly(cases: Sequence[Any], count: int) -> list[Any]:
    """At most `count` of the cases, evenly spread over their order."""
    if len(cases) <= count:
        return list(cases)
    return [cases[i] for i in np.linspace(0, len(cases) - 1, count).round().astype(int)]


def validate_fold(
    parts: Parts,
    phi: Params,
    cases: Sequence[Case],
    folder: Path,
    *,
    fingerprint: Fingerprint,
    progress: Callable[[int, int], None],
) -> dict:
    """Predict held-out cases on their own grids and write metrics.json and calibration.json; returns the metrics.

    folder       of the fold; metrics.json stands in `validation` there
    fingerprint  tells which volumes are usual
    The processes of a team share the cases; the leader writes.
    """
    results: list[dict] = []
    seen: list[tuple[Expected, Alone]] = []
    notes: list[str] = []
    mine = parts.team.some_of(cases)
    network = network_with(parts, phi)
    for number, case in enumerate(mine):
        if case.images and case.label is not None:
            scores, expected, alone = segment_and_compare(parts, network, case)
            results.append({"case": case.id, TOLERANCE: tolerance_of(case.label), "labels": scores})
            seen.append((expected, alone))
        progress(number + 1, len(mine))
    order = {case.id: number for number, case in enumerate(cases)}
    seen = parts.team.gather(seen)
    results = sorted(parts.team.gather(results), key=lambda result: order[result["case"]])
    if not cases:
        notes.append("no case was held out, so there is nothing to validate on")
    elif not results:
        notes.append("the held-out cases have no images")
    metrics = summarise(results)
    metrics["notes"] = notes + metrics["notes"]
    if parts.team.leader:
        write_json(folder / "validation" / "metrics.json", metrics)
        known = [case for case in fingerprint.cases if case.id not in order]
        values = [value for value in parts.plan.label_values if value != 0]
        volumes = {v: [case.label_volume[v] for case in known if v in case.label_volume] for v in values}
        pieces = {v: [case.label_pieces[v] for case in known if v in case.label_pieces] for v in values}
        expectations, rises = [one for one, _ in seen], [one for _, one in seen]
        write_json(folder / CALIBRATION, calibrate(expectations, volumes, pieces, rises))
    return metrics


def segment_and_compare(
    parts: Parts, network: Network, case: Case, *, appearance: str = AS_THEY_ARE
) -> tuple[dict, Expected, Alone]:
    """Metrics of one case in some appearance, on the grid of its label map; of each label the Dice that is expected
    and reached, and by how much it rises where its largest piece alone is kept.
    """
    plan = parts.plan
    assert case.label is not None
    volume = read_image(case)
    volume = replace(volume, data=changed(volume.data, appearance))
    prepared = prepare(volume, plan)
    image, windowing = shown(parts, prepared.image)
    axis = slab_axis(image.shape[1:], plan.patch)
    slabs = sliding_window_slabs([network], image, windowing, axis=axis)
    tally = Scores(len(plan.labels))
    prediction = restore_slabs(tally.noting(slabs), prepared.geometry, plan, axis=axis)
    reference, _ = read_label_map(case.label)
    names = {label.value: label.name for label in plan.labels}
    metrics = evaluate_case(prediction, reference, volume.spacing, names, regions=plan.regions, ignore=plan.ignore)
    pieces = pieces_of(prediction)
    if plan.ignore is not None:
        prediction = np.where(reference == plan.ignore, 0, prediction)
    means = zip(plan.label_values, tally.means(), strict=True)
    expected = {v: (mean, dice(prediction == v, reference == v)) for v, mean in means if v != 0}
    alone: Alone = {}
    for value, (_, reached) in expected.items():
        if reached is None or value not in pieces.of:
            continue
        alone[value] = 0.0
        if len(pieces.of[value]) > 1:
            largest = prediction.copy()
            keep_largest(largest, pieces, [value])
            alone[value] = (dice(largest == value, reference == value) or 0.0) - reached
    return metrics, expected, alone
