"""The metrics of a case and of many cases, in the form of metrics.json."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, median
from typing import Any

import numpy as np

from l2s_auto.core.digits import shown
from l2s_auto.core.surface_dice import TOLERANCE
from l2s_auto.evaluation.overlap import dice, volume_error
from l2s_auto.evaluation.surface_distance import surface_metrics, voxel_tolerance

METRICS = ("dice", "hd95_mm", "nsd_1mm", "nsd", "volume_error")

Scores = dict[str, float | None]


def evaluate_case(
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing: Sequence[float],
    labels: Mapping[int, str],
    *,
    regions: Mapping[str, Sequence[int]] | None = None,
    ignore: int | None = None,
) -> dict[str, Scores]:
    """(X, Y, Z) integer label maps, voxel edges in mm, value -> name: the METRICS of each label but background (0).

    nsd_1mm has a tolerance of 1 mm, nsd that of `voxel_tolerance`: one voxel, so that it says as much about a mouse as
    about a person.

    regions  name -> values that make it up together: if there are any, they are scored instead
    ignore   value of the reference's voxels that do not count: both are background there

    | what is empty  | dice | hd95_mm | nsd_1mm, nsd | volume_error |
    | both           | None | None    | None         | None         |
    | the reference  | 0    | None    | 0            | None         |
    | the prediction | 0    | None    | 0            | 1            |
    """
    assert prediction.shape == reference.shape, f"shapes differ: {prediction.shape} and {reference.shape}"
    if ignore is not None:
        unknown = reference == ignore
        prediction, reference = (np.where(unknown, 0, array) for array in (prediction, reference))
    scored = dict(regions or {}) or {name: (value,) for value, name in labels.items() if value != 0}
    return {
        name: _scores(np.isin(prediction, values), np.isin(reference, values), spacing)
        for name, values in scored.items()
    }


def _scores(prediction: np.ndarray, reference: np.ndarray, spacing: Sequence[float]) -> Scores:
    tolerances = (1.0, voxel_tolerance(reference.shape, spacing))
    hd95, within_1mm, within_voxel = surface_metrics(prediction, reference, spacing, tolerances=tolerances)
    return {
        "dice": dice(prediction, reference),
        "hd95_mm": hd95,
        "nsd_1mm": within_1mm,
        "nsd": within_voxel,
        "volume_error": volume_error(prediction, reference),
    }


def summarise(cases: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """[{"case": id, "labels": what evaluate_case gives, "tolerance_mm": of nsd}] -> the content of metrics.json.

    "tolerance_mm" stands in each case, and at the top: the median, with a note where the cases' differ.

    A label's figure is the mean over the cases where the metric is defined; "mean" is the mean over the labels. A
    metric that is defined nowhere is None. "notes" says why each None is one.
    """
    names = list(dict.fromkeys(name for case in cases for name in case["labels"]))
    labels = {
        name: {metric: _mean(case["labels"].get(name, {}).get(metric) for case in cases) for metric in METRICS}
        for name in names
    }
    notes = [note for case in cases for note in _notes(case)]
    for name, scores in labels.items():
        undefined = [metric for metric, value in scores.items() if value is None]
        if undefined:
            notes.append(f"{name}: {', '.join(undefined)} undefined in every case")
    mean = {metric: _mean(scores[metric] for scores in labels.values()) for metric in METRICS}
    undefined = [metric for metric, value in mean.items() if value is None]
    if undefined:
        notes.append(
            f"mean: {', '.join(undefined)} undefined for every label" if names else "mean: there are no labels"
        )
    own = [case[TOLERANCE] for case in cases if TOLERANCE in case]
    if len(set(own)) > 1:
        span = f"{shown(min(own))} to {shown(max(own))} mm"
        notes.append(f"nsd: the tolerance is one voxel of each reference, {span}")
    return {
        "mean": mean,
        TOLERANCE: median(own) if own else None,
        "labels": labels,
        "cases": [{name: case[name] for name in ("case", TOLERANCE, "labels") if name in case} for case in cases],
        "notes": notes,
    }


def _mean(values: Iterable[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return fmean(defined) if defined else None


def _notes(case: Mapping[str, Any]) -> list[str]:
    """One sentence a label with undefined metrics; which of them are undefined tells what is empty."""
    notes = []
    for name, scores in case["labels"].items():
        undefined = [metric for metric, value in scores.items() if value is None]
        if not undefined:
            continue
        if scores["dice"] is None:
            reason = "neither the reference nor the prediction has this label"
        elif scores["volume_error"] is None:
            reason = "the reference does not have this label, the prediction does"
        else:
            reason = "the prediction does not have this label, the reference does"
        notes.append(f"{case['case']}, {name}: {', '.join(undefined)} undefined, because {reason}")
    return notes
