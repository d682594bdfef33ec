"""The same images and label maps with other affines train the same network, bit by bit."""

import json

import nibabel as nib
import numpy as np
import pytest
from safetensors.torch import load_file

from l2s_auto import cli
from tests.end_to_end.conftest import make_scan, save

AFFINE = np.diag([1.5, 1.5, 2.0, 1.0])


def run_at(folder, factor: float):
    """A dataset at this scale, trained; three scans segmented and evaluated -> the folder."""
    affine = AFFINE.copy()
    affine[:3] *= factor
    for number in range(9):
        image, labels = make_scan(number)
        kinds = ("images", "labels") if number < 6 else ("scans", "references")
        place = folder / "dataset" if number < 6 else folder
        save(image, place / kinds[0] / f"scan {number}.nii.gz", affine)
        save(labels, place / kinds[1] / f"scan {number}.nii.gz", affine)
    options = ["--iterations", "6", "--device", "cpu", "--patch", "8", "8", "8", "--batch", "2"]
    assert cli.plan_and_train([str(folder / "dataset"), "-o", str(folder / "run"), *options]) == 0
    assert cli.predict(["-i", str(folder / "scans"), "-o", str(folder / "out"), "-m", str(folder / "run")]) == 0
    pair = ["-p", str(folder / "out"), "-r", str(folder / "references"), "-m", str(folder / "run")]
    assert cli.evaluate(pair) == 0
    return folder


def test_a_mouse_trains_as_a_person_does(tmp_path, capsys):
    own = run_at(tmp_path / "person", 1.0)
    capsys.readouterr()
    for factor, title in ((0.02, "nsd_0.03mm"), (10.0, "nsd_15mm")):
        other = run_at(tmp_path / f"{factor:g}", factor)
        assert title in capsys.readouterr().out
        weights = [load_file(folder / "run" / "fold_0" / "weights.safetensors") for folder in (own, other)]
        assert all((weights[0][name] == weights[1][name]).all() for name in weights[0])
        for place in ("run/fold_0/validation", "out"):
            found = [json.loads((folder / place / "metrics.json").read_text()) for folder in (own, other)]
            for metric in ("dice", "nsd", "volume_error"):
                assert found[0]["mean"][metric] == found[1]["mean"][metric]
            assert found[1]["tolerance_mm"] == pytest.approx(1.5 * factor)
            assert found[1]["cases"][0]["tolerance_mm"] == pytest.approx(1.5 * factor)
        for path in sorted((own / "out").glob("*.nii.gz")):
            maps = [np.asarray(nib.load(folder / "out" / path.name).dataobj) for folder in (own, other)]
            assert np.array_equal(*maps)
