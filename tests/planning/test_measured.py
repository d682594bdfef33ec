"""Priors of clusters are those of the voxels that cases put into them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from l2s_auto.core.plan import Plan
from l2s_auto.core.types import Case, Dataset
from l2s_auto.planning.fingerprint import take_fingerprint
from l2s_auto.planning.measured import with_measured_clusters
from l2s_auto.planning.planner import make_plan
from l2s_auto.preprocessing.intensities import class_intensities
from l2s_auto.synthesis.classes import enrich

LEVELS = np.array([0.1, 0.4, 0.8])


@dataclass(frozen=True)
class Made:
    image: np.ndarray
    raw: np.ndarray
    labels: np.ndarray
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)
    orientation: str = "RAS"


def read(case: Case) -> Made:
    """Three slabs of tissue whose brightness differs from case to case, and a label in the middle."""
    rng = np.random.default_rng(int(case.id))
    region = np.repeat([0, 1, 2], 8)[:, None, None] * np.ones((24, 16, 16), dtype=int)
    image = (LEVELS + rng.normal(0, [0.01, 0.03, 0.01]))[region] + rng.normal(0, 0.06, region.shape)
    labels = np.zeros(region.shape, dtype=np.int32)
    labels[6:18, 6:10, 6:10] = 5
    both = np.stack([image, 1 - image]).astype(np.float32)
    return Made(both, both, labels)


def planned(count: int) -> tuple[Plan, Dataset]:
    cases = tuple(Case(str(i), (Path(f"{i}.nii.gz"),), Path(f"{i}.nii.gz")) for i in range(count))
    dataset = Dataset("made", Path("."), cases, ("a", "b"), {0: "background", 5: "five"})
    return make_plan(take_fingerprint(dataset, read=read), memory_gb=None, device="cpu"), dataset


def intensities(plan: Plan, dataset: Dataset) -> list[np.ndarray]:
    found = []
    for case in dataset.cases:
        made = read(case)
        target = (made.labels == 5).astype(np.int64)
        enriched = enrich(made.image, target, plan.generation, made.spacing)
        found.append(class_intensities(made.image, enriched, plan.generation))
    return found


def test_priors_are_the_tissues_own() -> None:
    plan, dataset = planned(12)
    measured = with_measured_clusters(plan, intensities(plan, dataset))
    assert measured.generation.enriched == plan.generation.enriched
    centres = np.array([label.centre for label in plan.generation.enriched if label.target == 0])
    for level, spread in zip(LEVELS, (0.01, 0.03, 0.01), strict=True):
        prior = measured.generation.priors[int(np.abs(centres - level).argmin())]
        assert prior.mean == pytest.approx((level, 1 - level), abs=0.03)
        assert prior.mean_spread[0] == pytest.approx(spread, rel=0.8) and prior.std[0] == pytest.approx(0.06, rel=0.25)
        assert prior.std == pytest.approx(prior.std[::-1], abs=1e-3), "the second channel is measured too"


def test_noise_is_measured_of_all_classes_or_taken_from_the_others() -> None:
    plan, dataset = planned(6)
    found = intensities(plan, dataset)
    for number in range(plan.generation.classes):
        found[number % 6][:, :, number] = np.nan  # a case without the class
    lacking = plan.generation.classes - 1
    for seen in found[1:]:
        seen[:, :, lacking] = np.nan
    priors = with_measured_clusters(plan, found).generation.priors
    for prior in priors[:lacking]:
        assert len(prior.noise) == len(prior.noise_spread) == 2
        assert prior.drawn["std"] == prior.noise and prior.drawn["std_spread"] == prior.noise_spread
    tissues = [priors[e.generation_class].noise for e in plan.generation.enriched if e.target == 0]
    assert np.median(tissues, axis=0) == pytest.approx((0.06, 0.06), rel=0.2)
    last, ratio = priors[lacking], np.median([p.noise[0] / p.std[0] for p in priors[:lacking]])
    assert last.std == plan.generation.priors[lacking].std and last.noise[0] == pytest.approx(
        ratio * last.std[0], abs=2e-4
    )
    assert plan.generation.priors[0].drawn["std"] == plan.generation.priors[0].std, "not measured yet"


def test_a_class_without_neighbours_has_its_own_mean_yet_the_others_noise() -> None:
    plan, dataset = planned(4)
    whole, found = intensities(plan, dataset), intensities(plan, dataset)
    for seen in found:
        seen[2, :, 1] = np.nan
    own, other = (with_measured_clusters(plan, numbers).generation.priors for numbers in (whole, found))
    assert own[1].mean == other[1].mean and own[1].std == other[1].std and own[0] == other[0]
    assert other[1].noise_spread != own[1].noise_spread and len(other[1].noise) == len(other[1].noise_spread) == 2


def test_labels_as_they_are_keep_their_priors_and_few_cases_change_nothing() -> None:
    plan, dataset = planned(3)
    whole = {e.generation_class for e in plan.generation.enriched if e.centre is None}
    measured = with_measured_clusters(plan, intensities(plan, dataset))
    without = {"noise": (), "noise_spread": ()}
    assert all(measured.generation.priors[c].model_copy(update=without) == plan.generation.priors[c] for c in whole)
    plan, dataset = planned(1)
    assert with_measured_clusters(plan, intensities(plan, dataset)).generation.priors == plan.generation.priors


def test_what_is_measured_already_stays_as_it_is() -> None:
    plan, dataset = planned(3)
    assert not plan.generation.measured
    measured = with_measured_clusters(plan, intensities(plan, dataset))
    assert measured.generation.measured and measured.generation.priors != plan.generation.priors
    assert with_measured_clusters(measured, intensities(plan, dataset)[:2]) is measured
