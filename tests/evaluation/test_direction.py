"""Predictions and references that were exchanged are noticed: by the manifest, and by the folders of a dataset."""

from __future__ import annotations

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from l2s_auto.cli import evaluate
from l2s_auto.core.errors import UserError
from l2s_auto.evaluation import evaluate_folders
from l2s_auto.io.content import hash_of_file
from l2s_auto.io.json_files import read_json, write_json
from tests.io.test_dataset import image, label

NAMES = {0: "background", 1: "one"}


@pytest.fixture
def folders(tmp_path):
    """A dataset, and what a prediction wrote for its cases."""
    for case in ("a", "b"):
        image(tmp_path / "ds" / "images" / f"{case}.nii.gz")
        label(tmp_path / "ds" / "labels" / f"{case}.nii.gz", 1, 1)
        label(tmp_path / "out" / f"{case}.nii.gz", 1)
    files = {f"{case}.nii.gz": [hash_of_file(tmp_path / "out" / f"{case}.nii.gz")] for case in ("a", "b")}
    write_json(
        tmp_path / "out" / "manifest.json", {"runs": [{"versions": {"l2s_auto": "0"}}], "cases": {}, "files": files}
    )
    write_json(tmp_path / "labels.json", {"one": 1})
    return tmp_path


def arguments_of(folders: Path, predictions: str, references: str) -> list[str]:
    labels = str(folders / "labels.json")
    return ["-p", str(folders / predictions), "-r", str(folders / references), "--labels", labels]


def test_the_right_way_round_has_no_note(folders):
    metrics = evaluate_folders(folders / "out", folders / "ds" / "labels", NAMES)
    assert metrics["notes"] == [] and metrics["mean"]["volume_error"] == 0.5


def test_label_maps_against_results_are_refused(folders):
    with pytest.raises(UserError, match="Predictions and references are exchanged") as caught:
        evaluate_folders(folders / "ds" / "labels", folders / "out", NAMES)
    assert "Exchange the two. Dice, HD95 and NSD stay the same, but the volume error" in str(caught.value)
    one = folders / "ds" / "labels" / "a.nii.gz", folders / "out" / "a.nii.gz"
    with pytest.raises(UserError, match="are exchanged"):
        evaluate_folders(*one, NAMES)


def test_the_command_ends_with_2_and_writes_nothing(folders, capfd):
    arguments = arguments_of(folders, "ds/labels", "out")
    assert evaluate(arguments) == 2
    assert "If -p and -r are exchanged, exchange them" in capfd.readouterr().err
    assert evaluate([*arguments, "-o", str(folders / "m.json")]) == 2
    assert "are exchanged" in capfd.readouterr().err
    assert not (folders / "m.json").exists() and not (folders / "ds" / "labels" / "metrics.json").exists()


def test_what_is_uncertain_is_a_note(folders):
    shutil.copytree(folders / "ds" / "labels", folders / "other")
    (note,) = evaluate_folders(folders / "other", folders / "out", NAMES)["notes"]
    assert note.startswith("2 of 2 references are results of l2s_predict")
    (note,) = evaluate_folders(folders / "out", folders / "out", NAMES)["notes"]
    assert note.startswith("Both folders hold results of l2s_predict")
    (folders / "out" / "manifest.json").unlink()
    (note,) = evaluate_folders(folders / "ds" / "labels", folders / "out", NAMES)["notes"]
    assert note.startswith("The predictions are label maps of a dataset")


def test_corrected_results_are_references(folders):
    for case in ("a", "b"):
        label(folders / "out" / f"{case}.nii.gz", 1, 1, 1)
    shutil.copytree(folders / "ds" / "labels", folders / "other")
    assert evaluate_folders(folders / "other", folders / "out", NAMES)["notes"] == []


def test_what_is_not_compared_is_a_note(folders):
    (folders / "ds" / "labels" / "c.mnc").write_bytes(b"x")
    label(folders / "ds" / "labels" / "p1" / "a.nii.gz")
    notes = evaluate_folders(folders / "out", folders / "ds" / "labels", NAMES)["notes"]
    assert any("the format .mnc is not read: c.mnc" in note for note in notes)
    assert any("folders in this folder are not searched: p1" in note for note in notes)
    arguments = arguments_of(folders, "out", "ds/labels")
    assert evaluate([*arguments, "-o", str(folders / "m.json")]) == 0
    assert read_json(folders / "m.json")["notes"] == notes


def test_an_empty_folder_says_what_there_is(folders):
    label(folders / "empty" / "p1" / "a.nii.gz")
    with pytest.raises(UserError, match=r"no label maps\. 1 file is not used: folders in this folder are not"):
        evaluate_folders(folders / "out", folders / "empty", NAMES)


def test_names_in_two_forms_of_unicode_are_one_name(tmp_path):
    label(tmp_path / "p" / "M\u00fcller.nii.gz")
    label(tmp_path / "r" / "Mu\u0308ller.nii.gz")
    assert evaluate_folders(tmp_path / "p", tmp_path / "r", NAMES)["mean"]["dice"] == 1


def test_images_in_place_of_label_maps_are_refused(tmp_path):
    rng = np.random.default_rng(0)
    scan = np.rint(rng.normal(500, 100, (20, 20, 20))).astype(np.int16)
    for folder, array in (("p", (scan > 500).astype(np.uint8)), ("r", scan)):
        (tmp_path / folder).mkdir()
        nib.save(nib.Nifti1Image(array, np.eye(4)), tmp_path / folder / "a.nii.gz")
    with pytest.raises(UserError, match=r"a\.nii\.gz: found an image: [\d,]+ values, scattered; expected a label map"):
        evaluate_folders(tmp_path / "p", tmp_path / "r", {1: "one"})
