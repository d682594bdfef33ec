"""A scan in any unit and format: the same volume in mm³, and a result with the header's own unit on the same grid."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from l2s_auto.core.types import Volume
from l2s_auto.inference.predict import predict
from l2s_auto.io.volumes import read_label_map, write_volume
from tests.inference.tiny_models import blocks, expected_labels, rows

AFFINE = np.array([[0, -1.0, 0, 5], [1, 0, 0, -7], [0, 0, 1, 11], [0, 0, 0, 1]])  # the spacing of the plan
#: Of nibabel: how many units are a millimetre.
UNITS = {"mm": 1.0, "meter": 1e-3, "micron": 1e3, "unknown": 1.0}


def nifti(path: Path, unit: str, *, sform: int = 1, qform: int = 1) -> None:
    affine = np.diag([UNITS[unit]] * 3 + [1]) @ AFFINE
    image = nib.Nifti1Image(blocks(), affine)
    image.set_sform(affine, sform)
    image.set_qform(affine, qform)
    image.header.set_xyzt_units(unit, "sec")
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image, path)


def require_volumes(out: Path, cases: int) -> None:
    table = rows(out / "volumes.csv")
    assert len(table) == cases
    for row in table:
        for name, value in (("Left part", 2), ("Right part", 77)):
            expected = np.count_nonzero(expected_labels(blocks()) == value)
            assert float(row[name]) == pytest.approx(expected, rel=1e-3), row["case"]


def test_volumes_do_not_depend_on_the_unit_and_the_result_keeps_it(tmp_path, threshold_model):
    scans, out = tmp_path / "in", tmp_path / "out"
    for unit in UNITS:
        nifti(scans / f"{unit}.nii.gz", unit)
        nifti(scans / f"{unit}_q.nii.gz", unit, sform=0)
        nifti(scans / f"{unit}_s.nii", unit, qform=0)
    summary = predict(scans, out, model=threshold_model, device="cpu", probabilities=True)
    assert len(summary.done) == 12
    require_volumes(out, 12)
    for scan in scans.iterdir():
        before, after = nib.load(scan), nib.load(out / scan.name)
        for field in ("qform_code", "sform_code", "xyzt_units", "srow_x", "srow_y", "srow_z", "quatern_b", "qoffset_x"):
            np.testing.assert_array_equal(after.header[field], before.header[field], err_msg=f"{scan.name}: {field}")
        np.testing.assert_array_equal(after.affine, before.affine)
        np.testing.assert_array_equal(np.asarray(after.dataobj), expected_labels(blocks()))
        name = scan.name.removesuffix(".gz").removesuffix(".nii")
        probabilities = nib.load(out / "probabilities" / f"{name}.nii.gz")
        assert probabilities.header.get_xyzt_units()[0] == "mm"
        np.testing.assert_allclose(probabilities.affine, AFFINE, rtol=1e-5, atol=1e-5)
    entries = json.loads((out / "manifest.json").read_text(encoding="utf-8"))["cases"]
    assert not any("notes" in entry for entry in entries.values())


def test_every_format_gives_the_same_labels_and_volumes(tmp_path, threshold_model):
    scans, out = tmp_path / "in", tmp_path / "out"
    scans.mkdir()
    volume = Volume(blocks()[None], AFFINE)
    for suffix in (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd", ".mgz", ".mgh"):
        write_volume(scans / f"s{suffix.replace('.', '_')}{suffix}", volume)
    nib.save(nib.Nifti1Pair(blocks(), AFFINE), scans / "pair.hdr")
    summary = predict(scans, out, model=threshold_model, device="cpu")
    assert len(summary.done) == 9 and not summary.failures
    require_volumes(out, 9)
    assert (out / "s_mgz.mgz").is_file() and (out / "pair.nii.gz").is_file() and (out / "s_nhdr.raw").is_file()
    for path in out.iterdir():
        if path.name.startswith(("s_", "pair")) and path.suffix != ".raw":
            labels, affine = read_label_map(path)
            np.testing.assert_array_equal(labels, expected_labels(blocks()))
            np.testing.assert_allclose(affine, AFFINE, atol=1e-4)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(out / "s_nhdr.nhdr"))).T, labels)
    np.testing.assert_array_equal(np.asarray(nib.load(out / "s_mgz.mgz").dataobj), labels)


def test_what_had_to_be_assumed_is_in_the_summary_and_the_manifest(tmp_path, threshold_model):
    image = nib.Nifti1Image(blocks(), None)
    (tmp_path / "in").mkdir()
    nib.save(image, tmp_path / "in" / "vague.nii.gz")
    nifti(tmp_path / "in" / "clear.nii.gz", "mm")
    summary = predict(tmp_path / "in", tmp_path / "out", model=threshold_model, device="cpu")
    require_volumes(tmp_path / "out", 2)
    (line,) = (text for text in summary.notes if text.startswith("vague: "))
    note = line.removeprefix("vague: ")
    assert note.startswith("The header gives no orientation (qform_code and sform_code are 0).")
    entries = json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))["cases"]
    assert entries["vague"]["notes"] == [note] and "notes" not in entries["clear"]


def test_channels_of_tiny_voxels_are_compared_by_the_voxel(tmp_path, threshold_model):
    """Spacings of 0.020 and 0.023 mm differ by 3 micrometres; they are two grids all the same."""
    from l2s_auto.inference.scan import _elsewhere

    first = Volume(blocks()[None], np.diag([0.02, 0.02, 0.02, 1]))

    def is_elsewhere(affine: np.ndarray) -> bool:
        return _elsewhere(tmp_path, Volume(blocks()[None], affine), first) is not None

    shifted = first.affine.copy()
    shifted[0, 3] = 0.008
    assert not is_elsewhere(first.affine * (1 + 1e-6))
    assert is_elsewhere(np.diag([0.023, 0.02, 0.02, 1])) and is_elsewhere(shifted)


def test_one_file_in_and_another_format_out_keeps_forms_of_nifti(tmp_path, threshold_model):
    nifti(tmp_path / "a.nii", "meter", sform=0)
    predict(tmp_path / "a.nii", tmp_path / "b.nii.gz", model=threshold_model, device="cpu")
    before, after = nib.load(tmp_path / "a.nii"), nib.load(tmp_path / "b.nii.gz")
    assert after.header["sform_code"] == 0 and after.header.get_xyzt_units()[0] == "meter"
    np.testing.assert_array_equal(before.affine, after.affine)
    predict(tmp_path / "a.nii", tmp_path / "c.nrrd", model=threshold_model, device="cpu")
    np.testing.assert_allclose(read_label_map(tmp_path / "c.nrrd")[1], AFFINE, atol=1e-5)
