"""Labels of several tissues become three parts."""

import numpy as np
import pytest

from l2s_auto.core.plan import ClassPrior
from l2s_auto.planning.clusters import determine_generation
from l2s_auto.planning.planner import determine_labels
from l2s_auto.planning.spread import is_wide, parts_of


def prior(mean: float, std: float) -> ClassPrior:
    return ClassPrior(mean=(mean, 0.7), mean_spread=(0.01, 0.01), std=(std, 0.2), std_spread=(0.0, 0.0))


@pytest.mark.parametrize("residual", [0.0, 0.05])
def test_parts_together_have_the_labels_mean_and_deviation(residual: float) -> None:
    """Shares of a Gaussian below, between and above thresholds of 0.612 standard deviations: 0.27, 0.46, 0.27."""
    parts = parts_of(prior(0.4, 0.1), residual=residual)
    shares = np.array([0.2703, 0.4594, 0.2703])
    means, stds = (np.array([getattr(p, field)[0] for p in parts]) for field in ("mean", "std"))
    assert (shares * means).sum() == pytest.approx(0.4, abs=1e-3)
    variance = (shares * (stds**2 + (means - 0.4) ** 2)).sum()
    assert np.sqrt(variance) == pytest.approx(0.1, rel=0.01)


def test_other_channels_stay_as_they_are() -> None:
    assert all(p.mean[1] == 0.7 and p.std[1] == 0.2 for p in parts_of(prior(0.4, 0.1), residual=0.0))


def test_noise_alone_is_not_spread_apart() -> None:
    parts = parts_of(prior(0.4, 0.05), residual=0.06)
    assert [p.mean[0] for p in parts] == [0.4] * 3 and parts[0].std[0] == pytest.approx(0.06)


def test_a_label_is_wide_beside_narrow_clusters() -> None:
    clusters = [prior(0.1, 0.05), prior(0.5, 0.06), prior(0.9, 0.2)]
    assert is_wide(prior(0.4, 0.1), clusters) and not is_wide(prior(0.4, 0.08), clusters)


def test_wide_labels_are_split_and_share_their_classes(fingerprint_of) -> None:
    rng = np.random.default_rng(0)
    sample = np.concatenate([rng.normal(m, 0.03, 400) for m in (0.1, 0.5, 0.9)])
    means = [{0: (0.5,), 1: (0.40,), 2: (0.41,)}] * 2
    stds = [{0: (0.3,), 1: (0.1,), 2: (0.1,)}] * 2
    fingerprint = fingerprint_of(shapes=[(9, 9, 9)] * 2, means=means, stds=stds[0], sample=sample)
    generation = determine_generation(fingerprint, determine_labels(fingerprint), (), smoothing_mm=0.7)
    labels = generation.enriched[3:]
    assert [label.target for label in labels] == [1, 1, 1, 2, 2, 2]
    assert [label.generation_class for label in labels] == [3, 4, 5, 3, 4, 5]
    assert [label.centre for label in labels] == [p.mean[0] for p in generation.priors[3:]] * 2
