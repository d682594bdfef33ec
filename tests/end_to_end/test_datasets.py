"""Datasets with what nnU-Net's dataset.json can say: regions, and voxels that nobody labelled."""

import csv
import json
import os
import shutil

import nibabel as nib
import numpy as np
import pytest

from l2s_auto import cli
from tests.end_to_end.conftest import make_scan, save


@pytest.fixture
def nnunet(tmp_path):
    """Six cases of core, rim and shell; the outermost planes of some are not labelled."""
    folder = tmp_path / "Dataset001_Regions"
    for number in range(6):
        image, labels = make_scan(number)
        labels = np.select([labels == 2, labels == 77], [3, 1], 0).astype(np.int16)
        labels[:, :, 6:][labels[:, :, 6:] == 1] = 2
        if number % 2:
            labels[:, 12:] = 9
        save(image, folder / "imagesTr" / f"scan{number}_0000.nii.gz")
        save(labels, folder / "labelsTr" / f"scan{number}.nii.gz")
    labels = {"background": 0, "whole": [1, 2, 3], "core and rim": [2, 3], "core": 3, "ignore": 9}
    about = {"channel_names": {"0": "MRI"}, "labels": labels, "numTraining": 6, "file_ending": ".nii.gz"}
    (folder / "dataset.json").write_text(json.dumps(about))
    return folder


@pytest.mark.parametrize("method", ["learn2synth", "learn2synth-matched", "supervised"])
def test_regions_and_ignored_voxels_train_predict_and_are_scored(nnunet, tmp_path, method):
    run, output = tmp_path / "run", tmp_path / "out"
    options = ["-o", str(run), "--iterations", "4", "--device", "cpu", "--method", method]
    assert cli.plan_and_train([str(nnunet), *options]) == 0
    plan = json.loads((run / "plan.json").read_text())
    assert [label["value"] for label in plan["labels"]] == [0, 1, 2, 3] and plan["ignore"] == 9
    assert any(label["target"] == 4 for label in plan["generation"]["enriched"])
    metrics = json.loads((run / "fold_0" / "validation" / "metrics.json").read_text())
    assert set(metrics["labels"]) == {"whole", "core and rim", "core"}

    assert cli.predict(["-i", str(nnunet / "imagesTr"), "-o", str(output), "-m", str(run), "--device", "cpu"]) == 0
    assert {int(v) for v in np.unique(nib.load(output / "scan1.nii.gz").dataobj)} <= {0, 1, 2, 3}
    with (output / "volumes.csv").open(encoding="utf-8") as file:
        row = next(iter(csv.DictReader(file)))
    assert float(row["whole"]) == pytest.approx(sum(float(row[name]) for name in ("label 1", "label 2", "core")))
    assert cli.evaluate(["-p", str(output), "-r", str(nnunet / "labelsTr"), "-m", str(run)]) == 0
    scores = json.loads((output / "metrics.json").read_text())
    assert set(scores["labels"]) == {"whole", "core and rim", "core"} and not any("9" in n for n in scores["notes"])


def test_the_plan_is_told_with_its_reasons_and_choices_are_taken(nnunet, tmp_path, capsys):
    arguments = [str(nnunet), "-o", str(tmp_path / "run"), "--device", "cpu", "--dry-run"]
    assert cli.plan_and_train([*arguments, "--patch", "8", "16", "8", "--batch", "3", "--features", "4"]) == 0
    text = capsys.readouterr().out
    assert "8 x 16 x 8 voxels" in text and "as asked for" in text and "in 6 of 6" not in text
    assert (tmp_path / "run" / "report.html").is_file() and (tmp_path / "run" / "preview.png").is_file()
    plan = json.loads((tmp_path / "run" / "plan.json").read_text())
    assert plan["batch"] == 3 and plan["topology"]["features"][0] == 4 and plan["why"]["batch"] == "as asked for"
    # The same choices are the plan that is there; others make a new one.
    assert cli.plan_and_train([*arguments, "--batch", "3"]) == 0 and "Using the plan" in capsys.readouterr().out
    assert cli.plan_and_train([*arguments, "--batch", "2"]) == 0 and "Planning anew" in capsys.readouterr().out
    # With a model there it is an error.
    assert cli.plan_and_train([*arguments[:-1], "--iterations", "2"]) == 0
    assert cli.plan_and_train([*arguments[:-1], "--iterations", "2", "--resume", "--spacing", "3", "3", "3"]) == 2
    assert "spacing" in capsys.readouterr().err


def test_a_patch_of_one_plane_makes_a_training_in_slices(nnunet, tmp_path):
    run, output = tmp_path / "run", tmp_path / "out"
    options = ["-o", str(run), "--iterations", "4", "--device", "cpu", "--patch", "14", "16", "1"]
    assert cli.plan_and_train([str(nnunet), *options]) == 0
    plan = json.loads((run / "plan.json").read_text())
    assert plan["patch"][2] == 1 and all(kernel[2] == 1 for kernel in plan["topology"]["kernels"])
    assert cli.predict(["-i", str(nnunet / "imagesTr"), "-o", str(output), "-m", str(run), "--device", "cpu"]) == 0
    assert nib.load(output / "scan1.nii.gz").shape == nib.load(nnunet / "labelsTr" / "scan1.nii.gz").shape


def test_an_edited_plan_that_does_not_fit_together_names_the_field(nnunet, tmp_path, capsys):
    arguments = [str(nnunet), "-o", str(tmp_path / "run"), "--device", "cpu", "--dry-run"]
    assert cli.plan_and_train(arguments) == 0
    path = tmp_path / "run" / "plan.json"
    plan = json.loads(path.read_text())
    path.write_text(json.dumps({**plan, "patch": [7, 16, 8]}))
    capsys.readouterr()
    assert cli.plan_and_train(arguments) == 2
    message = " ".join(capsys.readouterr().err.split())
    assert "plan.json, field patch: found [7, 16, 8]; expected patch (7, 16, 8) needs multiples of" in message


def test_an_edited_plan_lasts_while_the_dataset_measures_the_same_and_is_kept_when_it_is_replaced(
    nnunet, tmp_path, capsys
):
    run = tmp_path / "run"
    arguments = [str(nnunet), "-o", str(run), "--device", "cpu", "--dry-run"]
    assert cli.plan_and_train(arguments) == 0
    plan = json.loads((run / "plan.json").read_text())
    (run / "plan.json").write_text(json.dumps({**plan, "batch": 3}))
    for path in nnunet.rglob("*.nii.gz"):
        os.utime(path, ns=(1, 1))
    assert cli.plan_and_train(arguments) == 0 and "measure the same" in capsys.readouterr().out
    assert json.loads((run / "plan.json").read_text())["batch"] == 3
    assert cli.plan_and_train([*arguments, "--features", "4"]) == 0
    assert f"The plan that was there is now {run / 'plan.old.json'}" in " ".join(capsys.readouterr().out.split())
    assert json.loads((run / "plan.old.json").read_text())["batch"] == 3


def test_models_go_on_with_the_plan_that_they_were_begun_with(nnunet, tmp_path, capsys):
    run = tmp_path / "run"
    arguments = [str(nnunet), "-o", str(run), "--device", "cpu", "--iterations", "2"]
    assert cli.plan_and_train(arguments) == 0
    text = (run / "plan.json").read_text()
    (run / "plan.json").write_text(json.dumps({**json.loads(text), "spacing": [2.0, 2.0, 2.0]}))
    capsys.readouterr()
    again = [*arguments[:-1], "3", "--resume"]
    assert cli.plan_and_train(again) == 2
    message = " ".join(capsys.readouterr().err.split())
    assert "field spacing: found another value than in the training" in message and "trained_by.json" in message
    (run / "plan.json").unlink()
    (run / "fingerprint.json").unlink()
    assert cli.plan_and_train(again) == 0 and "plan.json is gone" in capsys.readouterr().out
    assert json.loads((run / "plan.json").read_text()) == json.loads(text) and (run / "fingerprint.json").exists()


def test_one_channel_cannot_be_missing(nnunet, tmp_path, capsys):
    arguments = [str(nnunet), "-o", str(tmp_path / "run"), "--device", "cpu", "--missing-channels"]
    assert cli.plan_and_train(arguments) == 2 and "cannot lack any" in capsys.readouterr().err


def test_a_disk_without_room_for_the_preprocessed_cases_is_told_before_they_are_made(
    nnunet, tmp_path, capsys, monkeypatch
):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("l2s_auto.training.prepare.shutil.disk_usage", lambda path: usage._replace(free=10))
    arguments = [str(nnunet), "-o", str(tmp_path / "run"), "--device", "cpu", "--dry-run"]
    assert cli.plan_and_train(arguments) == 2
    message = capsys.readouterr().err
    assert "not enough room on the disk" in message and "Free some" in message
    assert not (tmp_path / "run" / "preprocessed").exists()
