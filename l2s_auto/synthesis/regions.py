"""From clusters of intensity to regions: voxels follow their neighbours where their own intensity leaves it open.

A Potts model (Besag, Journal of the Royal Statistical Society B 1986), a few rounds of it, all voxels at once. The cost
of cluster k for a voxel of intensity x is (x - centre_k)² / (2 s²) - STRENGTH · a_k, where s is the standard deviation
within clusters and a_k, from 0 to 1, the share of cluster k in the voxel's neighbourhood. What is left of specks then
joins the clusters beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from scipy import ndimage

from l2s_auto.core.plan import Triple

STRENGTH = 3.0
ROUNDS = 4
SPECK = 10  # a piece of fewer voxels is a speck
_FAINT = 1e-4  # a smaller share of a neighbourhood is rounding
_TRUNCATE = 2.0  # the neighbourhood ends after this many of its standard deviations


def regular(
    values: np.ndarray,
    where: np.ndarray,
    index: np.ndarray,
    centres: np.ndarray,
    *,
    width: Triple,
    strength: float = STRENGTH,
    rounds: int = ROUNDS,
) -> np.ndarray:
    """Clusters of the voxels `where`, made regular in space; nothing outside of it is looked at.

    values   (*S) intensities
    where    (*S) bool, N voxels
    index    (N,) cluster of each at first
    centres  (K,) of the clusters
    width    standard deviation of the neighbourhood, voxels an axis
    -> (N,) clusters
    """
    inside = np.asarray(values[where], dtype=np.float32)
    s2 = float(np.mean((inside - centres[index]) ** 2)) if inside.size else 0.0
    if len(centres) < 2 or s2 <= 0:
        return index
    place = where[ndimage.find_objects(where.astype(np.int8))[0]]
    own = [(inside - np.float32(centre)) ** 2 / np.float32(2 * s2) for centre in centres]
    for _ in range(rounds):
        agreement = _agreement(index, place, len(centres), width)
        settled = _cheapest(own, (strength * share for share in agreement), index)
        if np.array_equal(settled, index):
            break
        index = settled
    for _ in range(2):  # what joins may be a speck in its turn
        index = _without_specks(index, place, np.stack(own, axis=1))
    return index


def _cheapest(own: Sequence[np.ndarray], gain: Iterable[np.ndarray], index: np.ndarray) -> np.ndarray:
    """(N,) clusters of the least own cost - gain."""
    lowest, best = np.full(index.shape, np.inf, dtype=np.float32), np.zeros_like(index)
    for k, (cost, less) in enumerate(zip(own, gain, strict=True)):
        total = cost - less
        closer = total < lowest
        lowest[closer], best[closer] = total[closer], k
    return best


def _agreement(index: np.ndarray, place: np.ndarray, clusters: int, width: Triple) -> Iterator[np.ndarray]:
    """For each cluster its share in each voxel's neighbourhood, (N,) in [0, 1]."""
    around = np.maximum(_blurred(place.astype(np.float32), width)[place], _FAINT)
    member = np.zeros(place.shape, dtype=np.float32)
    for k in range(clusters):
        member[place] = index == k
        yield _blurred(member, width)[place] / around


def _without_specks(index: np.ndarray, place: np.ndarray, own: np.ndarray) -> np.ndarray:
    """(N,) clusters; the voxels of specks join, from outside inwards, the nearest cluster in intensity beside them.

    own  (N, K) cost of each cluster. A speck that no larger piece touches stays.
    """
    import cc3d

    padded = np.full([n + 2 for n in place.shape], -1, dtype=np.int64)
    inner = padded[1:-1, 1:-1, 1:-1]
    inner[place] = index
    pieces = cc3d.connected_components((inner + 1).astype(np.uint8), connectivity=6)
    small = np.bincount(pieces.ravel()) < SPECK
    small[0] = False
    speck = small[pieces[place]]
    if not speck.any():
        return index
    kept = padded.copy()
    flat, steps = kept.ravel(), np.array(padded.strides) // padded.itemsize
    waiting = np.flatnonzero(speck)
    number = np.ravel_multi_index(tuple(axis + 1 for axis in np.nonzero(place)), padded.shape)
    flat[number[waiting]] = -1
    while waiting.size:
        beside = flat[number[waiting, None] + np.concatenate([steps, -steps])]
        costs = np.take_along_axis(own[waiting], beside.clip(0), axis=1)
        costs[beside < 0] = np.inf
        found = np.isfinite(costs).any(axis=1)
        if not found.any():
            break
        joined = np.take_along_axis(beside, costs.argmin(axis=1)[:, None], axis=1)[:, 0]
        flat[number[waiting[found]]] = joined[found]
        waiting = waiting[~found]
    flat[number[waiting]] = index[waiting]
    return flat[number].astype(index.dtype)


def _blurred(mask: np.ndarray, width: Triple) -> np.ndarray:
    return ndimage.gaussian_filter(mask, width, mode="constant", truncate=_TRUNCATE)
