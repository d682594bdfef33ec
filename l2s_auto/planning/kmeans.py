"""Clusters of intensities: the best split of a sample into k intervals, and how many are worth having."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_BINS = 256
_CONSTANT = 0.01  # a sample whose standard deviation is below this, normalised units, is one tissue
_FINE = 0.04  # clusters whose standard deviation is below this are not split: such a difference is hardly seen
_NOISY = 1.3  # nor are they if it is below this multiple of the noise's
_NEGLIGIBLE = 0.01  # a cluster with a smaller share of the sample is no reason to go on splitting
_GAIN = 0.7  # another cluster must bring the sum of squares below this share of what it was
MOST = 8


@dataclass(frozen=True)
class Clusters:
    """K intervals of intensity, rising.

    centres  (K,) means
    spreads  (K,) standard deviations
    shares   (K,) of the sample, sum 1
    """

    centres: np.ndarray
    spreads: np.ndarray
    shares: np.ndarray


def find_clusters(sample: np.ndarray, *, noise: float = 0.0) -> Clusters:
    """(N,) normalised intensities, smoothed -> the clusters worth having, 1 to 8.

    noise  its standard deviation in the sample, if it is known

    A cluster is added as long as one is wide (its standard deviation is 0.04 or more, and more than noise alone
    explains) and the new one brings the sum of squares within clusters below 0.7 of what it was: one broad
    mixture of tissues ends as about five. How many voxels a tissue has matters little, so that much air around a
    head does not hide the head's tissues.
    """
    assert sample.size, "there is nothing to cluster"
    values = np.asarray(sample, dtype=np.float64)
    if float(values.std()) < _CONSTANT:
        return _described(values, np.zeros(0))
    splits, within = _best_splits(values)
    fine, k = max(_FINE, _NOISY * noise), 1
    while k < MOST and _any_wide(_described(values, splits[k - 1]), fine) and within[k] <= _GAIN * within[k - 1]:
        k += 1
    return _described(values, splits[k - 1])


def _any_wide(clusters: Clusters, fine: float) -> bool:
    return bool(np.any(clusters.spreads[clusters.shares >= _NEGLIGIBLE] >= fine))


def _described(values: np.ndarray, borders: np.ndarray) -> Clusters:
    index = np.searchsorted(borders, values, side="right")
    members = [values[index == i] for i in range(len(borders) + 1)]
    members = [m for m in members if m.size]
    return Clusters(
        centres=np.array([m.mean() for m in members]),
        spreads=np.array([m.std() for m in members]),
        shares=np.array([m.size / values.size for m in members]),
    )


def _best_splits(values: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """The best intervals for 1 to MOST clusters, exactly, by dynamic programming over a histogram.

    -> (borders for each number of clusters, sums of squares within clusters). Wang and Song, The R Journal 2011.
    """
    counts, edges = np.histogram(values, bins=_BINS)
    index = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, _BINS - 1)
    sums = np.bincount(index, weights=values, minlength=_BINS)
    squares = np.bincount(index, weights=values**2, minlength=_BINS)
    n, s, q = (np.concatenate([[0.0], np.cumsum(x)]) for x in (counts, sums, squares))
    # cost[i, j]: sum of squares within bins i to j - 1
    number = n[None, :] - n[:, None]
    total = s[None, :] - s[:, None]
    cost = (q[None, :] - q[:, None]) - total**2 / np.maximum(number, 1)
    cost = np.where(np.arange(_BINS + 1)[:, None] <= np.arange(_BINS + 1)[None, :], np.maximum(cost, 0.0), np.inf)
    best = cost[0]
    within, borders, back = [float(best[-1])], [np.zeros(0)], []
    for _ in range(1, MOST):
        through = best[:, None] + cost
        back.append(np.argmin(through, axis=0))
        best = through[back[-1], np.arange(_BINS + 1)]
        within.append(float(best[-1]))
        position, cuts = _BINS, []
        for step in reversed(back):
            position = int(step[position])
            cuts.append(edges[position])
        borders.append(np.array(cuts[::-1]))
    return borders, np.array(within)
