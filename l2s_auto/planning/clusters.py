"""The generation plan: which labels share their intensities, how unlabelled tissue is split, how bright all that is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from l2s_auto.core.digits import relative
from l2s_auto.core.plan import (
    CaseFingerprint,
    ClassPrior,
    EnrichedLabel,
    Fingerprint,
    GenerationPlan,
    LabelPlan,
)
from l2s_auto.planning.fingerprint import SMOOTHING
from l2s_auto.planning.kmeans import Clusters, find_clusters

ALIKE = 0.5  # labels closer than this, in standard deviations within a label, share a generation class
BACKGROUND = 0


def determine_generation(
    fingerprint: Fingerprint,
    labels: Sequence[LabelPlan],
    pairs: Sequence[tuple[int, int]],
    *,
    smoothing_mm: float,
) -> GenerationPlan:
    """Label enrichment for these output classes (background first) and left-right pairs of values.

    Background becomes clusters of intensity, the tissues, if there are images; one class if there are none or if it is
    constant. The other labels are split by the same clusters; those with like intensities, and pairs always, share
    their generation classes.
    """
    assert labels[0].value == BACKGROUND, "background comes first"
    values = [label.value for label in labels[1:]]
    images = bool(fingerprint.channels)
    groups = group_labels(fingerprint.cases, values, pairs) if images else _paired(values, pairs)
    sample, residual = np.array(fingerprint.unlabelled_sample), fingerprint.smoothing_residual
    found = find_clusters(sample, noise=residual * _noise_kept(fingerprint.cases)) if sample.size else None
    enriched = _background(labels[0].name, found)
    first = len(enriched)
    if not images:
        return GenerationPlan(enriched=(*enriched, *_whole(labels, groups, first)))
    known = [_prior(fingerprint.cases, members) for members in groups]
    background = _prior(fingerprint.cases, [BACKGROUND])
    priors = _complete([*_cluster_priors(found, background, known, residual=residual), *known])
    if first == 1:
        enriched += _whole(labels, groups, first)
    else:
        tissues, of_groups = priors[:first], priors[first:]
        enriched += _by_tissue(labels, groups, enriched)
        # Until they are measured. The tissues are those of the first channel.
        priors = (*tissues, *(_in_first_channel(tissue, own) for own in of_groups for tissue in tissues))
    return GenerationPlan(
        enriched=tuple(enriched),
        priors=priors,
        measured=False,
        smoothing_mm=smoothing_mm if first > 1 else 0.0,
    )


def with_ignored(generation: GenerationPlan, *, target: int) -> GenerationPlan:
    """What nobody labelled is split and drawn as unlabelled tissue is, yet has a target of its own."""
    background = [label for label in generation.enriched if label.target == BACKGROUND]
    ignored = [label.model_copy(update={"name": f"ignored {label.name}", "target": target}) for label in background]
    return generation.model_copy(update={"enriched": (*generation.enriched, *ignored)})


def _noise_kept(cases: Sequence[CaseFingerprint]) -> float:
    """Standard deviation of white noise that the fingerprint's smoothing leaves, over that of what it takes away.

    0.3 in 3D, 0.56 in 2D, in the median of the cases.
    """
    shares = []
    for case in cases:
        kept, centre = 1.0, 1.0  # sum of squares of the filter's weights, and the weight of the voxel itself
        for n, edge in zip(case.shape, relative(case.spacing), strict=True):
            if n > 1:
                offsets = np.arange(-4, 5) * edge / SMOOTHING
                weights = np.exp(-0.5 * offsets**2) / np.exp(-0.5 * offsets**2).sum()
                kept, centre = kept * float((weights**2).sum()), centre * float(weights[4])
        taken = 1 - 2 * centre + kept
        shares.append(np.sqrt(kept / taken) if taken > 1e-6 else 0.0)
    return float(np.median(shares)) if shares else 0.0


def _whole(labels: Sequence[LabelPlan], groups: Sequence[list[int]], first: int) -> list[EnrichedLabel]:
    """Labels as they are; groups have the generation classes from `first` on."""
    return [
        EnrichedLabel(name=label.name, target=target, generation_class=first + _group_of(label.value, groups))
        for target, label in enumerate(labels[1:], start=1)
    ]


def _by_tissue(
    labels: Sequence[LabelPlan], groups: Sequence[list[int]], tissues: Sequence[EnrichedLabel]
) -> list[EnrichedLabel]:
    """Each label split by the tissues, as the background is; labels of a group share the classes of their parts."""
    count = len(tissues)
    return [
        EnrichedLabel(
            name=f"{label.name} {i + 1}",
            target=target,
            generation_class=count * (1 + _group_of(label.value, groups)) + i,
            centre=tissue.centre,
        )
        for target, label in enumerate(labels[1:], start=1)
        for i, tissue in enumerate(tissues)
    ]


def _in_first_channel(tissue: ClassPrior, own: ClassPrior) -> ClassPrior:
    """A label's prior, but for the first channel, which is the tissue's."""
    names = ("mean", "mean_spread", "std", "std_spread")
    return ClassPrior(**{name: (getattr(tissue, name)[0], *getattr(own, name)[1:]) for name in names})


def _group_of(value: int, groups: Sequence[list[int]]) -> int:
    return next(i for i, members in enumerate(groups) if value in members)


def _background(name: str, found: Clusters | None) -> list[EnrichedLabel]:
    if found is None or len(found.centres) == 1:
        return [EnrichedLabel(name=name, target=0, generation_class=0)]
    return [
        EnrichedLabel(name=f"{name} {i + 1}", target=0, generation_class=i, centre=round(float(centre), 4))
        for i, centre in enumerate(found.centres)
    ]


def group_labels(
    cases: Sequence[CaseFingerprint], values: Sequence[int], pairs: Sequence[tuple[int, int]]
) -> list[list[int]]:
    """Label values -> groups that share their intensities, in the order of their first member.

    The distance of two labels is the difference of their means in one case divided by the standard deviation within
    them, averaged over cases (the channel where they differ most); groups are joined by average linkage up to 0.5.
    """
    units = _paired(values, pairs)
    if len(units) < 2:
        return units
    n = len(units)
    distance = np.zeros((n, n))
    for i in range(n):
        for j in range(i + 1, n):
            distance[i, j] = distance[j, i] = np.mean([_distance(cases, a, b) for a in units[i] for b in units[j]])
    number = fcluster(linkage(squareform(distance), method="average"), t=ALIKE, criterion="distance")
    joined: dict[int, list[int]] = {}
    for unit, group in zip(units, number.tolist(), strict=True):
        joined.setdefault(group, []).extend(unit)
    return sorted((sorted(members, key=values.index) for members in joined.values()), key=lambda m: values.index(m[0]))


def _paired(values: Sequence[int], pairs: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Each value alone, but pairs together."""
    partner = {right: left for left, right in pairs}
    units: dict[int, list[int]] = {}
    for value in values:
        units.setdefault(partner.get(value, value), []).append(value)
    return list(units.values())


def _distance(cases: Sequence[CaseFingerprint], a: int, b: int) -> float:
    """Difference of two labels' means in standard deviations; over all cases at once if no case has both."""
    apart = [
        _separation(case.label_mean[a], case.label_mean[b], case.label_std[a], case.label_std[b])
        for case in cases
        if a in case.label_mean and b in case.label_mean
    ]
    return float(np.mean(apart)) if apart else _pooled_distance(cases, a, b)


def _pooled_distance(cases: Sequence[CaseFingerprint], a: int, b: int) -> float:
    of_a, of_b = _prior(cases, [a]), _prior(cases, [b])
    if of_a is None or of_b is None:
        return 2 * ALIKE  # never seen: nothing says that it is like another
    return _separation(of_a.mean, of_b.mean, of_a.std, of_b.std)


def _separation(
    mean_a: Sequence[float], mean_b: Sequence[float], std_a: Sequence[float], std_b: Sequence[float]
) -> float:
    difference = np.abs(np.subtract(mean_a, mean_b))
    within = np.sqrt((np.square(std_a) + np.square(std_b)) / 2)
    return float(np.max(difference / np.maximum(within, 1e-3)))


def _prior(cases: Sequence[CaseFingerprint], members: Sequence[int]) -> ClassPrior | None:
    """Brightness of labels taken together, over the cases that have any of them; None if none has."""
    means, stds = [], []
    for case in cases:
        present = [value for value in members if value in case.label_mean]
        if not present:
            continue
        volume = np.array([case.label_volume[value] for value in present])[:, None]
        mean = np.array([case.label_mean[value] for value in present])
        std = np.array([case.label_std[value] for value in present])
        together = (volume * mean).sum(axis=0) / volume.sum()
        variance = (volume * (std**2 + (mean - together) ** 2)).sum(axis=0) / volume.sum()
        means.append(together)
        stds.append(np.sqrt(variance))
    if not means:
        return None
    return ClassPrior(
        mean=_rounded(np.mean(means, axis=0)),
        mean_spread=_rounded(np.std(means, axis=0)),
        std=_rounded(np.mean(stds, axis=0)),
        std_spread=_rounded(np.std(stds, axis=0)),
    )


def _cluster_priors(
    found: Clusters | None, background: ClassPrior | None, known: Sequence[ClassPrior | None], *, residual: float
) -> list[ClassPrior | None]:
    """Priors of the background's classes.

    The sample that the clusters come from is smoothed, which the residual makes up for. It does not tell the cases
    apart, so how much a cluster's mean and deviation vary from case to case is taken to be what it is for the labels
    on average, until they are measured (`measured`). Channels other than the first, which are not clustered, have the
    background's statistics.
    """
    if found is None or len(found.centres) == 1 or background is None:
        return [background]
    usual = [prior for prior in known if prior is not None] or [background]
    mean_spread = _rounded(np.mean([prior.mean_spread for prior in usual], axis=0))
    std_spread = _rounded(np.mean([prior.std_spread for prior in usual], axis=0))
    return [
        ClassPrior(
            mean=_rounded(np.array([centre, *background.mean[1:]])),
            mean_spread=mean_spread,
            std=_rounded(np.array([np.hypot(spread, residual), *background.std[1:]])),
            std_spread=std_spread,
        )
        for centre, spread in zip(found.centres, found.spreads, strict=True)
    ]


def _complete(priors: Sequence[ClassPrior | None]) -> tuple[ClassPrior, ...]:
    """A class that no case shows gets the average of the others."""
    seen = [prior for prior in priors if prior is not None]
    assert seen, "images without a single voxel"
    average = ClassPrior(
        **{
            field: _rounded(np.mean([getattr(prior, field) for prior in seen], axis=0))
            for field in ("mean", "mean_spread", "std", "std_spread")
        }
    )
    return tuple(prior or average for prior in priors)


def _rounded(values: np.ndarray) -> tuple[float, ...]:
    """Four decimals are finer than any noise and keep the plan readable."""
    return tuple(round(float(value), 4) for value in values)
