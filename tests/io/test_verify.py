"""Every message of the verification fires, and all offenders stand in one error."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest

from l2s_auto.core.errors import UserError
from l2s_auto.core.types import Case, Dataset, Volume
from l2s_auto.io import content
from l2s_auto.io.dataset import find_dataset, verify_dataset
from l2s_auto.io.geometry import corner_offset
from l2s_auto.io.json_files import write_json
from l2s_auto.io.parallel import map_cases
from l2s_auto.io.volumes import write_label_map, write_volume

SHAPE = (6, 7, 8)


def _image(folder: Path, name: str, *, shape: tuple[int, ...] = SHAPE, affine: np.ndarray | None = None) -> None:
    data = np.random.default_rng(list(name.encode())).random((1, *shape)).astype(np.float32)
    write_volume(folder / "imagesTr" / f"{name}.nii.gz", Volume(data, np.eye(4) if affine is None else affine))


def _label(folder: Path, name: str, *, value: int = 1, affine: np.ndarray | None = None) -> None:
    labels = np.zeros(SHAPE, int)
    labels[2:4, 2:4, 2:4] = value
    write_label_map(folder / "labelsTr" / f"{name}.nii.gz", labels, np.eye(4) if affine is None else affine)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A good dataset of two cases and one channel."""
    for case in ("good1", "good2"):
        _image(tmp_path, f"{case}_0000")
        _label(tmp_path, case)
    write_json(tmp_path / "dataset.json", {"channel_names": {"0": "MR"}, "labels": {"background": 0, "organ": 1}})
    return tmp_path


def _offences(folder: Path, **options: float) -> list[str]:
    with pytest.raises(UserError) as caught:
        verify_dataset(find_dataset(folder), **options)  # type: ignore[arg-type]
    return [str(offence) for offence in caught.value.offences]


def _only(folder: Path, *texts: str) -> None:
    offences = _offences(folder)
    assert len(offences) == 1, offences
    for text in texts:
        assert text in offences[0]


def test_good_dataset_passes_and_reports_progress(folder: Path) -> None:
    calls: list[tuple[int, int]] = []
    verify_dataset(find_dataset(folder), progress=lambda *n: calls.append(n))
    assert calls == [(1, 2), (2, 2)]


def test_image_without_label(folder: Path) -> None:
    _image(folder, "extra_0000")
    _only(folder, "extra_0000.nii.gz", "no label map", "a label map named extra.")


def test_label_without_image(folder: Path) -> None:
    _label(folder, "extra")
    _only(folder, "extra.nii.gz", "no image", "extra_0000")


def test_missing_and_surplus_channels(folder: Path) -> None:
    write_json(folder / "dataset.json", {"channel_names": {"0": "a", "1": "b"}, "labels": {"organ": 1}})
    _image(folder, "good1_0001")
    _image(folder, "good2_0002")
    first, second = _offences(folder)
    assert "no good2_0001; expected 2 channels" in first
    assert "good2_0002.nii.gz; expected channels below 2" in second


def test_channels_in_one_file(folder: Path) -> None:
    path = folder / "imagesTr" / "good1_0000.nii.gz"
    path.unlink()
    data = np.random.default_rng(0).random((2, *SHAPE), np.float32)
    write_volume(folder / "imagesTr" / "good1.nii.gz", Volume(data, np.eye(4)))
    _only(folder, "good1.nii.gz", "2 channels")


@pytest.mark.parametrize("part", ["imagesTr/good1_0000", "labelsTr/good1"])
def test_unreadable_files(folder: Path, part: str) -> None:
    path = folder / f"{part}.nii.gz"
    path.write_bytes(path.read_bytes()[:-30])
    _only(folder, path.name, "damaged")


def test_folder_in_place_of_a_file(folder: Path) -> None:
    path = folder / "imagesTr" / "good1_0000.nii.gz"
    path.unlink()
    path.mkdir()
    _only(folder, "good1_0000.nii.gz", "a folder")


def test_shape_differs(folder: Path) -> None:
    _image(folder, "good1_0000", shape=(6, 7, 9))
    _only(folder, "labelsTr", "the shape 6 × 7 × 8", "6 × 7 × 9", "Resample")


def test_shift_is_reported_in_mm(folder: Path) -> None:
    affine = np.eye(4)
    affine[1, 3] = 5
    _label(folder, "good1", affine=affine)
    _only(folder, "5 mm away from that of good1_0000.nii.gz", "+5 mm anterior", "at most 0.1 mm", "copy the affine")
    verify_dataset(find_dataset(folder), tolerance_mm=5.1)


def test_direction_noise_passes(folder: Path) -> None:
    affine = np.eye(4)
    affine[:3, :3] += np.random.default_rng(0).uniform(-1e-5, 1e-5, (3, 3))
    _label(folder, "good1", affine=affine)
    verify_dataset(find_dataset(folder))


def test_tolerance_follows_small_voxels(folder: Path) -> None:
    small = np.diag([0.05, 0.05, 0.05, 1])
    shifted = small.copy()
    shifted[0, 3] = 0.05
    _image(folder, "good1_0000", affine=small)
    _label(folder, "good1", affine=shifted)
    _only(folder, "0.05 mm away")


def test_channels_on_different_grids(folder: Path) -> None:
    write_json(folder / "dataset.json", {"channel_names": {"0": "a", "1": "b"}, "labels": {"organ": 1}})
    _image(folder, "good1_0001", affine=np.diag([1, 1, 1.1, 1]))
    _image(folder, "good2_0001")
    _only(folder, "good1_0001.nii.gz", "0.7 mm away")


def test_labels_that_are_not_whole(folder: Path) -> None:
    path = folder / "labelsTr" / "good1.nii.gz"
    for value, text in ((0.5, "e.g. 0.5"), (np.nan, "nan"), (-np.inf, "-inf")):
        nibabel.save(nibabel.Nifti1Image(np.full(SHAPE, value, np.float32), np.eye(4)), path)
        _only(folder, "good1.nii.gz", text)


def test_undeclared_labels(folder: Path) -> None:
    _label(folder, "good1", value=7)
    (first,) = _offences(folder)
    assert "the label value 7 (8 voxels); expected the declared values 0, 1" in first


def test_cases_without_a_label_pass_where_others_have_some(folder: Path) -> None:
    for path in sorted((folder / "labelsTr").glob("*.nii.gz"))[1:]:
        _label(folder, path.name.removesuffix(".nii.gz"), value=0)
    verify_dataset(find_dataset(folder))
    for path in (folder / "labelsTr").glob("*.nii.gz"):
        _label(folder, path.name.removesuffix(".nii.gz"), value=0)
    (only,) = _offences(folder)
    assert "label maps that are 0 everywhere; expected labelled voxels in some" in only


def test_one_case_is_enough_where_nothing_is_held_out(folder: Path) -> None:
    dataset = find_dataset(folder)
    one = replace(dataset, cases=dataset.cases[:1], test_cases=())
    with pytest.raises(UserError, match=r"unless all are trained on \(--fold all\)"):
        verify_dataset(one)
    verify_dataset(one, minimum=1)


def test_nan_in_images(folder: Path) -> None:
    data = np.zeros((1, *SHAPE), np.float32)
    data[0, 0, 0, :2] = (np.nan, np.inf)
    write_volume(folder / "imagesTr" / "good1_0000.nii.gz", Volume(data, np.eye(4)))
    _only(folder, "good1_0000.nii.gz", "NaN or infinity in 2 voxels")


def test_fewer_than_two_cases(folder: Path) -> None:
    (folder / "imagesTr" / "good2_0000.nii.gz").unlink()
    (folder / "labelsTr" / "good2.nii.gz").unlink()
    _only(folder, "1 case", "at least 2")


def test_test_case_of_a_training_case(folder: Path) -> None:
    (folder / "imagesTs").mkdir()
    name = "good1_0000.nii.gz"
    (folder / "imagesTs" / name).write_bytes((folder / "imagesTr" / name).read_bytes())
    _only(folder, "imagesTs", "the training case good1")


def test_test_case_that_is_a_training_case_under_another_name(folder: Path) -> None:
    content = (folder / "imagesTr" / "good2_0000.nii.gz").read_bytes()
    (folder / "imagesTs").mkdir()
    (folder / "imagesTs" / "new_0000.nii.gz").write_bytes(content)
    other = bytearray(content)
    other[-1] ^= 1  # as long, and another file
    (folder / "imagesTs" / "other_0000.nii.gz").write_bytes(bytes(other))
    found = _offences(folder)
    assert (
        len(found) == 1 and "new_0000.nii.gz: found a test case that is a copy of the training case good2" in found[0]
    )


def test_files_of_one_size_are_read_once_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = []
    for number in range(6):
        (tmp_path / f"{number}.nii").write_bytes(bytes([number % 4] * 99))
        cases.append(Case(str(number), (tmp_path / f"{number}.nii",), None))
    read: list[Path] = []
    original = content.hash_of
    monkeypatch.setattr(content, "hash_of", lambda path: read.append(path) or original(path))
    found = [(case.id, other.id) for case, other in content.copies(cases[4:], cases[:4])]
    assert found == [("4", "0"), ("5", "1")] and len(read) == 6


@pytest.mark.parametrize("workers", [0, 2])
def test_all_offenders_at_once(folder: Path, workers: int) -> None:
    _image(folder, "lonely_0000")
    _label(folder, "good1", value=9)
    (folder / "imagesTr" / "good2_0000.nii.gz").write_bytes(b"")
    offences = _offences(folder, workers=workers)
    assert len(offences) == 3
    for name in ("lonely", "good1", "good2"):
        assert any(name in offence for offence in offences)


def _kill_itself(case: Case) -> int:
    if case.id == "culprit":
        os.kill(os.getpid(), signal.SIGTERM)
    return len(case.id)


def test_dead_worker_names_its_case() -> None:
    cases = [Case(id=name, images=()) for name in ("a", "bb", "culprit", "c", "d", "e")]
    with pytest.raises(UserError, match=r"case culprit: found its process was killed") as caught:
        map_cases(_kill_itself, cases, name=lambda case: case.id, workers=2)
    assert len(caught.value.offences) == 1


def test_workers_keep_the_order() -> None:
    cases = [Case(id="x" * n, images=()) for n in range(5)]
    assert map_cases(_kill_itself, cases, name=lambda case: case.id, workers=3) == [0, 1, 2, 3, 4]
    assert map_cases(_kill_itself, [], name=lambda case: case.id, workers=3) == []


def test_no_cases(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no cases"):
        verify_dataset(Dataset(name="empty", folder=tmp_path, cases=(), channels=(), labels={0: "background"}))


def test_corner_offset_of_a_rotation_grows_with_distance() -> None:
    quarter_turn = np.eye(4)
    quarter_turn[:2, :2] = [[0, -1], [1, 0]]
    distance, vector = corner_offset((11, 11, 1), np.eye(4), quarter_turn)
    assert distance == pytest.approx(20)  # (10, 10) goes to (-10, 10)
    np.testing.assert_allclose(vector, (-20, 0, 0))
    assert corner_offset((11, 11, 1), quarter_turn, quarter_turn)[0] == 0


def test_constant_images(folder: Path) -> None:
    data = np.full((1, *SHAPE), 7, np.float32)
    write_volume(folder / "imagesTr" / "good1_0000.nii.gz", Volume(data, np.eye(4)))
    _only(folder, "good1_0000.nii.gz", "the value 7 everywhere")
