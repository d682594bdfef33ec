"""How bright the clusters of tissue are in the real scans, measured after the scans have been split into them.

The fingerprint's sample tells where clusters lie, but not what a case makes of them: it is smoothed, its clusters end
at fixed intensities, and it does not tell the cases apart. Preprocessing splits every case and notes what came out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from l2s_auto.core.plan import ClassPrior, Plan


def with_measured_clusters(plan: Plan, intensities: Sequence[np.ndarray]) -> Plan:
    """The plan with the priors of all classes that are clusters as they are in the cases; unless it has them already.

    intensities  of each case (2, C, G): mean and standard deviation of each class in each channel, NaN for none

    Where fewer than two cases show a class, its prior stays as it is.
    """
    generation = plan.generation
    if generation.measured:
        return plan
    classes = sorted({label.generation_class for label in generation.enriched if label.centre is not None})
    priors = list(generation.priors)
    if priors and intensities:
        moments = np.stack(intensities)  # (N, 2, C, G)
        for number in classes:
            seen = moments[:, :, :, number]
            seen = seen[np.isfinite(seen).all(axis=(1, 2))]
            if len(seen) >= 2:
                priors[number] = _prior(seen)
    changed = generation.model_copy(update={"priors": tuple(priors), "measured": True})
    return plan.model_copy(update={"generation": changed})


def _prior(seen: np.ndarray) -> ClassPrior:
    """Of one class: (N, 2, C) means and standard deviations in N cases."""
    mean, spread = seen.mean(axis=0), seen.std(axis=0)
    return ClassPrior(
        mean=_rounded(mean[0]), mean_spread=_rounded(spread[0]), std=_rounded(mean[1]), std_spread=_rounded(spread[1])
    )


def _rounded(values: np.ndarray) -> tuple[float, ...]:
    return tuple(round(float(value), 4) for value in values)
