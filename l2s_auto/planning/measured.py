"""How bright the clusters of tissue are in the real scans, measured after the scans have been split into them.

The fingerprint's sample tells where clusters lie, but not what a case makes of them: it is smoothed, its clusters end
at fixed intensities, and it does not tell the cases apart. Preprocessing splits every case and notes what came out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from l2s_auto.core.plan import ClassPrior, Plan

_SMALLEST = 1e-4  # a deviation that is divided by


def with_measured_clusters(plan: Plan, intensities: Sequence[np.ndarray]) -> Plan:
    """The plan with the priors of classes as they are in the cases: those of clusters, and the noise of all.

    intensities  of each case (3, C, G): mean, standard deviation and noise of each class in each channel, NaN for none

    Where fewer than two cases show a class, its prior stays as it is; where fewer tell its noise, that is as large a
    share of the deviation as in the other classes. A plan that has all that already stays as it is.
    """
    generation = plan.generation
    if generation.measured:
        return plan
    clusters = {label.generation_class for label in generation.enriched if label.centre is not None}
    priors = list(generation.priors)
    if priors and intensities:
        moments = np.stack(intensities)  # (N, 3, C, G)
        for g in clusters:
            if len(seen := _finite(moments[:, :2, :, g])) >= 2:
                priors[g] = _prior(seen)
        noise = [_finite(moments[:, 2:, :, g]) for g in range(len(priors))]
        if any(len(seen) >= 2 for seen in noise):
            priors = _completed([_with_noise(*both) for both in zip(priors, noise, strict=True)])
    changed = generation.model_copy(update={"priors": tuple(priors), "measured": True})
    return plan.model_copy(update={"generation": changed})


def _finite(cases: np.ndarray) -> np.ndarray:
    """(N, …) -> those that have all of it."""
    return cases[np.isfinite(cases).reshape(len(cases), -1).all(axis=1)]


def _prior(seen: np.ndarray) -> ClassPrior:
    """Of one class: (N, 2, C) means and standard deviations in N cases."""
    mean, spread = seen.mean(axis=0), seen.std(axis=0)
    return ClassPrior(
        mean=_rounded(mean[0]), mean_spread=_rounded(spread[0]), std=_rounded(mean[1]), std_spread=_rounded(spread[1])
    )


def _with_noise(prior: ClassPrior, seen: np.ndarray) -> ClassPrior:
    """The prior with the noise of (N, 1, C) cases, if they are two or more."""
    if len(seen) < 2:
        return prior
    found = {"noise": _rounded(seen[:, 0].mean(axis=0)), "noise_spread": _rounded(seen[:, 0].std(axis=0))}
    return prior.model_copy(update=found)


def _completed(priors: Sequence[ClassPrior]) -> list[ClassPrior]:
    """Noise for the classes without, in the usual ratio to the deviation, a channel each."""
    known = [prior for prior in priors if prior.noise]
    noise, std, spread = (np.array([getattr(p, name) for p in known]) for name in ("noise", "std", "noise_spread"))
    ratio, usual = np.median(noise / np.maximum(std, _SMALLEST), axis=0), _rounded(np.median(spread, axis=0))
    return [
        prior if prior.noise else prior.model_copy(update={"noise": _rounded(ratio * prior.std), "noise_spread": usual})
        for prior in priors
    ]


def _rounded(values: np.ndarray) -> tuple[float, ...]:
    return tuple(round(float(value), 4) for value in values)
