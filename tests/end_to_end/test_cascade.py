"""Two networks, the second told what the first finds: planned, trained, killed, resumed, exported, used."""

import json

import nibabel as nib
import numpy as np
import pytest
import torch

from l2s_auto import cli
from l2s_auto.inference.load import load_model
from l2s_auto.inference.predict import predict
from tests.end_to_end.test_commands import history, train

CASCADE = ("--patch", "8", "8", "8", "--cascade", "--workers", "0")


@pytest.mark.parametrize("method", ["learn2synth", "learn2synth-matched", "supervised"])
def test_two_networks_are_planned_trained_and_predict(dataset, tmp_path, method, capsys):
    run = tmp_path / "run"
    assert train(dataset, run, *CASCADE, "--method", method) == 0
    told = capsys.readouterr().out
    assert "low_resolution" in told and "The second, which is told what the first finds" in told
    plan = json.loads((run / "plan.json").read_text(encoding="utf-8"))
    assert all(low >= fine for low, fine in zip(plan["low_resolution"]["spacing"], plan["spacing"], strict=True))
    assert max(plan["low_resolution"]["spacing"]) > max(plan["spacing"])
    for folder in (run, run / "low_resolution"):
        assert history(folder)[-1]["iteration"] == 4
        assert json.loads((folder / "fold_0" / "validation" / "metrics.json").read_text(encoding="utf-8"))["cases"]
    model = load_model(run)
    assert model.low_resolution is not None
    first = next(p for name, p in model.networks[0].named_parameters() if name.endswith("weight"))
    assert first.shape[1] == 1 + 2, "a channel of the scan, and one for each label"
    output = tmp_path / "out"
    assert cli.predict(["-i", str(dataset / "images"), "-o", str(output), "-m", str(run), "--tta"]) == 0
    for number in range(6):
        made = nib.load(output / f"scan {number}.nii.gz")
        assert made.shape == nib.load(dataset / "images" / f"scan {number}.nii.gz").shape
        assert set(np.unique(made.dataobj)) <= {0, 2, 77}


def test_a_fold_an_export_and_the_first_network_alone_predict(dataset, tmp_path):
    run = tmp_path / "run"
    assert train(dataset, run, *CASCADE, "--method", "synthseg") == 0
    whole = load_model(run)
    assert load_model(run / "fold_0").hash == whole.hash
    assert cli.export_model([str(run), str(tmp_path / "model.zip")]) == 0
    assert load_model(tmp_path / "model.zip").hash == whole.hash
    assert cli.import_model([str(tmp_path / "model.zip"), "-o", str(tmp_path / "there")]) == 0
    assert load_model(tmp_path / "there").hash == whole.hash
    scan = dataset / "images" / "scan 0.nii.gz"
    predict(scan, tmp_path / "a.nii.gz", model=run, fast=True)
    predict(scan, tmp_path / "b.nii.gz", model=run / "low_resolution", fast=True)
    made = [np.asarray(nib.load(tmp_path / name).dataobj) for name in ("a.nii.gz", "b.nii.gz")]
    assert np.array_equal(*made)
    (run / "low_resolution" / "fold_0" / "weights.safetensors").unlink()
    assert cli.predict(["-i", str(scan), "-o", str(tmp_path / "c.nii.gz"), "-m", str(run)]) == 2


def test_the_second_network_reads_what_the_first_finds(dataset, tmp_path):
    """With weights that copy the context, the second network says what the first did."""
    from l2s_auto.inference.cascade import context_in
    from l2s_auto.inference.jobs import find_jobs
    from l2s_auto.inference.scan import read_scan, segment

    run = tmp_path / "run"
    assert train(dataset, run, *CASCADE, "--method", "synthseg") == 0
    model = load_model(run)

    class Copy(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.one_hot(image[:, -1].long(), 3).movedim(-1, 1).float()

    told = model.__class__(**{**model.__dict__, "networks": (Copy(),)})
    job = find_jobs(dataset / "images" / "scan 0.nii.gz", tmp_path / "out.nii.gz", channels=1).jobs[0]
    scan = read_scan(job.case, model)
    device = torch.device("cpu")
    found = segment(scan, told, device=device, overlap=0.5, tta=False).labels
    context = context_in(scan.image, model.low_resolution, spacing=model.plan.spacing, device=device)
    expected = scan.geometry.leave(np.array(model.plan.label_values)[context[0].astype(int)])
    assert np.array_equal(found, expected)


def test_a_run_that_ended_in_the_first_network_goes_on(dataset, tmp_path, capsys):
    run = tmp_path / "run"
    assert train(dataset, run, *CASCADE) == 0
    for path in sorted((run / "fold_0").rglob("*"), reverse=True):  # as if it had been killed before
        path.rmdir() if path.is_dir() else path.unlink()
    (run / "fold_0").rmdir()
    assert train(dataset, run, *CASCADE) == 2, "what is trained would be overwritten"
    assert "trained model already" in capsys.readouterr().err
    assert train(dataset, run, *CASCADE, "--resume") == 0
    assert "goes on from iteration 4" in capsys.readouterr().out
    assert history(run / "low_resolution")[-1]["iteration"] == history(run)[-1]["iteration"] == 4


def test_a_cascade_where_a_patch_shows_enough_is_refused(dataset, tmp_path, capsys):
    assert train(dataset, tmp_path / "run", "--cascade") == 2
    assert "would show the network nothing new" in capsys.readouterr().err
    assert train(dataset, tmp_path / "run", "--iterations", "2") == 0
    assert train(dataset, tmp_path / "run", *CASCADE, "--resume") == 2
    assert "cascade False, and True is asked for" in capsys.readouterr().err


def test_a_time_budget_is_shared(dataset, tmp_path):
    run = tmp_path / "run"
    options = [str(dataset), "-o", str(run), "--time-budget", "3s", "--device", "cpu", *CASCADE]
    assert cli.plan_and_train(options) == 0
    first, second = history(run / "low_resolution")[-1]["seconds"], history(run)[-1]["seconds"]
    assert first == pytest.approx(1.0, abs=0.8) and second == pytest.approx(2.0, abs=0.9)
