"""The interval of the mean difference between two methods, over subjects and seeds at once."""

from __future__ import annotations

import numpy as np
from scipy.stats import t as student

#: How sure an interval is.
CONFIDENCE = 0.95


def t_interval(differences: np.ndarray) -> list[float] | None:
    """Student's t interval of the mean of (subjects,) differences; None for fewer than two."""
    n = len(differences)
    if n < 2:
        return None
    return _around(float(differences.mean()), float(differences.var(ddof=1)) / n, n - 1)


def paired_interval(differences: np.ndarray) -> list[float] | None:
    """[low, high] of the mean of (seeds, subjects) paired differences, for other subjects and other seeds.

    Subjects and seeds are crossed random effects: d = mean + seed + subject + rest. Mean squares give their variances
    (two-way analysis of variance, one value a cell); a negative one is taken as 0. The variance of the mean is
    seed / S + subject / N + rest / (S N), with Satterthwaite's degrees of freedom (Biometrics Bulletin 2, 1946), as in
    studies of many readers and many cases. A pooled t interval over all S N values would be too narrow, because the
    differences of one seed are not independent, nor are those of one subject.

    Of one seed it is the t interval over subjects, which tells nothing of other seeds. None for fewer than two
    subjects. Three seeds leave few degrees of freedom: where seeds differ most, the interval is wide.
    """
    seeds, subjects = differences.shape
    if seeds < 2 or subjects < 2:
        return t_interval(differences.mean(0)) if seeds else None
    mean = differences.mean()
    of_seeds, of_subjects = differences.mean(1), differences.mean(0)
    rest = differences - of_seeds[:, None] - of_subjects + mean
    freedom = np.array([seeds - 1, subjects - 1, (seeds - 1) * (subjects - 1)])
    squares = np.array(
        [
            subjects * np.square(of_seeds - mean).sum(),
            seeds * np.square(of_subjects - mean).sum(),
            np.square(rest).sum(),
        ]
    )
    squares = squares / freedom
    counted = np.array([squares[0] > squares[2], squares[1] > squares[2]], float)
    parts = np.array([counted[0], counted[1], 1 - counted.sum()]) * squares
    total = parts.sum()
    if total <= 0:
        return [float(mean), float(mean)]
    return _around(float(mean), total / (seeds * subjects), total**2 / (np.square(parts) / freedom).sum())


def _around(mean: float, variance: float, freedom: float) -> list[float]:
    half = float(student.ppf((1 + CONFIDENCE) / 2, freedom)) * variance**0.5
    return [mean - half, mean + half]
