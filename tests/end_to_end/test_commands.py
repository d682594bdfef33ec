"""The commands, one after the other, as a user types them."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from safetensors.torch import load_file

from l2s_auto import cli
from l2s_auto.evaluation.appearance import APPEARANCES, STRUCTURAL
from l2s_auto.training.methods import METHODS
from tests.end_to_end.conftest import make_scan, save


def train(dataset: Path, run: Path, *options: str) -> int:
    return cli.plan_and_train([str(dataset), "-o", str(run), "--iterations", "4", "--device", "cpu", *options])


def history(run: Path, fold: str = "0") -> list[dict]:
    return [json.loads(line) for line in (run / f"fold_{fold}" / "history.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("method", METHODS)
def test_from_a_dataset_to_volumes(dataset, tmp_path, method, capsys):
    run, output = tmp_path / "run", tmp_path / "out"
    assert train(dataset, run, "--method", method) == 0
    for name in ("fingerprint.json", "plan.json", "recipe.json", "splits.json", "report.html", "log.txt"):
        assert (run / name).is_file(), name
    for name in ("history.jsonl", "weights.safetensors", "checkpoint", "validation/metrics.json"):
        assert (run / "fold_0" / name).exists(), name
    metrics = json.loads((run / "fold_0" / "validation" / "metrics.json").read_text())
    assert set(metrics["labels"]) == {"label 2", "label 77"} and metrics["cases"]
    calibration = json.loads((run / "fold_0" / "calibration.json").read_text(encoding="utf-8"))["labels"]
    assert set(calibration) == {"2", "77"} and all(label["single"] == 1.0 for label in calibration.values())
    found = [label["largest_gain"] for label in calibration.values() if label["largest_gain"] is not None]
    assert found and all(-1 <= gain <= 1 for gain in found), "what leaving out small pieces would have done is noted"

    assert cli.predict(["-i", str(dataset / "images"), "-o", str(output), "--device", "cpu"]) == 0
    assert str(run) in capsys.readouterr().out, "without -m the model trained last predicts, and is named"
    for number in range(6):
        made = nib.load(output / f"scan {number}.nii.gz")
        given = nib.load(dataset / "images" / f"scan {number}.nii.gz")
        assert made.shape == given.shape and np.array_equal(made.affine, given.affine)
        assert set(np.unique(made.dataobj)) <= {0, 2, 77}
        assert (output / "overlays" / f"scan {number}.png").is_file()
    with (output / "volumes.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["case"] for row in rows] == [f"scan {n}" for n in range(6)]
    voxels = int((np.asarray(nib.load(output / "scan 0.nii.gz").dataobj) == 77).sum())
    assert float(rows[0]["label 77"]) == pytest.approx(voxels * 4.5)

    labels = ["-p", str(output), "-r", str(dataset / "labels"), "-m", str(run)]
    assert cli.evaluate([*labels, "-o", str(tmp_path / "metrics.json")]) == 0
    assert len(json.loads((tmp_path / "metrics.json").read_text())["cases"]) == 6


def test_validation_cases_are_never_learned_from(dataset, tmp_path, monkeypatch):
    """Boxes are drawn from the cases of the fold's training side and from no other."""
    from l2s_auto.training.data import BoxSampler

    seen: set[str] = set()
    original = BoxSampler._ranges

    def note(self, number, patch, box):
        seen.add(self.cases[number].id)
        return original(self, number, patch, box)

    monkeypatch.setattr(BoxSampler, "_ranges", note)
    assert train(dataset, tmp_path / "run", "--iterations", "20") == 0
    fold = json.loads((tmp_path / "run" / "splits.json").read_text())[0]
    assert fold["val"] and not seen & set(fold["val"])
    assert seen == set(fold["train"])


def test_label_maps_alone_train_synthseg_and_say_so_otherwise(dataset, tmp_path, capsys):
    for image in (dataset / "images").iterdir():
        image.unlink()
    (dataset / "images").rmdir()
    assert train(dataset, tmp_path / "a") == 2
    assert "--method synthseg" in capsys.readouterr().err
    assert train(dataset, tmp_path / "b", "--method", "synthseg") == 0
    metrics = json.loads((tmp_path / "b" / "fold_0" / "validation" / "metrics.json").read_text())
    assert metrics["mean"]["dice"] is not None and "synthetic images" in metrics["notes"][0]


def test_every_fold_and_no_fold(dataset, tmp_path):
    run = tmp_path / "run"
    assert train(dataset, run, "--cv", "--iterations", "2") == 0
    assert sorted(p.name for p in run.glob("fold_*")) == [f"fold_{k}" for k in range(5)]
    for fold in run.glob("fold_*"):
        appearances = json.loads((fold / "validation" / "appearances.json").read_text())
        metrics = json.loads((fold / "validation" / "metrics.json").read_text())
        assert appearances["dice"]["as they are"] == pytest.approx(metrics["mean"]["dice"])
        assert set(appearances["dice"]) == set(APPEARANCES) and set(appearances["structural"]) == set(STRUCTURAL)
    assert "Which method for these data?" in (run / "report.html").read_text()
    assert train(dataset, run, "--fold", "all", "--iterations", "2") == 0
    assert (run / "fold_all" / "weights.safetensors").is_file()
    assert train(dataset, run, "--fold", "7") == 2


def test_a_trained_run_is_not_overwritten_and_resumes(dataset, tmp_path, capsys):
    run = tmp_path / "run"
    assert train(dataset, run) == 0
    assert train(dataset, run) == 2
    assert "--resume" in capsys.readouterr().err
    assert train(dataset, run, "--resume", "--seed", "1") == 2
    assert "seed" in capsys.readouterr().err
    assert train(dataset, run, "--resume", "--iterations", "6") == 0
    assert history(run)[-1]["iteration"] == 6


def test_two_runs_with_one_seed_have_the_same_weights(dataset, tmp_path):
    runs = [tmp_path / name for name in ("one", "two")]
    for run in runs:
        assert train(dataset, run) == 0
    one, two = (load_file(run / "fold_0" / "weights.safetensors") for run in runs)
    assert all(np.array_equal(one[name], two[name]) for name in one)


def test_another_models_weights_start_a_training(dataset, tmp_path):
    assert train(dataset, tmp_path / "one", "--method", "synthseg") == 0
    assert train(dataset, tmp_path / "two", "--init", str(tmp_path / "one")) == 0
    assert "tensors taken" in (tmp_path / "two" / "log.txt").read_text(encoding="utf-8")


def test_a_dry_run_shows_and_trains_nothing(dataset, tmp_path):
    assert train(dataset, tmp_path / "run", "--dry-run") == 0
    assert (tmp_path / "run" / "preview.png").stat().st_size > 10_000
    assert not list((tmp_path / "run").glob("fold_*"))


def test_the_preview_is_of_the_cases_that_the_fold_learns_from(dataset, tmp_path, monkeypatch):
    shown = []

    def preview(parts, path):
        shown.extend(case.id for case in parts.sampler.cases)
        return path

    monkeypatch.setattr("l2s_auto.training.run.write_preview", preview)
    (tmp_path / "splits.json").write_text(json.dumps([{"train": ["scan 0", "scan 1"], "val": ["scan 2"]}]))
    assert train(dataset, tmp_path / "run", "--dry-run", "--splits", str(tmp_path / "splits.json")) == 0
    assert shown == ["scan 0", "scan 1"]


def test_own_splits(dataset, tmp_path):
    splits = [{"train": ["scan 0", "scan 1"], "val": ["scan 2"]}]
    (tmp_path / "splits.json").write_text(json.dumps(splits))
    assert train(dataset, tmp_path / "run", "--splits", str(tmp_path / "splits.json")) == 0
    metrics = json.loads((tmp_path / "run" / "fold_0" / "validation" / "metrics.json").read_text())
    assert [case["case"] for case in metrics["cases"]] == ["scan 2"]


def test_the_same_volume_in_all_axis_orders_gets_the_same_segmentation(dataset, tmp_path):
    from itertools import permutations, product

    run, scans = tmp_path / "run", tmp_path / "scans"
    assert train(dataset, run) == 0
    image, _ = make_scan(50)
    affine = np.diag([1.5, 1.5, 2.0, 1.0])
    affine[:3, 3] = (5, -7, 11)
    variants = {}
    for number, (order, flips) in enumerate(product(permutations(range(3)), product((1, -1), repeat=3))):
        ornt = np.array([(axis, flip) for axis, flip in zip(order, flips, strict=True)], dtype=float)
        turned = nib.Nifti1Image(image, affine).as_reoriented(ornt)
        save(np.asarray(turned.dataobj), scans / f"v{number:02d}.nii", turned.affine)
        variants[f"v{number:02d}"] = turned.affine
    assert len(variants) == 48
    assert cli.predict(["-i", str(scans), "-o", str(tmp_path / "out"), "-m", str(run), "--device", "cpu"]) == 0
    reference = nib.as_closest_canonical(nib.load(tmp_path / "out" / "v00.nii"))
    assert len(np.unique(reference.dataobj)) > 1
    for name in variants:
        made = nib.as_closest_canonical(nib.load(tmp_path / "out" / f"{name}.nii"))
        assert np.allclose(made.affine, reference.affine)
        assert np.array_equal(made.dataobj, reference.dataobj), name


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130), (signal.SIGTERM, 130)])
def test_a_killed_training_predicts_and_resumes(dataset, tmp_path, number, code):
    """Killed at any moment after the first save, the run holds a model that predicts and a state that goes on."""
    run = tmp_path / "run"
    command = [sys.executable, "-c", PROGRAM, str(dataset), "-o", str(run), "--method", "synthseg", "--device", "cpu"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([*command, "--time-budget", "5m"], env=environment, stderr=subprocess.DEVNULL)
    weights = run / "fold_0" / "weights.safetensors"
    deadline = time.monotonic() + 60
    while not weights.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert weights.exists()
    process.send_signal(number)
    assert process.wait(60) == code
    arguments = ["-i", str(dataset / "images" / "scan 0.nii.gz"), "-o", str(tmp_path / "seg.nii.gz"), "-m", str(run)]
    assert cli.predict([*arguments, "--device", "cpu"]) == 0
    done = history(run)[-1]["iteration"] if history(run) else 0
    assert cli.plan_and_train([*command[3:], "--resume", "--iterations", str(done + 300)]) == 0
    iterations = [line["iteration"] for line in history(run)]
    assert iterations == sorted(iterations) and iterations[-1] >= done


#: The command, with a checkpoint as often as it can be written, so that a kill is likely to fall into a write.
PROGRAM = """
import sys
from dataclasses import replace
from l2s_auto.training import fold
original = fold.Limits
fold.Limits = lambda **k: replace(original(**k), checkpoint_every=0.0)
from l2s_auto.cli import plan_and_train
sys.exit(plan_and_train(sys.argv[1:]))
"""


def test_a_wrong_augmenter_is_known_before_anything_is_written(dataset, tmp_path, capsys):
    assert train(dataset, tmp_path / "run", "--augmenter", "parametrik") == 2
    assert "Did you mean 'parametric'" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_other_splits_cannot_be_resumed_with(dataset, tmp_path, capsys):
    run, splits = tmp_path / "run", tmp_path / "splits.json"
    assert train(dataset, run) == 0
    held_out = json.loads((run / "splits.json").read_text())[0]["val"]
    others = [f"scan {n}" for n in range(6) if f"scan {n}" not in held_out]
    splits.write_text(json.dumps([{"train": held_out, "val": others}]))
    assert train(dataset, run, "--resume", "--iterations", "6", "--splits", str(splits)) == 2
    assert "other splits" in capsys.readouterr().err


def test_everything_can_be_learned_from_where_there_is_one_subject(dataset, tmp_path):
    for folder in ("images", "labels"):
        for file in (dataset / folder).iterdir():
            file.rename(file.with_name(f"sub-1_{file.name}"))
    assert train(dataset, tmp_path / "a") == 2
    assert train(dataset, tmp_path / "b", "--fold", "all") == 0


def test_a_changed_dataset_is_planned_anew_and_refused_by_a_trained_run(dataset, tmp_path, capsys):
    run = tmp_path / "run"
    assert train(dataset, run, "--dry-run") == 0
    for number in range(6):
        image, labels = make_scan(number)
        save(image, dataset / "images" / f"scan {number}.nii.gz", np.diag([3.0, 3.0, 3.0, 1.0]))
        save(
            np.where(labels == 2, 5, labels),
            dataset / "labels" / f"scan {number}.nii.gz",
            np.diag([3.0, 3.0, 3.0, 1.0]),
        )
    assert train(dataset, run) == 0
    plan = json.loads((run / "plan.json").read_text())
    assert plan["spacing"] == [3.0, 3.0, 3.0] and [label["value"] for label in plan["labels"]] == [0, 5, 77]
    for number in range(6):
        image, _ = make_scan(number)
        save(image * 2 + 7, dataset / "images" / f"scan {number}.nii.gz", np.diag([4.0, 4.0, 4.0, 1.0]))
        save(make_scan(number)[1], dataset / "labels" / f"scan {number}.nii.gz", np.diag([4.0, 4.0, 4.0, 1.0]))
    assert train(dataset, run, "--resume", "--iterations", "9") == 2
    assert "the dataset has changed since" in " ".join(capsys.readouterr().err.split())  # lines are folded


@pytest.mark.parametrize("inside", ["", "images", "labels/run"])
def test_the_dataset_is_not_written_to(dataset, tmp_path, inside, capsys):
    assert train(dataset, dataset / inside) == 2
    assert "never written to" in capsys.readouterr().err


def test_a_run_folder_below_a_file_and_too_little_memory_are_the_users_errors(dataset, tmp_path, capsys):
    (tmp_path / "file").write_text("x")
    assert train(dataset, tmp_path / "file" / "run") == 2
    assert "cannot be made" in capsys.readouterr().err
    assert train(dataset, tmp_path / "run", "--memory-gb", "0.0001") == 2
    assert "not enough memory" in capsys.readouterr().err


@pytest.mark.parametrize("side", [3, 6])
def test_tiny_scans_train(tmp_path, side):
    rng = np.random.default_rng(0)
    for number in range(3):
        labels = np.zeros((side,) * 3, dtype=np.uint8)
        labels[: side // 2] = 1
        save(labels + 0.1 * rng.random(labels.shape).astype(np.float32), tmp_path / "d" / "images" / f"{number}.nii")
        save(labels, tmp_path / "d" / "labels" / f"{number}.nii")
    assert train(tmp_path / "d", tmp_path / "run") == 0


@pytest.mark.parametrize("path", ["os:path", "json:JSONDecoder"])
def test_an_augmenter_that_is_none_is_the_users_error(dataset, tmp_path, path, capsys):
    assert train(dataset, tmp_path / "run", "--augmenter", path) == 2
    assert "internal" not in capsys.readouterr().err


def test_a_scan_of_absurd_spacing_fails_and_the_others_are_done(dataset, tmp_path):
    run, scans = tmp_path / "run", tmp_path / "scans"
    assert train(dataset, run) == 0
    for number, edge in enumerate((1.5, 500.0, 1.5)):
        save(make_scan(number)[0], scans / f"{number}.nii.gz", np.diag([edge, edge, edge, 1.0]))
    assert cli.predict(["-i", str(scans), "-o", str(tmp_path / "out"), "-m", str(run), "--device", "cpu"]) == 1
    assert "500 x 500 x 500 mm" in (tmp_path / "out" / "failures.csv").read_text(encoding="utf-8")
    assert (tmp_path / "out" / "0.nii.gz").exists() and (tmp_path / "out" / "2.nii.gz").exists()


def test_metrics_that_cannot_be_written_are_the_users_error(dataset, tmp_path, capsys):
    (tmp_path / "labels.json").write_text('{"core": 2, "shell": 77}')
    (tmp_path / "taken").mkdir()
    files = ["-p", str(dataset / "labels" / "scan 0.nii.gz"), "-r", str(dataset / "labels" / "scan 0.nii.gz")]
    options = [*files, "--labels", str(tmp_path / "labels.json")]
    assert cli.evaluate([*options, "-o", str(tmp_path / "taken")]) == 2
    assert "cannot be written" in capsys.readouterr().err
    assert cli.evaluate(options) == 2  # nothing is written among the label maps of a dataset
    assert not (dataset / "labels" / "metrics.json").exists()
    assert cli.evaluate([*options, "-o", str(tmp_path / "metrics.json")]) == 0
    assert (tmp_path / "metrics.json").is_file()


def test_a_demo_below_a_file_is_the_users_error(tmp_path, capsys):
    (tmp_path / "file").write_text("x")
    assert cli.demo(["-o", str(tmp_path / "file" / "demo")]) == 2
    assert "cannot be made" in capsys.readouterr().err


def test_one_fold_and_all_folds_exclude_each_other(dataset, tmp_path):
    with pytest.raises(SystemExit) as left:
        train(dataset, tmp_path / "run", "--fold", "0", "--cv")
    assert left.value.code == 2 and not (tmp_path / "run").exists()
