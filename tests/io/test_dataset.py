"""Datasets are found in every layout, and scans to segment with and without channel numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from l2s_auto.core.errors import UserError
from l2s_auto.core.types import Volume
from l2s_auto.io.dataset import find_dataset, find_scans, verify_dataset
from l2s_auto.io.json_files import write_json
from l2s_auto.io.volumes import write_label_map, write_volume

SHAPE = (4, 5, 6)


def image(path: Path, *, channels: int = 1) -> None:
    data = np.random.default_rng(list(path.name.encode())).random((channels, *SHAPE))
    write_volume(path, Volume(data, np.eye(4)))


def label(path: Path, *values: int) -> None:
    labels = np.zeros(SHAPE, int)
    for index, value in enumerate(values or (1,)):
        labels[0, 0, index] = value
    write_label_map(path, labels, np.eye(4))


def nnunet(folder: Path, *, channels: int = 1, **changes: Any) -> Path:
    for case in ("b", "a"):
        for channel in range(channels):
            image(folder / "imagesTr" / f"{case}_{channel:04d}.nii.gz")
        label(folder / "labelsTr" / f"{case}.nii.gz", 1, 77)
    content = {
        "channel_names": {str(n): f"MR{n}" for n in range(channels)},
        "labels": {"background": 0, "first": 1, "second": 77},
        "file_ending": ".nii.gz",
    } | changes
    write_json(folder / "dataset.json", {key: value for key, value in content.items() if value is not None})
    return folder


@pytest.mark.parametrize("channels", [1, 2, 12])
def test_nnunet_layout(tmp_path: Path, channels: int) -> None:
    folder = nnunet(tmp_path / "Dataset001 é", channels=channels)
    image(folder / "imagesTs" / "c_0000.nii.gz")
    (folder / "imagesTr" / ".DS_Store").write_bytes(b"x")
    (folder / "labelsTr" / "a.json").write_text("{}")
    (folder / "labelsTr" / "._a.nii.gz").write_bytes(b"x")
    dataset = find_dataset(folder)
    assert dataset.name == "Dataset001 é"
    assert [case.id for case in dataset.cases] == ["a", "b"]
    assert dataset.cases[0].label == folder / "labelsTr" / "a.nii.gz"
    assert [path.name for path in dataset.cases[0].images] == [f"a_{n:04d}.nii.gz" for n in range(channels)]
    assert dataset.channels == tuple(f"MR{n}" for n in range(channels))
    assert dataset.labels == {0: "background", 1: "first", 77: "second"}
    assert [case.id for case in dataset.test_cases] == ["c"]
    verify_dataset(dataset)


def test_older_dataset_json_and_four_dimensional_images(tmp_path: Path) -> None:
    for case in "ab":
        image(tmp_path / "imagesTr" / f"{case}.nii.gz", channels=2)
        label(tmp_path / "labelsTr" / f"{case}.nii.gz")
    write_json(
        tmp_path / "dataset.json",
        {"modality": {"0": "T1", "1": "T2"}, "labels": {"0": "background", "1": "tumour"}, "training": []},
    )
    dataset = find_dataset(tmp_path)
    assert dataset.channels == ("T1", "T2") and dataset.labels == {0: "background", 1: "tumour"}
    verify_dataset(dataset)


def test_plain_layout_takes_labels_from_the_files(tmp_path: Path) -> None:
    for case, values in (("sub-01_ses-1", (2, 77)), ("sub-01_ses-2", (2,)), ("x y", (-5,))):
        image(tmp_path / "images" / f"{case}.nrrd")
        label(tmp_path / "labels" / f"{case}.nii.gz", *values)
    dataset = find_dataset(tmp_path)
    assert dataset.labels == {-5: "label -5", 0: "background", 2: "label 2", 77: "label 77"}
    assert dataset.channels == ("image",) and dataset.has_images
    assert [case.subject for case in dataset.cases] == ["sub-01", "sub-01", ""]
    assert [case.group for case in dataset.cases] == ["sub-01", "sub-01", "x y"]
    verify_dataset(dataset, workers=2)
    write_json(tmp_path / "labels.json", {"liver": 2, "unused": 9})
    assert find_dataset(tmp_path).labels == {-5: "label -5", 0: "background", 2: "liver", 77: "label 77"}


def test_plain_layout_with_channels_or_numbers_as_names(tmp_path: Path) -> None:
    for case in ("scan_0000", "scan_0001"):
        image(tmp_path / "numbers" / "images" / f"{case}.nii.gz")
        label(tmp_path / "numbers" / "labels" / f"{case}.nii.gz")
    dataset = find_dataset(tmp_path / "numbers")
    assert [case.id for case in dataset.cases] == ["scan_0000", "scan_0001"] and dataset.channels == ("image",)
    for case in "ab":
        for channel in range(2):
            image(tmp_path / "channels" / "images" / f"{case}_{channel:04d}.mha")
        label(tmp_path / "channels" / "labels" / f"{case}.mha")
    dataset = find_dataset(tmp_path / "channels")
    assert [len(case.images) for case in dataset.cases] == [2, 2] and dataset.channels == ("channel 0", "channel 1")
    verify_dataset(dataset)


def test_plain_four_dimensional_channels(tmp_path: Path) -> None:
    for case in "ab":
        image(tmp_path / "images" / f"{case}.nii", channels=3)
        label(tmp_path / "labels" / f"{case}.nii")
    dataset = find_dataset(tmp_path)
    assert len(dataset.channels) == 3
    verify_dataset(dataset)


def test_labels_alone(tmp_path: Path) -> None:
    for case in "ab":
        label(tmp_path / "labels" / f"{case}.nii.gz", 3)
    dataset = find_dataset(tmp_path)
    assert not dataset.has_images and dataset.channels == () and dataset.labels == {0: "background", 3: "label 3"}
    verify_dataset(dataset)


@pytest.mark.parametrize(
    "name, text", [("subjects.csv", "case;subject\na;p1\nb; p1\n"), ("subjects.tsv", "subject\tcase\np1\ta\np1\tb\n")]
)
def test_subjects_table(tmp_path: Path, name: str, text: str) -> None:
    folder = nnunet(tmp_path)
    (folder / name).write_text(text, encoding="utf-8-sig")
    assert [case.subject for case in find_dataset(folder).cases] == ["p1", "p1"]


def test_subjects_of_cases_that_are_not_there(tmp_path: Path) -> None:
    (nnunet(tmp_path) / "subjects.csv").write_text("case,subject\na.nii.gz,p1\nB,p1\n")
    with pytest.raises(UserError, match=r"subjects.csv: found B; expected names of cases of the dataset, such as a"):
        find_dataset(tmp_path)
    (tmp_path / "subjects.csv").write_text("case,subject\na.nii.gz,p1\n")
    assert [case.subject for case in find_dataset(tmp_path).cases] == ["p1", ""]


def test_numbers_as_text_are_numbers(tmp_path: Path) -> None:
    assert find_dataset(nnunet(tmp_path, labels={"background": "0", "a": "1"})).labels == {0: "background", 1: "a"}


def test_subjects_table_without_its_columns(tmp_path: Path) -> None:
    (nnunet(tmp_path) / "subjects.csv").write_text("id,person\na,p1\n")
    with pytest.raises(UserError, match=r"subjects.csv: found the columns id, person"):
        find_dataset(tmp_path)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"channel_names": None}, "no channel_names"),
        ({"channel_names": {"1": "MR"}}, "in sequence"),
        ({"channel_names": ["MR"]}, "in sequence"),
        ({"labels": None}, "no labels"),
        ({"labels": ["a"]}, "expected an object"),
        ({"labels": {"background": 0, "whole": [1, "x"]}}, "whole: found .*expected a whole number, or a list of them"),
        ({"labels": {"background": 0, "whole": []}}, "a whole number, or a list of them"),
        ({"labels": {"background": 0, "whole": [1, 1]}}, "each value once"),
        ({"labels": {"background": 0, "whole": [0, 1]}}, "whole: found 0, which is background"),
        ({"labels": {"background": 0, "a": 1, "ignore": 1}}, "ignore: found 1, which is also a"),
        ({"labels": {"background": 0, "a": [1, 2], "ignore": 2}}, "ignore: found 2, which is also a"),
        ({"labels": {"background": 0, "a": 1.5}}, "labels, a: found 1.5; expected a whole number"),
        ({"labels": {"background": 0, "a": 1, "b": 1}}, "found 1, which is also a"),
        ({"labels": {"0": "background", "1": "a", "2": "a"}}, "the name a a second time"),
        ({"labels": {"background": 0, "a": 99999999999}}, "a: found 99999999999; expected numbers from -2147483647"),
        ({"labels": {"background": 1, "a": 2}}, "background: found 1; expected 0"),
        ({"labels": {"background": 0, "": 1}}, "a name that cannot be read"),
        ({"labels": {"background": 0, "a\nb": 1}}, "a name that cannot be read"),
        ({"channel_names": {"0": {"x": 1}}}, "channel_names, 0: found .*expected a name in one line"),
        ({"file_ending": ".png"}, r"file_ending: found '\.png'"),
        ({"file_ending": ".nrrd"}, r"has no label maps(.|\n)*correct file_ending"),
    ],
)
def test_wrong_dataset_json(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        find_dataset(nnunet(tmp_path, **changes))


def test_all_faults_of_dataset_json_at_once(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        find_dataset(nnunet(tmp_path, channel_names=None, labels={"a": "x", "b": ["y"]}, file_ending=3))
    assert len(caught.value.offences) == 4


def test_broken_json_files(tmp_path: Path) -> None:
    (nnunet(tmp_path) / "dataset.json").write_text("{")
    with pytest.raises(UserError, match="broken"):
        find_dataset(tmp_path)
    (tmp_path / "dataset.json").write_text("[1]")
    with pytest.raises(UserError, match="expected an object"):
        find_dataset(tmp_path)
    label(tmp_path / "plain" / "labels" / "a.nii")
    write_json(tmp_path / "plain" / "labels.json", {"a": None})
    with pytest.raises(UserError, match=r"labels.json.*None"):
        find_dataset(tmp_path / "plain")


def test_no_dataset(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(UserError, match="No dataset is there"):
            find_dataset(path)
    (tmp_path / "Dataset001" / "labelsTr").mkdir(parents=True)
    with pytest.raises(UserError, match=r"Give one of the datasets in it: .*Dataset001"):
        find_dataset(tmp_path)
    (tmp_path / "labels").mkdir()
    with pytest.raises(UserError, match="an empty folder"):
        find_dataset(tmp_path)
    (tmp_path / "labels" / "a.png").write_text("")
    with pytest.raises(UserError, match=r"other files, e\.g\. a\.png"):
        find_dataset(tmp_path)


def test_two_files_for_one_volume(tmp_path: Path) -> None:
    folder = nnunet(tmp_path, file_ending=None)
    image(folder / "imagesTr" / "a_0000.nrrd")
    with pytest.raises(UserError, match=r"a_0000.nii.gz and a_0000.nrrd"):
        find_dataset(folder)


def _ids(path: Path, channels: int) -> dict[str, int]:
    return {case.id: len(case.images) for case in find_scans(path, channels)}


def test_find_scans_in_folders(tmp_path: Path) -> None:
    for name in ("one/b.nii.gz", "one/a.nrrd", "nn/a_0000.nii", "nn/b_0000.nii", "nums/s_0000.nii", "nums/s_0001.nii"):
        image(tmp_path / name)
    for name in ("two/a_0000.nii", "two/a_0001.nii", "two/b_0000.nii", "two/c.nii"):
        image(tmp_path / name)
    (tmp_path / "one" / "notes.json").write_text("{}")
    assert _ids(tmp_path / "one", 1) == {"a": 1, "b": 1}
    assert _ids(tmp_path / "nn", 1) == {"a": 1, "b": 1}
    assert _ids(tmp_path / "nums", 1) == {"s_0000": 1, "s_0001": 1}
    assert _ids(tmp_path / "nums", 2) == {"s": 2}
    assert _ids(tmp_path / "two", 2) == {"a": 2, "b": 1, "c": 1}


def test_find_scans_of_single_files(tmp_path: Path) -> None:
    for name in ("a_0000.nii", "a_0001.nii", "b.nii"):
        image(tmp_path / name)
    assert find_scans(tmp_path / "b.nii", 1)[0].id == "b"
    assert find_scans(tmp_path / "a_0000.nii", 1)[0].id == "a"
    assert [path.name for path in find_scans(tmp_path / "a_0000.nii", 2)[0].images] == ["a_0000.nii", "a_0001.nii"]


def test_find_scans_of_dicom(tmp_path: Path) -> None:
    for folder in ("patient 1", "patient 2"):
        (tmp_path / folder).mkdir()
        plane = sitk.GetImageFromArray(np.zeros((1, 4, 4), np.int16))
        sitk.WriteImage(plane, str(tmp_path / folder / "0.dcm"))
        (tmp_path / folder / "0.dcm").rename(tmp_path / folder / "IM0")
    assert _ids(tmp_path / "patient 1", 1) == {"patient 1": 1}
    assert _ids(tmp_path, 1) == {"patient 1": 1, "patient 2": 1}


def test_find_scans_without_scans(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="missing: found nothing"):
        find_scans(tmp_path / "missing", 1)
    with pytest.raises(UserError, match="no scan in this folder"):
        find_scans(tmp_path, 1)
    image(tmp_path / "a.nii")
    image(tmp_path / "a.mha")
    with pytest.raises(UserError, match=r"a.mha and a.nii"):
        find_scans(tmp_path, 1)


def test_hippocampus_dataset() -> None:
    folder = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "Dataset004_Hippocampus"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    dataset = find_dataset(folder)
    assert len(dataset.cases) == 200 and dataset.labels == {0: "background", 1: "Anterior", 2: "Posterior"}
    verify_dataset(dataset)


def test_sheared_affine_passes(tmp_path: Path) -> None:
    affine = np.eye(4)
    affine[0, 1] = 0.2
    for case in "ab":
        for folder in ("images", "labels"):
            (tmp_path / folder).mkdir(exist_ok=True)
            data = np.arange(np.prod(SHAPE)).reshape(SHAPE) % 2
            nibabel.save(nibabel.Nifti1Image(data.astype(np.uint8), affine), tmp_path / folder / f"{case}.nii")
    verify_dataset(find_dataset(tmp_path))


def test_regions_and_the_ignore_label_are_nnunets(tmp_path: Path) -> None:
    labels = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": 3, "ignore": 4}
    found = find_dataset(nnunet(tmp_path, labels=labels, regions_class_order=[1, 2, 3]))
    assert found.labels == {0: "background", 1: "label 1", 2: "label 2", 3: "enhancing"}
    assert found.regions == {"whole": (1, 2, 3), "core": (2, 3), "enhancing": (3,)} and found.ignore == 4
