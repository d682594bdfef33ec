"""Prediction on DICOM: what is assumed is said, what is no volume is one row of failures, and the others are done."""

from __future__ import annotations

import csv
import json

import nibabel as nib
import numpy as np
import pytest

from l2s_auto.inference.predict import predict

pytest.importorskip("pydicom")

from tests.io.dicom_files import (
    BACKWARDS,
    PLANES,
    SHAPE,
    expected_affine,
    positions,
    write_enhanced,
    write_frames,
    write_series,
)


def test_each_folder_is_a_scan_on_its_own_grid_or_one_failure(tmp_path, threshold_model):
    scans = tmp_path / "in"
    write_series(scans / "plain", order=BACKWARDS)
    write_enhanced(scans / "mixed" / "e.dcm", order=BACKWARDS)
    write_frames(scans / "assumed" / "f.dcm")
    write_series(scans / "scout")
    write_series(scans / "scout", order=[2], directions=PLANES["coronal"], prefix="scout")
    write_enhanced(scans / "gap" / "e.dcm", order=[0, 1, 3, 4, 5])
    summary = predict(scans, tmp_path / "out", model=threshold_model, device="cpu")
    assert set(summary.done) == {"plain", "mixed", "assumed"}
    for case in summary.done:
        image = nib.load(tmp_path / "out" / f"{case}.nii.gz")
        assert image.shape == SHAPE
        np.testing.assert_allclose(image.affine, expected_affine(positions()), atol=1e-4)
    with open(tmp_path / "out" / "failures.csv", encoding="utf-8", newline="") as file:
        failed = {row["case"]: row["reason"] for row in csv.DictReader(file)}
    assert set(failed) == {"scout", "gap"}
    assert "scout0000.dcm" in failed["scout"] and "from frame 2 to frame 3" in failed["gap"]
    entries = json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))["cases"]
    assert "one position for 6 frames" in entries["assumed"]["notes"][0] and "notes" not in entries["plain"]
