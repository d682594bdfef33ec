"""Priors of clusters are those of the voxels that cases put into them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from l2s_auto.core.plan import Plan
from l2s_auto.core.types import Case, Dataset
from l2s_auto.planning.fingerprint import take_fingerprint
from l2s_auto.planning.measured import MOST_CASES, with_measured_clusters
from l2s_auto.planning.planner import make_plan
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


def test_priors_are_the_tissues_own() -> None:
    plan, dataset = planned(12)
    measured = with_measured_clusters(plan, dataset, read=read, enrich=enrich)
    assert measured.generation.enriched == plan.generation.enriched
    centres = np.array([label.centre for label in plan.generation.enriched if label.target == 0])
    for level, spread in zip(LEVELS, (0.01, 0.03, 0.01), strict=True):
        prior = measured.generation.priors[int(np.abs(centres - level).argmin())]
        assert prior.mean == pytest.approx((level, 1 - level), abs=0.03)
        assert prior.mean_spread[0] == pytest.approx(spread, rel=0.8) and prior.std[0] == pytest.approx(0.06, rel=0.25)
        assert prior.std == pytest.approx(prior.std[::-1], abs=1e-3), "the second channel is measured too"


def test_labels_as_they_are_keep_their_priors_and_few_cases_change_nothing() -> None:
    plan, dataset = planned(3)
    whole = {e.generation_class for e in plan.generation.enriched if e.centre is None}
    measured = with_measured_clusters(plan, dataset, read=read, enrich=enrich)
    assert all(measured.generation.priors[c] == plan.generation.priors[c] for c in whole)
    plan, dataset = planned(1)
    assert with_measured_clusters(plan, dataset, read=read, enrich=enrich) == plan


def test_reads_some_cases_only_and_none_without_clusters() -> None:
    plan, dataset = planned(2 * MOST_CASES)
    seen: list[str] = []

    def counting(case: Case) -> Made:
        seen.append(case.id)
        return read(case)

    with_measured_clusters(plan, dataset, read=counting, enrich=enrich)
    assert len(seen) == MOST_CASES and seen[0] == "0" and seen[-1] == str(2 * MOST_CASES - 1)
    bare = plan.model_copy(update={"generation": plan.generation.model_copy(update={"priors": ()})})
    assert with_measured_clusters(bare, dataset, read=counting, enrich=enrich) is bare and len(seen) == MOST_CASES
