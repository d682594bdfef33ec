"""A folder of scans in which almost everything is wrong: each bad one is a row of failures.csv, the others are done."""

from __future__ import annotations

import gzip
import os
import struct
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from l2s_auto.inference.predict import predict
from l2s_auto.io import volumes
from tests.inference.tiny_models import blocks, expected_labels, rows, write_scan


def save(path: Path, **options: bool) -> bytes:
    sitk.WriteImage(sitk.GetImageFromArray(blocks((12, 13, 14)).T), str(path), **options)
    return path.read_bytes()


def test_everything_that_is_damaged_fails_alone(scans, tmp_path, threshold_model):
    (scans / "ndims.mha").write_bytes(save(scans / "good.mha").replace(b"NDims = 3", b"NDims = 65536"))
    packed = save(scans / "good2.nrrd", useCompression=True)
    (scans / "line.nrrd").write_bytes(packed.replace(b"# Complete", b"kinds: " + b"x" * 1000 + b"\n# Complete", 1))
    (scans / "zeroed.nrrd").write_bytes(packed[:-300] + bytes(100) + packed[-200:])
    flat = nib.Nifti1Image(blocks((12, 13, 14)), np.eye(4)).to_bytes()
    (scans / "longer.nii").write_bytes(flat + b"x")
    (scans / "bomb.nii.gz").write_bytes(gzip.compress(flat + bytes(50_000_000)))
    claims = bytearray(flat)
    struct.pack_into("<3h", claims, 42, 32767, 32767, 32767)
    (scans / "claims.nii.gz").write_bytes(gzip.compress(bytes(claims)))
    (scans / "packed.nii").write_bytes(gzip.compress(flat))
    (scans / "flat.nii.gz").write_bytes(flat)
    (scans / "dicom").mkdir()
    (scans / "dicom" / "a.dcm").write_bytes(bytes(128) + b"DICM" + bytes(range(256)))
    summary = predict(scans, tmp_path / "out", model=threshold_model, device="cpu")
    assert set(summary.done) == {"case_0", "case_1", "case_2", "case_3", "good", "good2", "packed", "flat"}
    renamed = [text for text in summary.notes if "rename the file" in text]
    assert [text.split(":")[0] for text in renamed] == ["flat", "packed"]
    failed = {row["case"]: row["reason"] for row in rows(tmp_path / "out" / "failures.csv")}
    messages = {
        "ndims": "NDims", "line": "damaged", "zeroed": "damaged", "longer": "1 bytes more", "bomb": "hold more than",
        "claims": "more than the file's", "dicom": "a.dcm",
    }  # fmt: skip
    assert set(failed) == set(messages)
    assert all(text in failed[case] and "\n" not in failed[case] for case, text in messages.items())
    again = predict(scans, tmp_path / "out", model=threshold_model, device="cpu", skip_existing=True)
    assert not again.done and len(again.failures) == len(messages)


def test_channels_are_counted_before_voxels_are_read(tmp_path, threshold_model, monkeypatch):
    write_scan(tmp_path / "in" / "series.nii.gz", np.stack([blocks()] * 20, axis=-1))

    def refuse(*_: object) -> None:
        raise AssertionError("voxels are read")

    monkeypatch.setattr(volumes, "_read", refuse)
    summary = predict(tmp_path / "in", tmp_path / "out", model=threshold_model, device="cpu")
    assert "a 4-D image of 20 volumes; expected 1" in summary.failures[0].reason


@pytest.mark.skipif(os.name == "nt", reason="names of bytes")
def test_odd_names_are_done(tmp_path, threshold_model):
    scans, out = tmp_path / "in", tmp_path / "out"
    image = blocks((12, 13, 14))
    names = ["-rf", 'quote"s', "a,b", "x" * 230, "é" * 115, os.fsdecode(b"latin\xe9")]
    for name in names:
        write_scan(scans / f"{name}.nii.gz", image)
    summary = predict(scans, out, model=threshold_model, device="cpu", probabilities=True)
    expected = {*names[:-1], "latin%E9"}
    assert set(summary.done) == expected and not summary.failures
    for name in expected:
        np.testing.assert_array_equal(np.asarray(nib.load(out / f"{name}.nii.gz").dataobj), expected_labels(image))
        assert (out / "overlays" / f"{name}.png").exists() and (out / "probabilities" / f"{name}.nii.gz").exists()
    assert {row["case"] for row in rows(out / "volumes.csv")} == {*expected, "'-rf"} - {"-rf"}  # no formula
    assert not list(out.rglob(".*"))
    (scans / os.fsdecode(b"bad\xff.nii.gz")).write_bytes(b"x")
    summary = predict(scans, out, model=threshold_model, device="cpu", skip_existing=True)
    assert [failure.case for failure in summary.failures] == ["bad%FF"]
    assert rows(out / "failures.csv")[0]["case"] == "bad%FF"
