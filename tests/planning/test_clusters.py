from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import ndimage

from l2s_auto.planning.clusters import _noise_kept, determine_generation, group_labels
from l2s_auto.planning.kmeans import _best_splits, find_clusters
from l2s_auto.planning.planner import determine_labels


def mixture(means, sds, counts, seed=0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.normal(m, s, n) for m, s, n in zip(means, sds, counts, strict=True)])


@pytest.mark.parametrize("k", [2, 3, 4, 5])
def test_distinct_tissues_are_found(k) -> None:
    means = np.linspace(0.1, 0.9, k)
    found = find_clusters(mixture(means, [0.03] * k, [3000, 900, 2000, 1500, 1200][:k]))
    np.testing.assert_allclose(found.centres, means, atol=0.01)
    np.testing.assert_allclose(found.spreads, 0.03, atol=0.005)
    assert found.shares.sum() == pytest.approx(1)


@pytest.mark.parametrize("k", range(1, 7))
@pytest.mark.parametrize("noise", [0.02, 0.03, 0.04])
@pytest.mark.parametrize("even", [True, False])
def test_the_number_of_tissues_follows_from_the_sample(k, noise, even) -> None:
    counts = [2000] * k if even else [4000, 800, 2500, 1200, 3000, 1000][:k]
    means = np.linspace(0.08, 0.92, k) if k > 1 else [0.5]
    assert len(find_clusters(mixture(means, [noise] * k, counts), noise=noise).centres) == k


@pytest.mark.parametrize("shape", [(48, 48, 48), (160, 160, 1), (60, 1, 70)])
def test_what_smoothing_leaves_of_noise(shape, fingerprint_of) -> None:
    image = np.random.default_rng(0).normal(0, 0.1, shape)
    smooth = ndimage.gaussian_filter(image, 0.7, mode="nearest")
    kept = _noise_kept(fingerprint_of(shapes=[shape]).cases)
    assert kept == pytest.approx(smooth.std() / (image - smooth).std(), rel=0.05)


def test_noise_that_smoothing_leaves_is_no_reason_to_split() -> None:
    noisy = mixture([0.3, 0.7], [0.07, 0.07], [3000, 3000])
    assert len(find_clusters(noisy, noise=0.07).centres) == 2 < len(find_clusters(noisy).centres)


def test_much_air_is_a_cluster_and_does_not_hide_tissues() -> None:
    air = np.zeros(30_000)
    tissue = mixture([0.4, 0.6, 0.8], [0.03] * 3, [1000] * 3)
    found = find_clusters(np.concatenate([air, tissue]))
    np.testing.assert_allclose(found.centres, [0, 0.4, 0.6, 0.8], atol=0.01)


def test_a_broad_mixture_gives_about_five() -> None:
    assert len(find_clusters(np.random.default_rng(0).uniform(0, 1, 20_000)).centres) in (5, 6)
    assert len(find_clusters(np.random.default_rng(0).normal(0.5, 0.2, 20_000)).centres) in (4, 5, 6)


@pytest.mark.parametrize("value", [0.0, 0.37])
def test_constant_tissue_is_one_cluster(value) -> None:
    assert find_clusters(np.full(100, value)).centres == pytest.approx([value])
    assert len(find_clusters(np.array([value])).centres) == 1


def test_phantom_with_two_exact_values_gives_two() -> None:
    assert find_clusters(np.repeat([0.1, 0.9], [70, 30])).centres == pytest.approx([0.1, 0.9])


def test_splits_agree_with_brute_force() -> None:
    values = np.sort(np.random.default_rng(3).uniform(0, 1, 14))
    _, within = _best_splits(values)
    for k in (1, 2, 3, 4):
        best = min(
            sum(np.sum((part - part.mean()) ** 2) for part in np.split(values, cuts))
            for cuts in itertools.combinations(range(1, len(values)), k - 1)
        )
        assert within[k - 1] == pytest.approx(best, rel=1e-6)


def test_labels_that_do_not_differ_are_grouped(fingerprint_of) -> None:
    means = [{1: (0.4 + d,), 2: (0.43 + d,), 3: (0.8 + d,)} for d in (0.0, 0.2, -0.2)]
    stds = {1: (0.1,), 2: (0.1,), 3: (0.1,)}
    fingerprint = fingerprint_of(shapes=[(9, 9, 9)] * 3, means=means, stds=stds)
    assert group_labels(fingerprint.cases, [1, 2, 3], []) == [[1, 2], [3]]


def test_labels_are_compared_within_a_case_not_over_cases(fingerprint_of) -> None:
    """Each case has another scale; over all cases the means overlap, within each they differ clearly."""
    means = [{1: (m,), 2: (m + 0.15,)} for m in (0.1, 0.4, 0.7)]
    fingerprint = fingerprint_of(shapes=[(9, 9, 9)] * 3, means=means, stds={1: (0.05,), 2: (0.05,)})
    assert group_labels(fingerprint.cases, [1, 2], []) == [[1], [2]]


def test_a_chain_of_alike_labels_is_not_one_group(fingerprint_of) -> None:
    values = list(range(1, 11))
    means = {v: (0.04 * v,) for v in values}
    fingerprint = fingerprint_of(means=means, stds=dict.fromkeys(values, (0.1,)))
    groups = group_labels(fingerprint.cases, values, [])
    assert 2 < len(groups) < 10 and sorted(value for group in groups for value in group) == values


def test_pairs_always_share(fingerprint_of) -> None:
    means = {1: (0.2,), 2: (0.9,), 3: (0.5,)}
    fingerprint = fingerprint_of(means=means, stds=dict.fromkeys(means, (0.01,)))
    assert group_labels(fingerprint.cases, [1, 2, 3], [(2, 1)]) == [[1, 2], [3]]


def test_a_second_channel_tells_labels_apart(fingerprint_of) -> None:
    means = {1: (0.5, 0.1), 2: (0.5, 0.9)}
    fingerprint = fingerprint_of(means=means, stds={1: (0.1, 0.1), 2: (0.1, 0.1)}, channels=("T1", "T2"))
    assert group_labels(fingerprint.cases, [1, 2], []) == [[1], [2]]


def test_labels_never_seen_together_or_at_all(fingerprint_of) -> None:
    means = [{1: (0.5,)}, {2: (0.51,)}]
    stds = [{1: (0.1,)}, {2: (0.1,)}]
    fingerprint = fingerprint_of(shapes=[(9, 9, 9)] * 2, means=means, stds=stds)
    assert group_labels(fingerprint.cases, [1, 2, 3], []) == [[1, 2], [3]]


def test_generation_with_images(fingerprint_of) -> None:
    means = [{0: (0.5,), 1: (0.40 + d,), 2: (0.41 + d,)} for d in (-0.1, 0.1)]
    stds = {0: (0.3,), 1: (0.04,), 2: (0.04,)}
    sample = mixture([0.1, 0.5, 0.9], [0.03] * 3, [500, 400, 300])
    fingerprint = fingerprint_of(shapes=[(9, 9, 9)] * 2, means=means, stds=stds, sample=sample)
    generation = determine_generation(fingerprint, determine_labels(fingerprint), (), smoothing_mm=0.7)
    assert [label.target for label in generation.enriched] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert [label.generation_class for label in generation.enriched] == [0, 1, 2, 3, 4, 5, 3, 4, 5]
    centres = [label.centre for label in generation.enriched]
    assert centres[:3] == pytest.approx([0.1, 0.5, 0.9], abs=0.01) and centres == 3 * centres[:3]
    assert generation.smoothing_mm == 0.7 and len(generation.priors) == 6
    assert generation.priors[0].mean == pytest.approx((0.1,), abs=0.01)
    assert generation.priors[0].mean_spread == (0.1,), "the labels' spread stands in for the clusters'"
    assert generation.priors[3:] == generation.priors[:3], "until they are measured"
    assert generation.structures == (0, 1, 2, 3, 3, 3) and generation.tissues == (0, 1, 2, 0, 1, 2)


def test_parts_of_labels_have_the_labels_own_brightness_in_other_channels(fingerprint_of) -> None:
    means, stds = {0: (0.5, 0.3), 1: (0.4, 0.8)}, {0: (0.3, 0.1), 1: (0.04, 0.02)}
    sample = mixture([0.1, 0.5, 0.9], [0.03] * 3, [500, 400, 300])
    fingerprint = fingerprint_of(
        labels={0: "background", 1: "a"}, means=means, stds=stds, sample=sample, channels=("T1", "T2")
    )
    generation = determine_generation(fingerprint, determine_labels(fingerprint), (), smoothing_mm=0.7)
    count = len(generation.priors) // 2
    assert [prior.mean[1] for prior in generation.priors] == pytest.approx([0.3] * count + [0.8] * count)
    assert generation.tissues == (*range(count), *[count] * count), "the second channel tells the label apart"


def test_generation_without_images(fingerprint_of) -> None:
    labels = {0: "background", 1: "left a", 2: "right a", 7: "b"}
    fingerprint = fingerprint_of(labels=labels, channels=())
    generation = determine_generation(fingerprint, determine_labels(fingerprint), ((1, 2),), smoothing_mm=0.7)
    assert [label.generation_class for label in generation.enriched] == [0, 1, 1, 2]
    assert all(label.centre is None for label in generation.enriched)
    assert generation.priors == () and generation.smoothing_mm == 0


def test_constant_background_stays_whole_and_unseen_labels_get_a_prior(fingerprint_of) -> None:
    means, stds = {0: (0.0,), 1: (0.4,)}, {0: (0.0,), 1: (0.1,)}
    fingerprint = fingerprint_of(means=means, stds=stds, sample=np.zeros(50))
    generation = determine_generation(fingerprint, determine_labels(fingerprint), (), smoothing_mm=0.7)
    assert [label.generation_class for label in generation.enriched] == [0, 1, 2]
    assert [prior.mean for prior in generation.priors] == [(0.0,), (0.4,), (0.2,)]
