"""Left-right pairs by mirror symmetry: found in turned heads, and never where there is no evidence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from l2s_auto.core.plan import CaseFingerprint
from l2s_auto.core.types import Case, Dataset
from l2s_auto.planning.fingerprint import take_fingerprint
from l2s_auto.planning.mirror import mirrored_pairs
from l2s_auto.planning.pairs import determine_pairs
from l2s_auto.planning.places import label_places

DATA = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
PAIRS = ((1, 11), (2, 12), (3, 13), (4, 14), (5, 15), (6, 16))
HALF = np.array(  # centres of the right half, mm from the middle of the head
    [[30, -10, 20], [33, 5, 22], [12, 0, 0], [14, 12, 4], [24, 2, -4], [26, -18, -12]], dtype=float
)
SIZES = np.array([9, 10, 5, 4, 4, 3.0])
MIDLINE = {20: [0, -30, -30], 21: [0, 5, -5], 22: [0, 0, 0], 23: [0, 2, 3]}


def turn(degrees: float, *, axis: int) -> np.ndarray:
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    matrix = np.eye(3)
    i, j = [k for k in range(3) if k != axis]
    matrix[i, i], matrix[i, j], matrix[j, i], matrix[j, j] = c, -s, s, c
    return matrix


def head(seed: int, *, degrees: float = 0.0, noise: float = 0.0, lacking: tuple[int, ...] = ()) -> CaseFingerprint:
    """Six pairs and four midline labels, of which two are shells that surround the head."""
    rng = np.random.default_rng(seed)
    rotation = turn(degrees, axis=2) @ turn(degrees / 2, axis=1)
    centre, spread, volume = {}, {}, {}
    for (left, right), place, size in zip(PAIRS, HALF, SIZES, strict=True):
        for value, side in ((left, -1), (right, 1)):
            point = place * [side, 1, 1] + rng.normal(0, noise, 3)
            centre[value] = tuple((rotation @ point + [80 + seed, 90, 70]).tolist())
            spread[value] = (0.4 * size, 0.6 * size, 0.5 * size)
            volume[value] = size**3 * float(np.exp(rng.normal(0, 0.05)))
    for value, place in MIDLINE.items():
        centre[value] = tuple((rotation @ (np.array(place) + rng.normal(0, noise, 3)) + [80 + seed, 90, 70]).tolist())
        spread[value], volume[value] = ((40.0, 45.0, 40.0), 4000.0) if value >= 22 else ((6.0, 8.0, 8.0), 900.0)
    keep = [value for value in centre if value not in lacking]
    return CaseFingerprint(
        id=str(seed),
        subject=str(seed),
        shape=(160, 180, 150),
        spacing=(1.0, 1.0, 1.0),
        label_volume={v: volume[v] for v in keep},
        label_mean={},
        label_std={},
        label_centre={v: centre[v] for v in keep},
        label_spread={v: spread[v] for v in keep},
    )


VALUES = sorted([value for pair in PAIRS for value in pair] + list(MIDLINE))


@pytest.mark.parametrize("degrees", [-12, 0, 10])
@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_pairs_are_found_in_turned_heads_and_midline_labels_stay_alone(degrees: float, noise: float) -> None:
    cases = [head(seed, degrees=degrees * (-1) ** seed, noise=noise) for seed in range(4)]
    assert mirrored_pairs(cases, VALUES) == PAIRS


def test_one_case_is_enough_and_order_does_not_matter() -> None:
    assert mirrored_pairs([head(3)], VALUES[::-1]) == PAIRS


def test_mirroring_the_head_exchanges_left_and_right() -> None:
    case = head(0, degrees=5)
    flipped = case.model_copy(
        update={"label_centre": {v: (160 - x, y, z) for v, (x, y, z) in case.label_centre.items()}}
    )
    assert mirrored_pairs([flipped], VALUES) == tuple((right, left) for left, right in PAIRS)


def test_cases_that_lack_labels_do_not_matter() -> None:
    cases = [head(0, lacking=(1, 12, 20)), head(1, lacking=(13,)), head(2), head(3, lacking=tuple(VALUES))]
    assert mirrored_pairs(cases, VALUES) == PAIRS


def test_a_label_that_no_case_holds_has_no_partner() -> None:
    assert mirrored_pairs([head(0, lacking=(16,))], VALUES) == PAIRS[:5]


def test_few_labels_are_no_evidence() -> None:
    lacking = tuple(v for v in VALUES if v not in (1, 11, 2, 12, 20, 21))
    assert mirrored_pairs([head(0, lacking=lacking)], VALUES) == ()
    assert mirrored_pairs([], VALUES) == () and mirrored_pairs([head(0)], [1, 11]) == ()


def test_labels_on_one_side_have_no_pairs() -> None:
    lacking = tuple(v for v in VALUES if v in (11, 12, 13, 14, 15, 16))
    assert mirrored_pairs([head(seed, noise=1, lacking=lacking) for seed in range(3)], VALUES) == ()


@pytest.mark.parametrize("seed", range(8))
def test_scattered_labels_have_no_pairs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    case = head(0)
    base = {value: rng.uniform(0, 100, 3) for value in VALUES}
    given = {"label_volume": dict.fromkeys(VALUES, 500.0), "label_spread": dict.fromkeys(VALUES, (3.0, 3.0, 3.0))}
    cases = [
        case.model_copy(
            update={"label_centre": {v: tuple((p + rng.normal(0, 2, 3)).tolist()) for v, p in base.items()}, **given}
        )
        for _ in range(3)
    ]
    assert len(mirrored_pairs(cases, VALUES)) == 0


def test_other_volumes_are_no_partners() -> None:
    cases = [head(seed) for seed in range(3)]
    for case in cases:
        case.label_volume[11] *= 1.5
    assert mirrored_pairs(cases, VALUES) == PAIRS[1:]


def test_names_win_over_mirror_images() -> None:
    names = {0: "background", **{value: str(value) for value in VALUES}}
    assert determine_pairs(names, [head(0)]) == PAIRS
    assert determine_pairs(names) == ()
    told = {**names, 1: "left a", 12: "right a", 3: "left c"}
    assert determine_pairs(told, [head(0)]) == ((1, 12), *PAIRS[3:])


def test_places_are_those_of_a_mask_a_label() -> None:
    rng = np.random.default_rng(0)
    for shape in ((9, 7, 5), (300, 6, 1)):
        labels = rng.choice([0, 3, 70], size=shape)
        centre, spread = label_places(labels, np.array([0, 3, 70]), (1.0, 2.0, 0.5))
        assert set(centre) == {3, 70}
        for value in centre:
            where = (np.argwhere(labels == value) + 0.5) * [1.0, 2.0, 0.5]
            close = {"abs": 0.01} if shape[0] < 128 else {"abs": 8}
            assert centre[value] == pytest.approx(where.mean(axis=0), **close)
            assert spread[value] == pytest.approx(where.std(axis=0), **close)


@pytest.mark.skipif(
    not (DATA / "brain_label_maps").exists(), reason="the head label maps are not beside the repository"
)
def test_pairs_of_real_heads_with_numbers_for_names() -> None:
    files = sorted((DATA / "brain_label_maps").glob("*.nii.gz"))[::2]
    cases = tuple(Case(path.name, (), path) for path in files)
    values = np.unique(_read_bare(cases[0]).labels).tolist()
    dataset = Dataset("heads", DATA, cases, (), {int(value): str(int(value)) for value in values})
    fingerprint = take_fingerprint(dataset, read=_read_bare)
    pairs = determine_pairs(dataset.labels, fingerprint.cases)
    certain = {(2, 41), (3, 42), (4, 43), (7, 46), (8, 47), (10, 49), (11, 50), (12, 51), (13, 52), (17, 53), (18, 54)}
    assert certain <= set(pairs)
    assert set(pairs) <= certain | {(5, 44), (26, 58), (28, 60), (136, 163), (137, 164), (30, 62), (25, 57)}


def _read_bare(case: Case):
    from l2s_auto.preprocessing.read import read_for_fingerprint

    return read_for_fingerprint(case, normalisation=())


@pytest.mark.skipif(not (DATA / "Dataset004_Hippocampus").exists(), reason="the hippocampus cases are not beside it")
def test_anterior_and_posterior_are_no_pair() -> None:
    files = sorted((DATA / "Dataset004_Hippocampus" / "labelsTr").glob("*.nii.gz"))[:30]
    cases = tuple(Case(path.name, (), path) for path in files)
    dataset = Dataset("hippocampus", DATA, cases, (), {0: "background", 1: "1", 2: "2"})
    assert determine_pairs(dataset.labels, take_fingerprint(dataset, read=_read_bare).cases) == ()
