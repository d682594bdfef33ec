"""Label enrichment: every voxel of a case gets a label, and a tissue by its intensity.

Synthesis draws intensities class by class, so tissue without a label would come out as one flat region, and a label as
one that stands out from all that is beside it. Here a case is split into clusters of lightly smoothed intensities,
which are then made regular in space (`regions`). The clusters start from the plan's centres and are adapted to the case
within limits, so that cluster i is the same tissue in every case, also where a case lacks a tissue. Labels and what is
around them are split by the same clusters: a tissue goes on across the border of a label, as in a scan.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from l2s_auto.core.counting import box_of, values_of
from l2s_auto.core.digits import RATIO_DIGITS, relative, significant
from l2s_auto.core.plan import SMOOTHING_ENDS, EnrichedLabel, GenerationPlan, Triple
from l2s_auto.synthesis.regions import regular

_ROUNDS = 5  # Lloyd iterations a case
_HOLD = 0.02  # the plan's centre counts as much as this share of the voxels: a few voxels do not make a tissue
_BINS = 512
_ENOUGH = 2_000_000  # values for a histogram
_FEW = 16  # limits that are compared with one by one, which is quicker than a search


def target_of(generation: GenerationPlan) -> np.ndarray:
    """(E,) int64: the network's output class of each enriched label."""
    return np.array([label.target for label in generation.enriched], dtype=np.int64)


def class_of(generation: GenerationPlan) -> np.ndarray:
    """(E,) int64: the generation class of each enriched label."""
    return np.array([label.generation_class for label in generation.enriched], dtype=np.int64)


def enriched_type(generation: GenerationPlan) -> np.dtype:
    """The smallest type that holds the enriched labels: uint8, or int16 beyond 256 of them."""
    return np.dtype(np.uint8 if len(generation.enriched) <= 256 else np.int16)


def enrich(image: np.ndarray | None, target: np.ndarray, generation: GenerationPlan, spacing: Triple) -> np.ndarray:
    """Split what the plan wants split.

    image    (C, *S) normalised; the first channel is clustered. None, or C = 0, if the plan has no clusters
    target   (*S) index of the network's output class
    spacing  mm
    -> (*S) index into generation.enriched, uint8 or int16

    Output classes with the same centres are split together.
    """
    kind = enriched_type(generation)
    whole, clusters = _by_target(generation.enriched)
    present = values_of(target)
    lacking = [int(value) for value in present if value not in whole and value not in clusters]
    assert not lacking, f"the plan has no enriched label for output class {lacking}"
    lookup = np.zeros(int(present.max()) + 1, dtype=kind)
    for value in present:
        lookup[value] = whole.get(value, 0)
    enriched = lookup[target]
    split = [int(value) for value in present if value not in whole]
    if not split:
        return enriched
    assert image is not None and len(image), "clusters of tissue need an image"
    sigma = [significant(generation.smoothing_mm / s, RATIO_DIGITS) for s in spacing]
    smooth = ndimage.gaussian_filter(
        np.asarray(image[0], dtype=np.float32), sigma, mode="nearest", truncate=SMOOTHING_ENDS
    )
    together: dict[tuple[float, ...], list[int]] = {}
    for value in split:
        together.setdefault(tuple(clusters[value][1].tolist()), []).append(value)
    for centres, members in together.items():
        where = np.isin(target, members)
        box = box_of(where)
        where, part, own = where[box], smooth[box], target[box]
        adapted = adapt(part[where], np.array(centres))
        settled = regular(part, where, assign(part, adapted), adapted, width=_width(spacing))
        table = np.zeros((int(present.max()) + 1, 256), dtype=kind)  # whatever stands outside of `where`
        for value in members:
            table[value, : len(centres)] = clusters[value][0]
        np.copyto(enriched[box], table[own, settled], where=where)
    return enriched


def _width(spacing: Triple) -> Triple:
    """Of a voxel's neighbourhood: the smallest voxel edge, in voxels an axis."""
    x, y, z = (1 / s for s in relative(spacing))
    return x, y, z


def _by_target(labels: tuple[EnrichedLabel, ...]) -> tuple[dict[int, int], dict[int, tuple[np.ndarray, np.ndarray]]]:
    """(output class -> enriched label that is all of it, output class -> (its clusters, their rising centres))."""
    whole = {label.target: index for index, label in enumerate(labels) if label.centre is None}
    grouped: dict[int, list[tuple[float, int]]] = {}
    for index, label in enumerate(labels):
        if label.centre is not None:
            grouped.setdefault(label.target, []).append((label.centre, index))
    both = sorted(set(whole) & set(grouped))
    assert not both, f"output classes {both} are both whole and split into clusters"
    clusters = {}
    for target, members in grouped.items():
        centres, indices = zip(*sorted(members), strict=True)
        clusters[target] = (np.array(indices), np.array(centres, dtype=np.float64))
    return whole, clusters


def assign(values: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Nearest of the rising centres: values of any shape -> index of the same shape."""
    limits = (centres[1:] + centres[:-1]) / 2
    if len(limits) > _FEW:
        return np.searchsorted(limits, values)
    index = np.zeros(values.shape, dtype=np.uint8)
    for limit in limits:
        index += limit < values
    return index


def adapt(values: np.ndarray, centres: np.ndarray, *, rounds: int = _ROUNDS) -> np.ndarray:
    """Lloyd's iterations in one dimension, on a histogram: (N,) values, (K,) rising centres -> (K,) rising centres.

    A centre stays between the midpoints to its neighbours, as they were given, so that it cannot take the place of
    another tissue. It is drawn back to where it was with the weight of 2 % of the values, so that where a tissue
    is lacking, the last voxels of its neighbours do not move it.
    """
    if values.size == 0 or len(centres) < 2:
        return centres
    lowest, highest = float(values.min()), float(values.max())
    if highest <= lowest:
        return centres
    values = values[:: 1 + values.size // _ENOUGH]
    given, (floor, ceiling), hold = centres, _limits(centres), _HOLD * values.size
    counts, edges = np.histogram(values, bins=_BINS, range=(lowest, highest))
    middles = (edges[1:] + edges[:-1]) / 2
    for _ in range(rounds):
        nearest = assign(middles, centres)
        weight = np.bincount(nearest, weights=counts, minlength=len(centres))
        total = np.bincount(nearest, weights=counts * middles, minlength=len(centres))
        centres = np.clip((total + hold * given) / (weight + hold), floor, ceiling)
    return centres


def _limits(centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest place of each centre: the midpoints to its neighbours, and at the ends as far outwards."""
    half = np.diff(centres) / 2
    return centres - np.append(half[0], half), centres + np.append(half, half[-1])
