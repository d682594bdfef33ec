"""A label value in a few voxels of one map is named with its case; rare structures and declared values pass."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

from l2s_auto.core.errors import UserError
from l2s_auto.io.dataset import find_dataset, verify_dataset
from l2s_auto.io.json_files import write_json
from l2s_auto.io.stray_labels import counted, require_no_stray
from tests.io.scans_of_kinds import ORGAN, mri, organs


def _dataset(folder: Path, *, value: int = 7, voxels: int = 3, cases: tuple[int, ...] = (3,)) -> Path:
    for case in range(5):
        labels = organs()
        if case in cases:
            labels[5, 6, 7 : 7 + voxels] = value
        for name, array in (("images", mri(case)), ("labels", labels)):
            (folder / name).mkdir(exist_ok=True)
            nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), folder / name / f"c{case}.nii.gz")
    return folder


def test_a_stray_value_is_named_with_its_case(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a value that occurs nowhere else") as caught:
        find_dataset(_dataset(tmp_path))
    (offence,) = caught.value.offences
    assert offence.where.endswith("labels/c3.nii.gz")
    assert offence.found == "the label value 7 in 3 voxels, e.g. voxel (5, 6, 7)"
    assert '{"its name": 7}' in offence.mend and "dataset.json" in offence.mend


@pytest.mark.parametrize("file", ["labels.json", "dataset.json"])
def test_a_declared_value_passes(tmp_path: Path, file: str) -> None:
    names = {"organ": 1, "spine": 2, "lesion": 7}
    write_json(_dataset(tmp_path) / file, names if file == "labels.json" else {"labels": {"background": 0, **names}})
    dataset = find_dataset(tmp_path)
    verify_dataset(dataset)
    assert dataset.labels[7] == "lesion"


@pytest.mark.parametrize("options", [{"cases": (1, 3)}, {"voxels": 12}])
def test_rare_structures_pass(tmp_path: Path, options: dict) -> None:
    assert 7 in find_dataset(_dataset(tmp_path, **options)).labels


def test_all_offenders_are_in_one_message(tmp_path: Path) -> None:
    paths = []
    counts = []
    for number, stray in enumerate([{}, {9: 1}, {8: 2}]):
        labels = organs()
        for value, voxels in stray.items():
            labels[0, 0, :voxels] = value
        paths.append(tmp_path / f"{number}.nii.gz")
        nibabel.save(nibabel.Nifti1Image(labels, np.eye(4)), paths[-1])
        counts.append(counted(labels))
    with pytest.raises(UserError, match="values that occur nowhere else") as caught:
        require_no_stray(paths, counts, declared=set())
    assert [o.found.split(",")[0] for o in caught.value.offences] == [
        "the label value 9 in 1 voxel",
        "the label value 8 in 2 voxels",
    ]
    require_no_stray(paths, counts, declared={8, 9})
    require_no_stray(paths[1:2], counts[1:2], declared=set())


def test_small_labels_beside_small_ones_are_no_slips(tmp_path: Path) -> None:
    require_no_stray([tmp_path] * 3, [{0: 500, 1: 8}, {0: 500, 1: 6}, {0: 500, 2: 8}], declared=set())


def test_counts_are_of_all_voxels() -> None:
    labels = organs()
    found = counted(labels)
    assert sum(found.values()) == labels.size and found[1] == int((ORGAN & (labels == 1)).sum())


def test_an_undeclared_value_in_nnunets_layout_is_placed(tmp_path: Path) -> None:
    folder = _dataset(tmp_path)
    for name in ("images", "labels"):
        (folder / name).rename(folder / f"{name}Tr")
    for path in (folder / "imagesTr").iterdir():
        path.rename(path.with_name(path.name.replace(".nii.gz", "_0000.nii.gz")))
    declared = {"channel_names": {"0": "MR"}, "labels": {"background": 0, "organ": 1, "spine": 2}}
    write_json(folder / "dataset.json", {**declared, "numTraining": 5, "file_ending": ".nii.gz"})
    with pytest.raises(UserError) as caught:
        verify_dataset(find_dataset(folder))
    (offence,) = caught.value.offences
    assert "the label value 7 (3 voxels)" in offence.found and "e.g. voxel (5, 6, 7)" in offence.mend
