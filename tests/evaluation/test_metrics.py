"""Metrics against brute force, their laws, and what is undefined."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from l2s_auto.core.errors import UserError
from l2s_auto.evaluation import evaluate_case, evaluate_folders, summarise
from l2s_auto.evaluation.overlap import dice, volume_error
from l2s_auto.evaluation.surface_distance import surface_metrics
from l2s_auto.io.json_files import write_json
from l2s_auto.io.volumes import write_label_map

SPACING = (0.7, 1.3, 2.9)
LABELS = {0: "background", 1: "A", 77: "B"}


def _surface_points(mask: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    """Voxels with a face neighbour outside of the mask, one by one."""
    points = []
    for index in np.argwhere(mask):
        for axis in range(3):
            if mask.shape[axis] == 1:
                continue
            for step in (-1, 1):
                neighbour = index.copy()
                neighbour[axis] += step
                if not 0 <= neighbour[axis] < mask.shape[axis] or not mask[tuple(neighbour)]:
                    points.append(tuple(index))
    return np.array(sorted(set(points))) * spacing


def _brute_force(p: np.ndarray, r: np.ndarray, spacing: tuple[float, ...]) -> tuple[float, float]:
    first, second = _surface_points(p, spacing), _surface_points(r, spacing)
    distances = np.linalg.norm(first[:, None] - second[None], axis=-1)
    there, back = distances.min(axis=1), distances.min(axis=0)
    hd95 = max(np.percentile(there, 95), np.percentile(back, 95))
    return hd95, np.concatenate([there <= 1, back <= 1]).mean()


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("shape", [(7, 6, 5), (9, 8, 1)])
def test_surface_metrics_agree_with_brute_force(seed: int, shape: tuple[int, int, int]) -> None:
    generator = np.random.default_rng(seed)
    p, r = (generator.random(shape) < generator.choice([0.1, 0.5, 0.9]) for _ in range(2))
    p[0, 0, 0] = r[-1, -1, -1] = True
    assert surface_metrics(p, r, SPACING) == pytest.approx(_brute_force(p, r, SPACING))


@pytest.mark.parametrize("seed", range(5))
def test_identity_and_symmetry(seed: int) -> None:
    p, r = np.random.default_rng(seed).random((2, 6, 5, 4)) < 0.4
    assert dice(p, p) == 1 and volume_error(p, p) == 0
    assert surface_metrics(p, p, SPACING) == (0, 1)
    assert dice(p, r) == dice(r, p)
    assert dice(p, r) == pytest.approx(2 * (p & r).sum() / (p.sum() + r.sum()))
    assert surface_metrics(p, r, SPACING) == pytest.approx(surface_metrics(r, p, SPACING))
    np.testing.assert_allclose(
        surface_metrics(p[::-1].transpose(2, 0, 1), r[::-1].transpose(2, 0, 1), (SPACING[2], *SPACING[:2])),
        surface_metrics(p, r, SPACING),
    )


@pytest.mark.parametrize("axis", range(3))
def test_hd95_of_a_shifted_box_is_the_shift(axis: int) -> None:
    p = np.zeros((16, 16, 16), bool)
    p[3:9, 3:9, 3:9] = True
    r = np.roll(p, 3, axis=axis)
    assert surface_metrics(p, r, SPACING)[0] == pytest.approx(3 * SPACING[axis])
    nsd = surface_metrics(p, np.roll(p, 1, axis=axis), (1.0, 1.0, 1.0))[1]
    assert nsd == 1  # one voxel of 1 mm is within 1 mm


def test_volume_error_is_relative_to_the_reference() -> None:
    r = np.arange(10) < 4
    assert volume_error(np.arange(10) < 6, r) == 0.5
    assert volume_error(np.arange(10) < 2, r) == 0.5
    assert volume_error(r, np.zeros(10, bool)) is None


def test_undefined_metrics_are_none_and_noted() -> None:
    empty = np.zeros((4, 4, 4), int)
    full = np.ones((4, 4, 4), int)
    scores = {
        name: evaluate_case(p, r, SPACING, {0: "background", 1: "A"})["A"]
        for name, p, r in (("both", empty, empty), ("reference", full, empty), ("prediction", empty, full))
    }
    assert scores["both"] == {"dice": None, "hd95_mm": None, "nsd_1mm": None, "nsd": None, "volume_error": None}
    assert scores["reference"] == {"dice": 0, "hd95_mm": None, "nsd_1mm": 0, "nsd": 0, "volume_error": None}
    assert scores["prediction"] == {"dice": 0, "hd95_mm": None, "nsd_1mm": 0, "nsd": 0, "volume_error": 1}
    summary = summarise([{"case": name, "labels": {"A": value}} for name, value in scores.items()])
    assert summary["labels"]["A"] == {"dice": 0, "hd95_mm": None, "nsd_1mm": 0, "nsd": 0, "volume_error": 1}
    assert summary["mean"] == summary["labels"]["A"]
    assert list(summary) == ["mean", "tolerance_mm", "labels", "cases", "notes"]
    notes = "\n".join(summary["notes"])
    assert "both, A: dice, hd95_mm, nsd_1mm, nsd, volume_error undefined, because neither" in notes
    assert "reference, A: hd95_mm, volume_error undefined, because the reference does not" in notes
    assert "prediction, A: hd95_mm undefined, because the prediction does not" in notes
    assert "A: hd95_mm undefined in every case" in notes and "mean: hd95_mm undefined" in notes


def test_means_skip_what_is_undefined_and_weigh_labels_equally() -> None:
    def scores(value: float | None) -> dict[str, float | None]:
        return {"dice": value, "hd95_mm": 1.0, "nsd_1mm": 1.0, "nsd": 1.0, "volume_error": 0.0}

    summary = summarise(
        [
            {"case": "a", "labels": {"A": scores(1.0), "B": scores(None)}},
            {"case": "b", "labels": {"A": scores(0.5), "B": scores(0.25)}},
        ]
    )
    assert summary["labels"]["A"]["dice"] == 0.75 and summary["labels"]["B"]["dice"] == 0.25
    assert summary["mean"]["dice"] == 0.5
    assert summarise([])["mean"]["dice"] is None and summarise([])["notes"]


def _labels(seed: int, values: tuple[int, ...] = (0, 1, 77)) -> np.ndarray:
    return np.random.default_rng(seed).choice(values, size=(5, 6, 4))


def _folders(tmp_path: Path) -> tuple[Path, Path]:
    predictions, references = tmp_path / "my predictions", tmp_path / "references"
    for seed in range(2):
        write_label_map(predictions / f"c{seed}.nii.gz", _labels(seed), np.eye(4))
        write_label_map(references / f"c{seed}.nrrd", _labels(seed), np.eye(4))
    return predictions, references


@pytest.mark.parametrize("workers", [0, 2])
def test_folders_are_matched_across_formats(tmp_path: Path, workers: int) -> None:
    predictions, references = _folders(tmp_path)
    write_json(predictions / "manifest.json", {})
    (predictions / "volumes.csv").write_text("case\n")
    (predictions / "overlays").mkdir()
    calls: list[tuple[int, int]] = []
    summary = evaluate_folders(predictions, references, LABELS, workers=workers, progress=lambda *n: calls.append(n))
    assert summary["mean"] == {"dice": 1, "hd95_mm": 0, "nsd_1mm": 1, "nsd": 1, "volume_error": 0}
    assert [case["case"] for case in summary["cases"]] == ["c0", "c1"] and list(summary["labels"]) == ["A", "B"]
    assert calls == [(1, 2), (2, 2)] and summary["notes"] == []
    write_json(tmp_path / "metrics.json", summary)


def test_two_files_of_other_names(tmp_path: Path) -> None:
    predictions, references = _folders(tmp_path)
    summary = evaluate_folders(predictions / "c0.nii.gz", references / "c1.nrrd", LABELS)
    assert [case["case"] for case in summary["cases"]] == ["c0"] and 0 < summary["mean"]["dice"] < 1


def test_values_without_a_name_are_noted(tmp_path: Path) -> None:
    predictions, references = _folders(tmp_path)
    notes = evaluate_folders(predictions, references, {1: "A"})["notes"]
    assert "c0: the prediction holds values without a name, not scored: 77" in notes and len(notes) == 4


def test_every_offender_is_named(tmp_path: Path) -> None:
    predictions, references = _folders(tmp_path)
    write_label_map(predictions / "lonely.nii.gz", _labels(0), np.eye(4))
    write_label_map(references / "unsegmented.nii.gz", _labels(0), np.eye(4))
    shifted = np.eye(4)
    shifted[0, 3] = 5
    for name, affine, labels in (("shifted", shifted, _labels(0)), ("cropped", np.eye(4), _labels(0)[:-1])):
        write_label_map(predictions / f"{name}.nii.gz", labels, affine)
        write_label_map(references / f"{name}.nii.gz", _labels(0), np.eye(4))
    write_label_map(references / "broken.nii.gz", _labels(0), np.eye(4))
    (predictions / "broken.nii.gz").write_bytes(b"")
    with pytest.raises(UserError) as caught:
        evaluate_folders(predictions, references, LABELS)
    message = str(caught.value)
    assert len(caught.value.offences) == 5
    for text in ("no reference of that name", "no prediction of that name", "5 mm away", "(4, 6, 4)", "0 bytes"):
        assert text in message


def test_missing_and_mixed_inputs(tmp_path: Path) -> None:
    predictions, references = _folders(tmp_path)
    with pytest.raises(UserError, match=r"(?s)nowhere.*neither"):
        evaluate_folders(tmp_path / "nowhere", tmp_path / "neither", LABELS)
    with pytest.raises(UserError, match="a file and a folder"):
        evaluate_folders(predictions / "c0.nii.gz", references, LABELS)
    (tmp_path / "e1").mkdir()
    (tmp_path / "e2").mkdir()
    with pytest.raises(UserError, match="no label maps"):
        evaluate_folders(tmp_path / "e1", tmp_path / "e2", LABELS)
