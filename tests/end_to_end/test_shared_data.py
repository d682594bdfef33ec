"""Real data of other kinds than the hippocampus, where it is at hand: a CT, and whole-head label maps alone."""

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from l2s_auto import cli

DATA = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the shared data are not beside the project")
SMALL = ("--iterations", "2", "--features", "4", "--device", "cpu", "--fold", "all")


@needs_data
def test_a_ct_keeps_its_units_and_comes_back_on_its_grid(tmp_path):
    image, label = (next((DATA / "ct_sample").glob(pattern)) for pattern in ("*ct_sm.nii.gz", "*ct_sm_*.nii.gz"))
    for name in ("a", "b"):
        for source, folder in ((image, "images"), (label, "labels")):
            (tmp_path / "ct" / folder).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, tmp_path / "ct" / folder / f"{name}.nii.gz")
    run, output = tmp_path / "run", tmp_path / "out.nii.gz"
    assert cli.plan_and_train([str(tmp_path / "ct"), "-o", str(run), *SMALL]) == 0
    plan = json.loads((run / "plan.json").read_text())
    assert plan["channels"] == ["CT"] and plan["normalisation"][0]["scheme"] == "fixed"
    assert cli.predict(["-i", str(image), "-o", str(output), "-m", str(run), "--device", "cpu"]) == 0
    assert nib.load(output).shape == nib.load(image).shape
    assert np.allclose(nib.load(output).affine, nib.load(image).affine)


@needs_data
def test_label_maps_alone_plan_train_and_predict(tmp_path):
    """Cut out of the head, so that a test takes seconds."""
    for number in (1, 2):
        source = nib.load(DATA / "brain_label_maps" / f"training_seg_{number:02d}.nii.gz")
        part = source.slicer[90:170, 90:170, 90:170]
        (tmp_path / "maps" / "labels").mkdir(parents=True, exist_ok=True)
        nib.save(part, tmp_path / "maps" / "labels" / f"{number}.nii.gz")
    run, scan = tmp_path / "run", tmp_path / "scan.nii.gz"
    options = ["--method", "synthseg", "--patch", "32", "32", "32"]
    assert cli.plan_and_train([str(tmp_path / "maps"), "-o", str(run), *options, *SMALL]) == 0
    plan = json.loads((run / "plan.json").read_text())
    assert plan["channels"] == [] and len(plan["pairs"]) > 5 and len(plan["labels"]) > 20
    shades = np.asarray(part.dataobj, dtype=np.float32) % 97
    noisy = shades + np.random.default_rng(0).normal(0, 2, part.shape).astype(np.float32)
    nib.save(nib.Nifti1Image(noisy, part.affine), scan)
    assert cli.predict(["-i", str(scan), "-o", str(tmp_path / "out.nii.gz"), "-m", str(run), "--device", "cpu"]) == 0
    found = np.unique(nib.load(tmp_path / "out.nii.gz").dataobj)
    assert set(found.tolist()) <= {label["value"] for label in plan["labels"]}
