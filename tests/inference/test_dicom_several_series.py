"""Prediction on a folder with several DICOM series: a case each, picked by its path, hashed, skipped, noted."""

from __future__ import annotations

import shlex

import nibabel as nib
import numpy as np
import pytest

pytest.importorskip("pydicom")

from l2s_auto.core.errors import UserError
from l2s_auto.inference.predict import predict
from l2s_auto.io.content import hash_of
from l2s_auto.io.dicom_select import selector
from l2s_auto.io.json_files import read_json
from tests.inference.tiny_models import rows
from tests.io.dicom_files import SHAPE, expected_affine, positions, write_enhanced, write_series
from tests.io.test_series import damage, of, split, write_flat

GOOD = ("cd_series_1_scout", "cd_series_3_T1_MPRAGE", "cd_series_4_T2_FLAIR_é")


def test_a_flat_folder(tmp_path, threshold_model, caplog):
    folder = write_flat(tmp_path / "cd")
    write_series(folder, prefix="broken", order=[3])
    damage(folder / "broken0000.dcm")
    with caplog.at_level("INFO", logger="l2s_auto"):
        summary = predict(folder, tmp_path / "out", model=threshold_model, device="cpu")
    assert sorted(summary.done) == sorted(GOOD) and [one.case for one in summary.failures] == ["broken0000"]
    assert f"Found 3 DICOM series in {folder}:" in caplog.text
    image = nib.load(tmp_path / "out" / f"{GOOD[1]}.nii.gz")
    assert image.shape == SHAPE
    np.testing.assert_allclose(image.affine, expected_affine(positions()), atol=1e-4)
    (failed,) = rows(tmp_path / "out" / "failures.csv")
    assert failed["file"] == str(folder / "broken0000.dcm")
    assert "1 file is not used: DICOM files without images (modality SR): report.dcm." in summary.notes
    assert any("first or last slices may be missing: 1 file" in note for note in summary.notes)
    manifest = read_json(tmp_path / "out" / "manifest.json")
    path = selector(folder, "1.2.5")
    assert manifest["cases"][GOOD[1]]["inputs"] == {str(path): hash_of(path)}

    again = predict(folder, tmp_path / "out", model=threshold_model, device="cpu", skip_existing=True)
    assert sorted(again.skipped) == sorted(GOOD) and not again.done
    assert not any("newer" in note for note in again.notes)
    one = predict(path, tmp_path / "out", model=threshold_model, device="cpu", skip_existing=True)
    assert one.skipped == (GOOD[1],)


def test_one_series_is_picked_for_a_file_by_the_options_of_the_message(tmp_path, threshold_model):
    folder = write_flat(tmp_path / "the cd")
    output = tmp_path / "out" / "x.nii.gz"
    with pytest.raises(UserError, match=r"3 scans: .*series=1\.2\.6 \(6 slices, series 4") as caught:
        predict(folder, output, model=threshold_model, device="cpu")
    words = shlex.split(caught.value.offences[0].mend.partition(": ")[2])
    assert words == ["-i", str(selector(folder, "1.2.5")), "-o", str(output)]
    for _ in range(2):  # the second time over its own result
        assert len(predict(words[1], words[3], model=threshold_model, device="cpu").done) == 1
    np.testing.assert_allclose(nib.load(output).affine, expected_affine(positions()), atol=1e-4)
    with pytest.raises(UserError, match="no file of this DICOM series"):
        predict(selector(folder, "1.9"), output, model=threshold_model, device="cpu")


def test_loose_files_of_several_frames_and_a_damaged_one(tmp_path, threshold_model):
    for k in range(3):
        write_enhanced(tmp_path / "in" / f"m{k}.dcm", change=of(f"1.2.{k + 5}", k))
    damage(tmp_path / "in" / "m1.dcm")
    summary = predict(tmp_path / "in", tmp_path / "out", model=threshold_model, device="cpu")
    assert summary.done == ("m0", "m2") and [one.case for one in summary.failures] == ["m1"]
    with pytest.raises(UserError, match=r"m0\.dcm \(6 frames, series 0\); .*m2\.dcm"):
        predict(tmp_path / "in", tmp_path / "x.nii.gz", model=threshold_model, device="cpu")


def test_a_split_series_is_one_case_or_noted(tmp_path, threshold_model):
    split(tmp_path / "whole", [0, 1, 2], [3, 4, 5])
    summary = predict(tmp_path / "whole", tmp_path / "out", model=threshold_model, device="cpu")
    assert summary.done == ("whole_series_3",)
    assert nib.load(tmp_path / "out" / "whole_series_3.nii.gz").shape == SHAPE
    assert any("its slices lie in 2 folders, and are read as one volume: A, B" in note for note in summary.notes)
    assert predict(tmp_path / "whole", tmp_path / "x.nii.gz", model=threshold_model, device="cpu").done
    split(tmp_path / "gap", [0, 1, 2], [4, 5])
    summary = predict(tmp_path / "gap", tmp_path / "out2", model=threshold_model, device="cpu")
    assert summary.done == ("A", "B") and any("other slices of its series lie in" in note for note in summary.notes)
    entries = read_json(tmp_path / "out2" / "manifest.json")["cases"]
    assert str(tmp_path / "gap" / "B") in entries["A"]["notes"][0]
