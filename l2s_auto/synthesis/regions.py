"""From clusters of intensity to regions: voxels follow their neighbours where their own intensity leaves it open.

A Potts model (Besag, Journal of the Royal Statistical Society B 1986), a few rounds of it, all voxels at once. The cost
of cluster k for a voxel of intensity x is (x - centre_k)² / (2 s²) - STRENGTH · a_k, where s is the standard deviation
within clusters and a_k, from 0 to 1, the share of cluster k in the voxel's neighbourhood. What is left of specks then
joins the clusters beside it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np

from l2s_auto.core.counting import box_of, counts_of
from l2s_auto.core.plan import Triple

STRENGTH = 3.0
ROUNDS = 4
SPECK = 10  # a piece of fewer voxels is a speck
_FAINT = 1e-4  # a smaller share of a neighbourhood is rounding
_SETTLED = 0.002  # when no more than this share of the voxels changes in a round, it is the last
_TRUNCATE = 2.0  # the neighbourhood ends after this many of its standard deviations
_TILE = 40  # edge of the boxes that are worked on at a time, at most: what the processor's cache holds

Kernels = tuple[np.ndarray, ...]
Box = tuple[slice, ...]


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
    index    (*S) cluster of each voxel at first, the nearest in intensity
    centres  (K,) of the clusters, at most 255
    width    standard deviation of the neighbourhood, voxels an axis
    -> (*S) uint8 clusters; anything outside of `where`
    """
    index = index.astype(np.uint8, copy=False)
    box = box_of(where)
    place = where[box]
    if len(centres) < 2 or not place.size:
        return index
    s2 = _variance(values[box], place, index[box], centres)
    if s2 <= 0:
        return index
    kernels = tuple(_kernel(sigma) for sigma in width)
    reach = tuple(len(kernel) - 1 for kernel in kernels)
    # All arrays have a rim, so that neighbourhoods are whole.
    shape = tuple(n + 2 * r for n, r in zip(place.shape, reach, strict=True))
    core = tuple(slice(r, r + n) for r, n in zip(reach, place.shape, strict=True))
    clusters = np.full(shape, len(centres), dtype=np.uint8)
    inner = clusters[core]
    np.copyto(inner, np.where(place, index[box], np.uint8(len(centres))))
    wider = np.zeros(shape, dtype=np.float32)
    image = wider[core]
    np.multiply(values[box], place, out=image)
    # A voxel among its like, which is nearest to it in intensity too, stays what it is.
    tiles = [(tile, wide) for tile, wide in _tiles(place.shape, reach) if _mixed(clusters[wide])]
    for _ in range(rounds):
        settled = inner.copy()
        for tile, wide in tiles:
            settled[tile] = _cheapest(
                wider[wide], clusters[wide], kernels, centres, cheaper=1 / (2 * s2), strength=strength
            )
        np.putmask(settled, ~place, np.uint8(len(centres)))
        changed = int(np.count_nonzero(settled != inner))
        inner[...] = settled
        if changed <= _SETTLED * place.size:
            break
    found = np.ascontiguousarray(inner)
    del wider, image, clusters, inner, settled, tiles
    for _ in range(2):  # what joins may be a speck in its turn
        before, found = found, _without_specks(found, values[box], centres)
        if found is before:
            break
    whole = index.copy()
    whole[box] = found
    return whole


def _variance(values: np.ndarray, place: np.ndarray, index: np.ndarray, centres: np.ndarray) -> float:
    """Within clusters, of the voxels in `place`; a plane at a time."""
    total, small = 0.0, centres.astype(np.float32)
    for plane, there, clusters in zip(values, place, index, strict=True):
        off = (plane - small[clusters])[there]
        total += float(np.dot(off, off))
    return total / int(np.count_nonzero(place))


def _kernel(sigma: float) -> np.ndarray:
    """(1 + R,) weights along an axis: of the voxel itself, and of those 1 to R away on each side."""
    radius = int(_TRUNCATE * sigma + 0.5)
    if radius == 0:
        return np.ones(1, dtype=np.float32)
    bell = np.exp(-0.5 * (np.arange(radius + 1) / sigma) ** 2)
    return (bell / (2 * bell.sum() - bell[0])).astype(np.float32)


def _tiles(shape: tuple[int, ...], reach: tuple[int, ...]) -> Iterator[tuple[Box, Box]]:
    """Boxes that cover an array; and each with its rim, in the array that has one."""
    edges = [np.linspace(0, n, -(-n // _TILE) + 1).astype(int).tolist() for n in shape]
    for ends in itertools.product(*(itertools.pairwise(edge) for edge in edges)):
        yield (
            tuple(slice(low, high) for low, high in ends),
            tuple(slice(low, high + 2 * r) for (low, high), r in zip(ends, reach, strict=True)),
        )


def _mixed(clusters: np.ndarray) -> bool:
    """Whether there is more than one of them."""
    return bool((clusters != clusters.flat[0]).any())


def _cheapest(
    image: np.ndarray,
    clusters: np.ndarray,
    kernels: Kernels,
    centres: np.ndarray,
    *,
    cheaper: float,
    strength: float,
) -> np.ndarray:
    """Clusters of the least cost in a tile: all arrays have a rim, the result has none."""
    reach = tuple(len(kernel) - 1 for kernel in kernels)
    span = _span(image.shape, reach)
    flat, shape = image.ravel()[span], image.shape
    # Shares are of that part of a neighbourhood which is looked at.
    gain = np.float32(strength) / np.maximum(_shares(clusters < len(centres), kernels), np.float32(_FAINT))
    lowest, best = np.full(flat.shape, np.inf, dtype=np.float32), np.zeros(flat.shape, dtype=np.uint8)
    for k, centre in enumerate(centres):
        cost = flat - np.float32(centre)
        cost *= cost
        cost *= np.float32(cheaper)
        member = clusters == k
        if member.any():
            share = _shares(member, kernels)
            share *= gain
            cost -= share
        np.maximum(best, (cost < lowest).view(np.uint8) * np.uint8(k), out=best)  # k rises; quicker than a mask
        np.minimum(cost, lowest, out=lowest)
    return _inside(best, shape, reach)


def _shares(member: np.ndarray, kernels: Kernels) -> np.ndarray:
    """How much of each voxel's neighbourhood is `member`, as the `_span` of the flattened tile.

    A step along an axis is a shift of the flattened tile: long rows are quick. What crosses a border that way ends
    in the rim, which nobody reads.
    """
    if member.all():  # as in the air, or deep in a tissue
        span = _span(member.shape, tuple(len(kernel) - 1 for kernel in kernels))
        return np.ones(span.stop - span.start, dtype=np.float32)
    flat = member.astype(np.float32).ravel()
    for kernel, stride in zip(kernels, _strides(member.shape), strict=True):
        reach = (len(kernel) - 1) * stride
        size = flat.size - 2 * reach
        summed = flat[reach : reach + size] * kernel[0]
        for step in range(1, len(kernel)):
            ahead, behind = reach + step * stride, reach - step * stride
            both = flat[ahead : ahead + size] + flat[behind : behind + size]
            both *= kernel[step]
            summed += both
        flat = summed
    return flat


def _strides(shape: tuple[int, ...]) -> tuple[int, int, int]:
    return shape[1] * shape[2], shape[2], 1


def _span(shape: tuple[int, ...], reach: tuple[int, ...]) -> slice:
    """The part of a flattened tile whose neighbourhoods lie within it; it holds all but the rim."""
    lost = sum(r * stride for r, stride in zip(reach, _strides(shape), strict=True))
    return slice(lost, math.prod(shape) - lost)


def _inside(flat: np.ndarray, shape: tuple[int, ...], reach: tuple[int, ...]) -> np.ndarray:
    """The `_span` of a flattened tile -> the tile without its rim."""
    whole = np.empty(math.prod(shape), dtype=flat.dtype)
    whole[_span(shape, reach)] = flat
    return whole.reshape(shape)[tuple(slice(r, n - r) for r, n in zip(reach, shape, strict=True))]


def _without_specks(clusters: np.ndarray, image: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """The voxels of specks join, from outside inwards, the nearest cluster in intensity beside them.

    clusters  (*S) uint8; the number of clusters where there is none
    image     (*S) intensities. A speck that no larger piece touches stays.
    """
    import cc3d

    nowhere = len(centres)
    pieces, count = cc3d.connected_components(
        np.where(clusters == nowhere, 0, clusters + 1), connectivity=6, return_N=True
    )
    small = counts_of(pieces.ravel(order="K"), count + 1) < SPECK
    small[0] = False
    place = np.nonzero(small[pieces])
    if not place[0].size:
        return clusters
    padded = np.pad(clusters, 1, constant_values=nowhere)
    flat, steps = padded.ravel(), np.array(padded.strides) // padded.itemsize
    number = np.ravel_multi_index(tuple(axis + 1 for axis in place), padded.shape)
    before, values = flat[number], image[place]
    flat[number] = nowhere
    centre = np.append(centres, np.inf)  # nobody joins what is not there
    waiting = np.arange(number.size)
    while waiting.size:
        beside = flat[number[waiting, None] + np.concatenate([steps, -steps])]
        costs = np.abs(values[waiting, None] - centre[beside])
        nearest = costs.argmin(axis=1)[:, None]
        found = np.isfinite(np.take_along_axis(costs, nearest, axis=1)[:, 0])
        if not found.any():
            break
        joined = np.take_along_axis(beside, nearest, axis=1)[:, 0]
        flat[number[waiting[found]]] = joined[found]
        waiting = waiting[~found]
    flat[number[waiting]] = before[waiting]
    return padded[1:-1, 1:-1, 1:-1]
