"""Dice on held-out cases while training, and all metrics on their own grids at the end."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from statistics import fmean
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
from l2s_auto.networks.precision import keep_first_block_precise, right_in_bfloat16
from l2s_auto.preprocessing.geometry import Geometry
from l2s_auto.preprocessing.pipeline import prepare, restore_slabs
from l2s_auto.preprocessing.read import read_image
from l2s_auto.preprocessing.repair import repaired
from l2s_auto.preprocessing.store import StoredCase
from l2s_auto.report.verdict import SYNTHETIC
from l2s_auto.synthesis.classes import target_of
from l2s_auto.training.build import Parts
from l2s_auto.training.deep_supervision import of_network
from l2s_auto.training.imagined import IMAGES, ImaginedCase, imagined

#: Cases that are looked at while training goes on; all of them are at the end.
LOOKED_AT = 12
#: Voxels of the synthetic images that are drawn for a look, at most: drawing takes longer than a look should.
VOXELS_DRAWN = 40_000_000

#: (C, *S) image, how windows are run -> the network that segments it.
Choose = Callable[[torch.Tensor, Windowing], Network]
#: Value of a label -> the Dice that the network expects of it, and the one that it reaches.
Expected = dict[int, tuple[float | None, float | None]]
#: Value of a label -> by how much its Dice rises where its largest piece alone is kept.
Alone = dict[int, float]


def network_with(parts: Parts, phi: Params) -> Network:
    """The network with the weights phi, in the device's fast precision, as it predicts."""
    network = parts.network
    if parts.autocast is not None:
        network = keep_first_block_precise(deepcopy(network))

    own = of_network(phi)

    @torch.no_grad()
    def run(image: torch.Tensor) -> torch.Tensor:
        right = right_in_bfloat16(image.shape[2:], parts.device, parts.plan.topology, differentiated=False)
        with torch.autocast(parts.device.type, dtype=parts.autocast, enabled=parts.autocast is not None and right):
            return call(network, own, image).float()

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


def to_check(parts: Parts, held_out: Sequence[StoredCase]) -> list[StoredCase | ImaginedCase]:
    """What Dice is measured on during training: held-out cases, and synthetic images of label maps without images."""
    drawn = imagined(parts, held_out)
    largest = max((math.prod(case.enriched.shape) for case in held_out), default=1)
    few = evenly(drawn, max(IMAGES, VOXELS_DRAWN // largest))
    return [*(case for case in held_out if case.image is not None), *few]


def mean_dice(parts: Parts, phi: Params, cases: Sequence[StoredCase | ImaginedCase]) -> float | None:
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
    choose: Choose,
    cases: Sequence[Case],
    folder: Path,
    *,
    fingerprint: Fingerprint,
    progress: Callable[[int, int], None],
    stored: Sequence[StoredCase] = (),
) -> dict:
    """Predict held-out cases on their own grids and write metrics.json and calibration.json; returns the metrics.

    folder       of the fold; metrics.json stands in `validation` there
    fingerprint  tells which volumes are usual
    stored       the cases as they are preprocessed: label maps without images are segmented in synthetic images of them
    The processes of a team share the cases; the leader writes.
    """
    results: list[dict] = []
    seen: list[tuple[Expected, Alone]] = []
    notes: list[str] = []
    mine = parts.team.some_of(cases)
    known = {case.id: case for case in stored}
    for number, case in enumerate(mine):
        found = None
        if case.images and case.label is not None:
            found = segment_and_compare(parts, choose, case)
        elif case.label is not None and case.id in known:
            found = segment_imagined(parts, choose, case, known[case.id])
        if found is not None and case.label is not None:
            results.append({"case": case.id, TOLERANCE: tolerance_of(case.label), "labels": found[0]})
            seen.append(found[1:])
        progress(number + 1, len(mine))
    order = {case.id: number for number, case in enumerate(cases)}
    seen = parts.team.gather(seen)
    results = sorted(parts.team.gather(results), key=lambda result: order[result["case"]])
    if not cases:
        notes.append("no case was held out, so there is nothing to validate on")
    elif not results:
        notes.append("the held-out cases have no images")
    drawn = sum(1 for case in cases if not case.images and case.id in {result["case"] for result in results})
    if drawn:
        notes.append(
            f"measured on synthetic images of {drawn} held-out label maps, {IMAGES} of each; not on real scans"
        )
    metrics = summarise(results)
    metrics["notes"] = notes + metrics["notes"]
    if drawn:
        metrics |= {"images": SYNTHETIC, "images_a_case": IMAGES}
    if parts.team.leader:
        write_json(folder / "validation" / "metrics.json", metrics)
        usual = [case for case in fingerprint.cases if case.id not in order]
        values = [value for value in parts.plan.label_values if value != 0]
        volumes = {v: [case.label_volume[v] for case in usual if v in case.label_volume] for v in values}
        pieces = {v: [case.label_pieces[v] for case in usual if v in case.label_pieces] for v in values}
        expectations, rises = [one for one, _ in seen], [one for _, one in seen]
        write_json(folder / CALIBRATION, calibrate(expectations, volumes, pieces, rises))
    return metrics


def segment_and_compare(
    parts: Parts, choose: Choose, case: Case, *, appearance: str = AS_THEY_ARE
) -> tuple[dict, Expected, Alone]:
    """Metrics of one case in some appearance, on the grid of its label map; of each label the Dice that is expected
    and reached, and by how much it rises where its largest piece alone is kept.
    """
    volume = repaired(read_image(case), parts.plan.normalisation)  # before its appearance is changed
    assert case.label is not None
    reference, _ = read_label_map(case.label)
    volume = replace(volume, data=changed(volume.data, appearance, spacing=volume.spacing, labels=reference))
    prepared = prepare(volume, parts.plan)
    return compare(parts, choose, prepared.image, prepared.geometry, reference, spacing=volume.spacing)


def segment_imagined(parts: Parts, choose: Choose, case: Case, stored: StoredCase) -> tuple[dict, Expected, Alone]:
    """The same of a label map without an image: means over synthetic images of it.

    What is gained where small pieces are left out is not taken from them: that changes segmentations of real scans,
    in which the pieces may be others.
    """
    assert case.label is not None and stored.geometry is not None
    reference, affine = read_label_map(case.label)
    x, y, z = (float(edge) for edge in np.linalg.norm(affine[:3, :3], axis=0))
    found = [
        compare(parts, choose, drawn.image, stored.geometry, reference, spacing=(x, y, z))
        for drawn in imagined(parts, [stored])
    ]
    scores = {
        name: {metric: _mean(one[name][metric] for one, _, _ in found) for metric in row}
        for name, row in found[0][0].items()
    }
    expected = {
        value: (_mean(one[value][0] for _, one, _ in found), _mean(one[value][1] for _, one, _ in found))
        for value in found[0][1]
    }
    return scores, expected, {}


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def compare(
    parts: Parts,
    choose: Choose,
    image: np.ndarray,
    geometry: Geometry,
    reference: np.ndarray,
    *,
    spacing: Sequence[float],
) -> tuple[dict, Expected, Alone]:
    """What `segment_and_compare` gives, of a (C, *S) image on the plan's grid and a label map on its own.

    spacing  of the label map, mm
    """
    plan = parts.plan
    seen, windowing = shown(parts, image)
    axis = slab_axis(seen.shape[1:], plan.patch)
    slabs = sliding_window_slabs([choose(seen, windowing)], seen, windowing, axis=axis)
    tally = Scores(len(plan.labels))
    prediction = restore_slabs(tally.noting(slabs), geometry, plan, axis=axis)
    names = {label.value: label.name for label in plan.labels}
    metrics = evaluate_case(prediction, reference, spacing, names, regions=plan.regions, ignore=plan.ignore)
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
