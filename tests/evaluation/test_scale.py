"""Surface Dice within one voxel: the same for a mouse as for a person, and for 1 mm voxels that within 1 mm."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from l2s_auto.evaluation import evaluate_case, evaluate_folders
from l2s_auto.evaluation.surface_distance import surface_metrics, tolerance_of, voxel_tolerance
from l2s_auto.io.volumes import write_label_map
from tests.scaled import FACTORS, scaled, scaled_affine

LABELS = {0: "background", 1: "A", 2: "B"}


def maps(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two boxes each, the second map's a little off."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(2):
        labels = np.zeros((20, 22, 12), dtype=np.int32)
        for value in (1, 2):
            x, y, z = rng.integers(1, 5, 3)
            labels[x + 8 * (value - 1) : x + 5 + 8 * (value - 1), y : y + 9, z : z + 5] = value
        made.append(labels)
    return made[0], made[1]


@pytest.mark.parametrize("factor", [1e-5, *FACTORS])
@pytest.mark.parametrize(
    "spacing", [(1.0, 1.0, 1.0), (0.9765625, 0.9765625, 3.0), (0.7, 1.3, 2.9), (1 / 3, 1 / 3, 1.0)]
)
def test_all_but_millimetres_are_the_same_in_every_unit(spacing, factor):
    for seed in range(4):
        own, other = (evaluate_case(*maps(seed), scaled(spacing, f), LABELS) for f in (1.0, factor))
        for name in ("A", "B"):
            for metric in ("dice", "nsd", "volume_error"):
                assert other[name][metric] == own[name][metric]
            assert other[name]["hd95_mm"] == pytest.approx(own[name]["hd95_mm"] * factor, rel=1e-5)
            assert 0 < own[name]["nsd"] < 1


@pytest.mark.parametrize("seed", range(5))
def test_voxels_of_one_millimetre_have_both_alike(seed):
    for scores in evaluate_case(*maps(seed), (1.0, 1.0, 1.0), LABELS).values():
        assert scores["nsd"] == scores["nsd_1mm"]


@pytest.mark.parametrize(
    ("shape", "spacing", "expected"),
    [
        ((9, 9, 9), (1.0, 1.0, 1.0), 1.0),
        ((9, 9, 9), (0.1, 0.1, 0.1), 0.1),
        ((9, 9, 9), (0.5, 0.5, 5.0), 0.5),  # within slices
        ((9, 9, 9), (5.0, 0.7, 0.5), 0.7),  # whichever way they lie
        ((9, 9, 9), (0.5, 5.0, 5.0), 5.0),
        ((9, 9, 1), (0.5, 0.7, 0.6), 0.7),  # a single slice has no thickness
        ((1, 9, 9), (0.01, 0.5, 0.5), 0.5),
        ((9, 1, 1), (0.5, 3.0, 3.0), 0.5),
        ((1, 1, 1), (0.5, 0.7, 3.0), 0.7),
        ((9, 9, 9), tuple(map(float, np.float32([0.1, 0.1, 0.1]))), 0.1),  # as headers hold it
    ],
)
def test_the_tolerance_is_a_voxel_within_the_slices(shape, spacing, expected):
    assert voxel_tolerance(shape, spacing) == expected


def test_an_error_of_one_voxel_is_within_the_tolerance_and_one_of_two_is_not():
    mask = np.zeros((16, 16, 16), bool)
    mask[4:10, 4:10, 4:10] = True
    for spacing in ((0.1, 0.1, 0.1), (1 / 3, 1 / 3, 1 / 3), scaled((0.7, 0.7, 0.7), 0.02)):
        tolerance = voxel_tolerance(mask.shape, spacing)
        shifted = [surface_metrics(mask, np.roll(mask, n, axis=0), spacing, tolerances=(tolerance,))[1] for n in (1, 2)]
        assert shifted[0] == 1 > shifted[1]


def write(folder: Path, name: str, labels: np.ndarray, factor: float) -> None:
    write_label_map(folder / f"{name}.nii.gz", labels, scaled_affine(np.diag([1.0, 1.0, 2.0, 1.0]), factor))


def test_metrics_tell_their_tolerance(tmp_path: Path) -> None:
    predictions, references = tmp_path / "p", tmp_path / "r"
    for name in ("a", "b"):
        for folder, labels in zip((predictions, references), maps(), strict=True):
            write(folder, name, labels, 0.1)
    found = json.loads(json.dumps(evaluate_folders(predictions, references, LABELS)))
    assert found["tolerance_mm"] == 0.1 and [case["tolerance_mm"] for case in found["cases"]] == [0.1, 0.1]
    assert tolerance_of(references / "a.nii.gz") == 0.1
    assert not [note for note in found["notes"] if "tolerance" in note]
    expected = evaluate_case(*maps(), (0.1, 0.1, 0.2), LABELS)
    for name, scores in expected.items():
        assert found["labels"][name] == pytest.approx(scores, rel=1e-6)
    assert found["mean"]["nsd"] == pytest.approx(np.mean([scores["nsd"] for scores in expected.values()]))
    for folder, labels in zip((predictions, references), maps(), strict=True):
        write(folder, "c", labels, 0.5)
    found = evaluate_folders(predictions, references, LABELS)
    assert found["tolerance_mm"] == 0.1, "the median"
    assert [case["tolerance_mm"] for case in found["cases"]] == [0.1, 0.1, 0.5]
    assert "nsd: the tolerance is one voxel of each reference, 0.1 to 0.5 mm" in found["notes"]
    for scores in found["labels"].values():
        assert scores["nsd"] == pytest.approx(expected["A" if scores is found["labels"]["A"] else "B"]["nsd"])
