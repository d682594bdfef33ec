"""Laws of the phantoms: deterministic, anatomically placed in world space, one anatomy for both contrasts."""

from __future__ import annotations

import json

import nibabel
import numpy as np
import pytest

from l2s_auto.experiments import phantoms
from l2s_auto.experiments.phantoms import LABELS, Head, make_head, render, write_dataset


@pytest.fixture(scope="module")
def heads() -> list[Head]:
    return [make_head(np.random.default_rng([0, number])) for number in range(4)]


def centre(head: Head, name: str) -> np.ndarray:
    """Centre of mass of a label in RAS+ mm."""
    voxels = np.argwhere(head.labels == LABELS[name])
    return head.affine[:3, :3] @ voxels.mean(axis=0) + head.affine[:3, 3]


def test_same_seed_gives_the_same_voxels(heads: list[Head]) -> None:
    again = make_head(np.random.default_rng([0, 1]))
    np.testing.assert_array_equal(again.tissue, heads[1].tissue)
    np.testing.assert_array_equal(again.affine, heads[1].affine)
    scans = [render(again, np.random.default_rng(5)) for _ in range(2)]
    np.testing.assert_array_equal(*scans)


def test_another_seed_gives_another_head(heads: list[Head]) -> None:
    assert heads[0].tissue.shape != heads[1].tissue.shape or np.any(heads[0].tissue != heads[1].tissue)


def test_every_label_is_in_every_case_and_large_enough(heads: list[Head]) -> None:
    for head in heads:
        labels = head.labels
        assert set(np.unique(labels)) == set(LABELS.values())
        for name, value in LABELS.items():
            assert np.count_nonzero(labels == value) > 100, name


def test_left_is_left_in_world_space_whatever_the_axes(heads: list[Head]) -> None:
    assert len({nibabel.aff2axcodes(head.affine) for head in heads}) > 1
    for head in heads:
        for structure in ("ventricle", "deep nuclei"):
            left, right = centre(head, f"left {structure}")[0], centre(head, f"right {structure}")[0]
            assert left < right - 10, f"{structure}: left at {left:.1f} mm, right at {right:.1f} mm"


def test_head_is_upright_in_world_space(heads: list[Head]) -> None:
    for head in heads:
        white, cerebellum, stem = (centre(head, n) for n in ("white matter", "cerebellum", "brainstem"))
        assert cerebellum[2] < white[2] and stem[2] < white[2]
        assert cerebellum[1] < stem[1] < white[1] + 5


def test_grids_differ_and_stay_small(heads: list[Head]) -> None:
    assert len({head.labels.shape for head in heads}) > 1
    for head in heads:
        assert max(head.labels.shape) <= 112
        spacing = np.linalg.norm(head.affine[:3, :3], axis=0)
        assert np.all((spacing > 3.5) & (spacing < 5.3))


def test_inverted_contrast_exchanges_fluid_and_white_matter_but_air_stays_dark(heads: list[Head]) -> None:
    head = heads[0]
    labels = head.labels
    t1, inverted = (
        render(head, np.random.default_rng(1), contrast=contrast).astype(float) for contrast in phantoms.CONTRASTS
    )
    white, fluid = labels == LABELS["white matter"], labels == LABELS["left ventricle"]
    air = np.zeros_like(white)
    air[:4, :4, :4] = True
    assert t1[white].mean() > 2 * t1[fluid].mean()
    assert inverted[fluid].mean() > 2 * inverted[white].mean()
    for image in (t1, inverted):
        assert image[air].mean() < 0.25 * image[white | fluid].mean()


def test_dataset_is_written_in_the_raw_layout(tmp_path) -> None:
    folder = write_dataset(tmp_path / "Köpfe und Hälse", cases=2, test_cases=1, seed=3)
    description = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    assert description["labels"] == LABELS and description["numTraining"] == 2
    assert [p.name for p in sorted((folder / "imagesTr").iterdir())] == [
        "head_001_0000.nii.gz",
        "head_002_0000.nii.gz",
    ]
    (scan,), (inverted,), (label,) = (
        list((folder / name).iterdir()) for name in ("imagesTs", "imagesTs_inverted", "labelsTs")
    )
    assert scan.name == inverted.name == "head_003_0000.nii.gz" and label.name == "head_003.nii.gz"
    images = [nibabel.load(path) for path in (scan, inverted, label)]
    for image in images[1:]:
        assert image.shape == images[0].shape
        np.testing.assert_allclose(image.affine, images[0].affine)
    assert set(np.unique(np.asarray(images[2].dataobj))) == set(LABELS.values())
