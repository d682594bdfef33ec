"""How bright the clusters of tissue are in the real scans, measured after the scans have been split into them.

The fingerprint's sample tells where clusters lie, but not what a case makes of them: it is smoothed, its clusters end
at fixed intensities, and it does not tell the cases apart. So some cases are read once more and split as they will be
for training. That costs as much as reading them, and is right whatever the splitting does.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from l2s_auto.core.plan import ClassPrior, GenerationPlan, Plan, Triple
from l2s_auto.core.types import Case, Dataset
from l2s_auto.io.parallel import map_cases
from l2s_auto.planning.fingerprint import MeasurableCase

MOST_CASES = 30  # enough for a mean and a spread
_FEWEST_VOXELS = 30  # of a class in a case, or it tells nothing

Enrich = Callable[["np.ndarray | None", np.ndarray, GenerationPlan, Triple], np.ndarray]


def with_measured_clusters(
    plan: Plan, dataset: Dataset, *, read: Callable[[Case], MeasurableCase], enrich: Enrich, workers: int = 0
) -> Plan:
    """The plan with the priors of all classes that are clusters as they are in up to 30 evenly chosen cases.

    read, enrich  importable by name if workers > 0
    workers       processes; 0 = all in this one

    Where fewer than two cases show a class, its prior stays as it is.
    """
    generation = plan.generation
    classes = sorted({label.generation_class for label in generation.enriched if label.centre is not None})
    if not classes or not generation.priors:
        return plan
    chosen = np.unique(np.linspace(0, len(dataset.cases) - 1, MOST_CASES).round().astype(int))
    measure = partial(_measure, plan=plan, read=read, enrich=enrich)
    measured = map_cases(measure, [dataset.cases[i] for i in chosen], name=lambda case: case.id, workers=workers)
    moments = np.stack(measured)  # (N, 2, C, G)
    priors = list(generation.priors)
    for number in classes:
        seen = moments[:, :, :, number]
        seen = seen[np.isfinite(seen).all(axis=(1, 2))]
        if len(seen) >= 2:
            priors[number] = _prior(seen)
    return plan.model_copy(update={"generation": generation.model_copy(update={"priors": tuple(priors)})})


def _measure(case: Case, *, plan: Plan, read: Callable[[Case], MeasurableCase], enrich: Enrich) -> np.ndarray:
    """(2, C, G) mean and standard deviation of each class in each channel; NaN for one with hardly a voxel."""
    data = read(case)
    known = plan.class_of
    values, found = np.unique(data.labels, return_inverse=True)
    target = np.array([known[int(value)] for value in values])[found].reshape(data.labels.shape)
    class_of = np.array([label.generation_class for label in plan.generation.enriched])
    flat = class_of[enrich(data.image, target, plan.generation, data.spacing)].ravel()
    count = np.bincount(flat, minlength=plan.generation.classes)
    found = np.full((2, len(data.image), len(count)), np.nan)
    for channel, image in enumerate(data.image):
        intensity = image.ravel().astype(np.float64)
        mean = np.bincount(flat, weights=intensity, minlength=len(count)) / np.maximum(count, 1)
        square = np.bincount(flat, weights=(intensity - mean[flat]) ** 2, minlength=len(count)) / np.maximum(count, 1)
        found[0, channel], found[1, channel] = mean, np.sqrt(square)
    found[:, :, count < _FEWEST_VOXELS] = np.nan
    return found


def _prior(seen: np.ndarray) -> ClassPrior:
    """Of one class: (N, 2, C) means and standard deviations in N cases."""
    mean, spread = seen.mean(axis=0), seen.std(axis=0)
    return ClassPrior(
        mean=_rounded(mean[0]), mean_spread=_rounded(spread[0]), std=_rounded(mean[1]), std_spread=_rounded(spread[1])
    )


def _rounded(values: np.ndarray) -> tuple[float, ...]:
    return tuple(round(float(value), 4) for value in values)
