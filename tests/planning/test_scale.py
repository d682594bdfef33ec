"""A plan does not depend on the size of the voxels, only on their ratios: a mouse is planned as a person is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from l2s_auto.core.plan import CaseFingerprint, Fingerprint, Plan
from l2s_auto.core.types import Case, Dataset
from l2s_auto.planning.choices import Choices
from l2s_auto.planning.fingerprint import fingerprint_of as joined
from l2s_auto.planning.fingerprint import measure_case
from l2s_auto.planning.low_resolution import low_resolution
from l2s_auto.planning.mirror import mirrored_pairs
from l2s_auto.planning.places import label_places
from l2s_auto.planning.planner import determine_spacing, make_plan
from l2s_auto.planning.topology import determine_topology
from l2s_auto.planning.warnings import warnings_of
from tests.planning.test_mirror import PAIRS, VALUES, head
from tests.scaled import FACTORS, scaled

SPACINGS = [
    [(1.0, 1.0, 1.0)] * 3,
    [(0.9765625, 0.9765625, 3.0), (0.9, 0.9, 2.5), (1.0, 1.0, 3.5)],
    [(0.7, 1.3, 2.9), (0.71, 1.2, 3.0)],
    [(1.0, 1.0, 3.0)] * 2,
]


@dataclass(frozen=True)
class Made:
    image: np.ndarray
    raw: np.ndarray
    labels: np.ndarray
    spacing: tuple[float, float, float]
    orientation: str = "RAS"


def measured(spacings, factor: float, shape=(25, 31, 21)) -> Fingerprint:
    """A dataset of scans with two labels and three tissues."""
    cases = tuple(Case(str(i), (Path(f"{i}.nii.gz"),), Path(f"{i}.nii.gz")) for i in range(len(spacings)))
    dataset = Dataset("made", Path("."), cases, ("MRI",), {0: "background", 3: "three", 9: "nine"})
    found = []
    for number, (case, spacing) in enumerate(zip(cases, spacings, strict=True)):
        rng = np.random.default_rng(number)
        labels = np.zeros(shape, dtype=np.int32)
        labels[4:8, 4:9, 4:8], labels[10:15, 4:8, 4:8] = 3, 9
        tissue = np.where(np.arange(shape[1])[:, None] < 12, 0.2, 0.8)
        image = (tissue + 0.05 * labels + rng.normal(0, 0.02, shape))[None].astype(np.float32)
        data = Made(image, 1000 * image, labels, scaled(spacing, factor))
        found.append(measure_case(number, case, data, cases=len(cases)))
    return joined(dataset, found)


def without_size(plan: Plan) -> dict:
    """What is not a length; sentences tell lengths."""
    dumped = plan.model_dump(mode="json", exclude={"spacing", "why"})
    dumped["generation"].pop("smoothing_mm")
    if dumped["low_resolution"]:
        dumped["low_resolution"].pop("spacing")
    return dumped


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("spacings", SPACINGS)
def test_a_scaled_dataset_has_the_same_plan_in_other_voxels(spacings, factor):
    own, other = measured(spacings, 1.0), measured(spacings, factor)
    assert other.unlabelled_sample == own.unlabelled_sample and other.smoothing_residual == own.smoothing_residual
    plans = [make_plan(found, memory_gb=8, device="cpu") for found in (own, other)]
    assert without_size(plans[1]) == without_size(plans[0])
    assert plans[1].spacing == pytest.approx([edge * factor for edge in plans[0].spacing], rel=1e-5)
    smoothing = [plan.generation.smoothing_mm for plan in plans]
    assert smoothing[1] == pytest.approx(smoothing[0] * factor, rel=1e-5)
    assert [warnings_of(*both) for both in zip((own, other), plans, strict=True)][1] == warnings_of(own, plans[0])
    for case, same in zip(other.cases, own.cases, strict=True):
        for value in (3, 9):
            assert case.label_volume[value] == pytest.approx(same.label_volume[value] * factor**3, rel=1e-5)
            assert case.label_piece[value] == pytest.approx(same.label_piece[value] * factor**3, rel=1e-5)
            assert case.label_centre[value] == pytest.approx([c * factor for c in same.label_centre[value]], rel=1e-5)
            assert case.label_spread[value] == pytest.approx([s * factor for s in same.label_spread[value]], rel=1e-5)


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.5, 0.5, 3.0), (0.7, 1.3, 2.9)])
def test_a_cascade_is_planned_in_voxels(fingerprint_of, spacing, factor):
    means = {0: (0.5,), 1: (0.4,), 2: (0.42,)}
    plans = [
        make_plan(
            fingerprint_of(shapes=[(301, 255, 199)] * 5, spacings=[scaled(spacing, f)] * 5, means=means, stds=means),
            memory_gb=8,
            device="cpu",
            choices=Choices(cascade=True),
        )
        for f in (1.0, factor)
    ]
    assert without_size(plans[1]) == without_size(plans[0])
    coarse = [plan.low_resolution.spacing for plan in plans]
    assert coarse[1] == pytest.approx([edge * factor for edge in coarse[0]], rel=1e-5)


@pytest.mark.parametrize("factor", [1e-5, 0.001, *FACTORS])
def test_a_coarser_grid_keeps_its_digits(factor):
    """Micrometres were rounded to 0 mm."""
    found = low_resolution((600, 600, 600), scaled((1.0, 1.0, 2.0), factor), patch_at=lambda _: (64, 64, 64))
    usual = low_resolution((600, 600, 600), (1.0, 1.0, 2.0), patch_at=lambda _: (64, 64, 64))
    assert found == pytest.approx([edge * factor for edge in usual], rel=1e-5)


@pytest.mark.parametrize("factor", [1e-5, *FACTORS])
def test_slices_three_times_as_thick_are_no_thicker_in_another_unit(fingerprint_of, factor):
    spacings = [scaled((1.0, 1.0, edge), factor) for edge in (3.0, 3.0, 2.0)]
    found, why = determine_spacing(fingerprint_of(shapes=[(256, 256, 40)] * 3, spacings=spacings))
    assert found == pytest.approx([factor, factor, 3 * factor], rel=1e-6) and "coarse axis" not in why
    assert f"{found[0]:g}" == f"{factor:g}", "no rounding errors of 32-bit headers"


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 2.0), (0.7, 0.7, 1.4), (0.3, 0.6, 1.2), (1.0, 1.9999, 4.0)])
def test_a_topology_depends_on_ratios(spacing, factor):
    patch = (64, 48, 32)
    own, other = (determine_topology(scaled(spacing, f), patch, base_features=8) for f in (1.0, factor))
    assert own == other


@pytest.mark.parametrize("factor", [1e-5, *FACTORS])
def test_pairs_are_found_in_any_unit(factor):
    def smaller(case: CaseFingerprint) -> CaseFingerprint:
        places = {
            name: {v: tuple(c * factor for c in place) for v, place in getattr(case, name).items()}
            for name in ("label_centre", "label_spread")
        }
        volume = {v: one * factor**3 for v, one in case.label_volume.items()}
        return case.model_copy(update={**places, "label_volume": volume, "spacing": scaled(case.spacing, factor)})

    cases = [smaller(head(seed, degrees=5, noise=1.0)) for seed in range(4)]
    assert mirrored_pairs(cases, VALUES) == PAIRS


def test_places_of_micrometres_are_not_rounded_away():
    labels = np.zeros((8, 8, 8), dtype=int)
    labels[2:4, 2:4, 3] = 1
    centre, spread = label_places(labels, np.array([0, 1]), (0.0003, 0.0003, 0.001))
    assert centre[1] == pytest.approx((0.0009, 0.0009, 0.0035)) and spread[1] == pytest.approx((0.00015, 0.00015, 0))
