"""Means with 95 % intervals, and paired differences: what may be called a difference, and what is noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import t as student

from l2s_auto.core.dial import Difference

#: How sure an interval is.
CONFIDENCE = 0.95
#: Cases from which on a mean has an interval.
ENOUGH = 3

Interval = tuple[float, float]


def interval_of(values: Sequence[float] | np.ndarray) -> Interval | None:
    """Student's t: the 95 % interval of the mean of these values; None of fewer than ENOUGH."""
    values = np.asarray(values, float)
    if len(values) < ENOUGH:
        return None
    half = student.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    return float(values.mean() - half), float(values.mean() + half)


def paired_difference(one: Mapping[str, float], other: Mapping[str, float]) -> Difference | None:
    """Mean over the cases that both have of one's Dice minus the other's; None where there is no such case."""
    both = sorted(set(one) & set(other))
    if not both:
        return None
    values = np.array([one[case] - other[case] for case in both])
    return Difference(mean=float(values.mean()), interval=interval_of(values))


def pooled(parts: Sequence[tuple[float, Interval | None, int]]) -> tuple[float, Interval | None]:
    """Means with intervals of separate groups of cases, such as folds -> those of all cases.

    parts  mean, interval and number of cases of each group; of one without an interval, there is none of all
    Half widths add up as those of independent means do: by their squares.
    """
    counts = np.array([max(1, cases) for _, _, cases in parts], float)
    mean = float(counts @ [value for value, _, _ in parts] / counts.sum())
    halves = [None if interval is None else (interval[1] - interval[0]) / 2 for _, interval, _ in parts]
    if any(half is None for half in halves):
        return mean, None
    half = float(np.sqrt(((counts * np.array(halves, float)) ** 2).sum()) / counts.sum())
    return mean, (mean - half, mean + half)
