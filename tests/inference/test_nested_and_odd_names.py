"""Folders as they grow in a laboratory: nested scans, files that are not used, names of every kind."""

from __future__ import annotations

import json
import os
import unicodedata
import warnings
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from l2s_auto.commands.prediction import print_summary
from l2s_auto.core.errors import UserError
from l2s_auto.inference.predict import predict
from l2s_auto.io.json_files import read_json
from l2s_auto.io.volumes import read_label_map
from tests.inference.tiny_models import blocks, expected_labels, rows, write_scan
from tests.io.test_volumes import write_dicom_series

#: Bytes of names that file systems take, and some programs do not.
NAMES = [
    *(b"M\xfcller_Jos\xe9", b"x" * 248, "\u00e9".encode() * 123, b"\xff" * 200, b"a\nb", b"a\tb", b"\x1b[31mred"),
    *("\u202egnp.b".encode(), b"q\"uo'te", b"=1+1", b"-o", b"+x", b"@sum", b"z", "\U0001f600 brain".encode()),
    *("M\u00fcller".encode(), unicodedata.normalize("NFD", "J\u00f6rg").encode(), b"$x_1$ %s {y}", b"a,b;c", b"%00"),
    *(b"a\\b", b"<script>", b"&amp;"),
]


def test_nested_scans_are_listed_first_and_their_results_lie_side_by_side(tmp_path, threshold_model, caplog):
    folder, image = tmp_path / "in", blocks()
    write_scan(folder / "anna.nii.gz", image)
    write_scan(folder / "sub-07" / "anat" / "sub-07_T1w.nii.gz", image)
    write_scan(folder / "derivatives" / "sub-07_dseg.nii.gz", image)
    for name in ("carl.mnc", "._anna.nii.gz", ".DS_Store", "anna.json"):
        (folder / name).write_bytes(b"\0\5\x16\7")
    (folder / "patients").mkdir()
    array = np.random.default_rng(0).integers(0, 1000, (4, 12, 13)).astype(np.int16)
    write_dicom_series(folder / "patients" / "p1", array)
    with caplog.at_level("INFO", logger="l2s_auto"):
        summary = predict(folder, folder / "out", model=threshold_model, device="cpu")
    assert summary.done == ("anna", "patients_p1", "sub-07_T1w") and not summary.failures
    assert f"Found 1 DICOM series and 1 file in folders below {folder}:" in caplog.text
    assert "sub-07/anat/sub-07_T1w.nii.gz: case sub-07_T1w" in caplog.text
    for case in summary.done:
        assert (folder / "out" / f"{case}.nii.gz").is_file() and (folder / "out" / "overlays" / f"{case}.png").is_file()
    labels, _ = read_label_map(folder / "out" / "sub-07_T1w.nii.gz")
    np.testing.assert_array_equal(labels, expected_labels(image))
    assert summary.notes == (
        "1 file is not used: the format .mnc is not read: carl.mnc.",
        "1 file is not used: derived data, not scans (BIDS): derivatives.",
    )
    (run,) = read_json(folder / "out" / "manifest.json")["runs"]
    assert [one["path"] for one in run["unused"]] == ["carl.mnc", "derivatives"]
    again = predict(folder, folder / "out", model=threshold_model, device="cpu", skip_existing=True)
    assert again.skipped == summary.done and not again.done


def test_two_files_of_one_name_fail_alone(tmp_path, threshold_model, capsys):
    for name in ("a.nii.gz", "a.nii", "b.nii.gz"):
        write_scan(tmp_path / "in" / name, blocks())
    summary = predict(tmp_path / "in", tmp_path / "out", model=threshold_model, device="cpu")
    assert summary.done == ("b",)
    (row,) = rows(tmp_path / "out" / "failures.csv")
    assert row["case"] == "a" and "a.nii and a.nii.gz" in row["reason"]
    assert not (tmp_path / "out" / "a.nii").exists() and not (tmp_path / "out" / "a.nii.gz").exists()
    print_summary(summary)
    assert "a.nii and a.nii.gz" in " ".join(capsys.readouterr().err.split())


def test_content_that_is_not_fetched_fails_alone(tmp_path, threshold_model):
    write_scan(tmp_path / "in" / "a.nii.gz", blocks())
    (tmp_path / "in" / "b.nii.gz").symlink_to("../.git/annex/objects/KEY/KEY")
    (tmp_path / "in" / "c.nii.gz").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    summary = predict(tmp_path / "in", tmp_path / "out", model=threshold_model, device="cpu")
    assert summary.done == ("a",)
    reasons = {failure.case: failure.reason for failure in summary.failures}
    assert "git annex get b.nii.gz" in reasons["b"] and "git lfs pull" in reasons["c"]


def test_a_folder_of_one_series_goes_into_a_file_again_and_again(tmp_path, threshold_model):
    array = np.random.default_rng(0).integers(0, 1000, (4, 12, 13)).astype(np.int16)
    (tmp_path / "cd" / "DICOM").mkdir(parents=True)
    write_dicom_series(tmp_path / "cd" / "DICOM" / "SER1", array)
    write_dicom_series(tmp_path / "one", array)
    for folder in ("cd", "one"):
        for output in ("x.nii.gz", "x.nii.gz", "y.nii.gz"):
            place = (tmp_path / "cd" if folder == "cd" else tmp_path / "out") / output
            summary = predict(tmp_path / folder, place, model=threshold_model, device="cpu")
            assert len(summary.done) == 1 and place.is_file()
    write_scan(tmp_path / "cd" / "other.nii.gz", blocks())
    with pytest.raises(UserError, match="do not go together"):
        predict(tmp_path / "cd", tmp_path / "z.nii.gz", model=threshold_model, device="cpu")


@pytest.mark.skipif(os.name == "nt", reason="names of bytes")
def test_every_name_gets_its_results_and_its_row(tmp_path, threshold_model, capsys):
    (tmp_path / "in").mkdir()
    for number, name in enumerate(NAMES):
        scan = write_scan(tmp_path / "scan.nii.gz", blocks((12 + number, 13, 14)))
        os.rename(scan, os.path.join(os.fsencode(tmp_path / "in"), name + b".nii.gz"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        summary = predict(tmp_path / "in", tmp_path / "out", model=threshold_model, device="cpu", probabilities=True)
    assert len(summary.done) == len(NAMES) and not summary.failures
    assert {"M%FCller_Jos%E9", "x" * 248, "\u00e9" * 123, "a\nb", "-o", "z"} <= set(summary.done)
    for case in summary.done:
        for place in (f"{case}.nii.gz", f"overlays/{case}.png", f"probabilities/{case}.nii.gz"):
            assert (tmp_path / "out" / place).is_file()
    text = (tmp_path / "out" / "volumes.csv").read_text(encoding="utf-8")
    assert len(text.splitlines()) == len(NAMES) + 1 and text.isprintable() is False  # line feeds alone
    assert "".join(text.split("\n")).isprintable() and "'=1+1" in text and "'-o" in text and "\\x0a" in text
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))
    assert set(manifest["cases"]) == set(summary.done)
    print_summary(replace(summary, flagged=summary.done))
    shown = capsys.readouterr().out
    assert "\x1b" not in shown and "\u202e" not in shown and "a\\nb" in shown
    again = predict(tmp_path / "in", tmp_path / "out", model=threshold_model, device="cpu", skip_existing=True)
    assert len(again.skipped) == len(NAMES)


def test_one_name_in_two_forms_of_unicode_fails_alone(tmp_path, threshold_model):
    for name in ("M\u00fcller", "Mu\u0308ller", "b"):
        write_scan(tmp_path / "in" / f"{name}.nii.gz", blocks())
    if len(list((tmp_path / "in").iterdir())) < 3:
        pytest.skip("this file system makes them one")
    summary = predict(tmp_path / "in", tmp_path / "out", model=threshold_model, device="cpu")
    assert summary.done == ("b",) and "Several files stand for the same volume" in summary.failures[0].reason


def test_names_that_look_the_same_are_told_apart(tmp_path, threshold_model):
    for name in ("\u00e9.nii.gz", "e\u0301.nii.gz"):
        write_scan(tmp_path / "in" / name, blocks())
    if len(list((tmp_path / "in").iterdir())) < 2:
        pytest.skip("this file system makes them one")
    predict(tmp_path / "in", tmp_path / "out", model=threshold_model, device="cpu")
    (row,) = rows(tmp_path / "out" / "failures.csv")
    assert "coded in two ways" in row["reason"]


def test_a_wrong_unit_is_named_where_a_scan_is_too_large(tmp_path, threshold_model):
    image = nib.Nifti1Image(blocks(), np.diag([4.0, 4.0, 4.0, 1.0]))
    image.header.set_xyzt_units("meter")
    (tmp_path / "in").mkdir()
    nib.save(image, tmp_path / "in" / "a.nii.gz")
    predict(tmp_path / "in", tmp_path / "out", model=threshold_model, device="cpu")
    (row,) = rows(tmp_path / "out" / "failures.csv")
    assert "voxel edges" in row["reason"] and "The header gives distances in metres" in row["reason"]
