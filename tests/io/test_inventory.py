"""Whatever looks like a scan in a folder is used, or named with the reason; nothing else is worth a word."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from l2s_auto.core.errors import UserError
from l2s_auto.io import inventory
from l2s_auto.io.inventory import LABELS, describe, listed, take_inventory
from l2s_auto.io.kinds import foreign_suffix, why_unused
from l2s_auto.io.scans import search_scans
from l2s_auto.io.unfetched import is_unfetched, require_fetched
from l2s_auto.io.volumes import SUFFIXES, read_header, read_volume
from tests.io.test_dataset import image
from tests.io.test_volumes import write_dicom_series

SIDE = (
    "._a.nii.gz",
    ".DS_Store",
    "Thumbs.db",
    "a.json",
    "dwi.bval",
    "~$list.xlsx",
    "notes.txt",
    "a.nii.gz.md5",
    "VIEWER.EXE",
)
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 123456\n"


def reasons(folder: Path, **options: object) -> dict[str, str]:
    found = take_inventory(folder, **options).unused  # type: ignore[arg-type]
    return {one.path.relative_to(folder).as_posix(): one.reason for one in found}


def names(folder: Path) -> dict[str, str]:
    """Case -> its first file, of a model of one channel."""
    return {case.id: case.images[0].relative_to(folder).as_posix() for case in search_scans(folder, 1).cases}


def test_side_files_are_not_worth_a_word(tmp_path):
    image(tmp_path / "a.nii.gz")
    for name in SIDE:
        (tmp_path / name).write_bytes(b"\0\5\x16\7")
    for name in (".git", ".datalad", "__MACOSX", "@eaDir"):
        image(tmp_path / name / "a.nii.gz")
    found = take_inventory(tmp_path)
    assert [scan.path.name for scan in found.scans] == ["a.nii.gz"] and found.unused == ()


def test_every_known_format_is_used_or_named(tmp_path):
    foreign = ["a.mnc", "b.mnc", "c.mnc", "d.mnc", "x.par", "y+orig.HEAD", "e.npy", "f.npz", "g.tif", "h.TIFF", "i.zip"]
    foreign += ["j.tar.gz", "k.nii.bz2", "l.mif.gz"]
    foreign += [f"z{suffix}" for suffix in (".mgz", ".hdr", ".nhdr") if suffix not in SUFFIXES]
    for name in (*foreign, "x.rec", "y+orig.BRIK"):  # the last two are voxels of x.par and y+orig.HEAD
        (tmp_path / name).write_bytes(b"x")
    image(tmp_path / "BERT 2.5.nii")
    (tmp_path / "BERT 2.5.nii").rename(tmp_path / "BERT 2.5.NII")
    found = reasons(tmp_path)
    assert set(found) == set(foreign)
    assert found["a.mnc"] == "the format .mnc is not read" and found["i.zip"] == "an archive, which is not unpacked"
    assert names(tmp_path) == {"BERT 2.5": "BERT 2.5.NII"}
    lines = describe(take_inventory(tmp_path).unused, tmp_path)
    assert "4 files are not used: the format .mnc is not read: a.mnc, b.mnc, c.mnc and 1 more" in lines
    assert "1 file is not used: the format .npy is not read: e.npy" in lines
    assert {"path": "e.npy", "reason": "the format .npy is not read", "files": 1} in listed(
        take_inventory(tmp_path).unused, tmp_path
    )


def test_formats_that_are_read_are_never_foreign():
    assert all(foreign_suffix(f"a{suffix}") == "" for suffix in SUFFIXES)


def test_hidden_misnamed_and_odd_files_are_named(tmp_path):
    image(tmp_path / "a.nii.gz")
    content = (tmp_path / "a.nii.gz").read_bytes()
    for name in (".hidden.nii.gz", "scan", "scan.gz", "b.nii.gz.tmp", "c.nii.gz (1)", "d.nii~", "e.nii.part"):
        (tmp_path / name).write_bytes(content)
    (tmp_path / "plain").write_bytes(gzip.decompress(content))
    (tmp_path / "brain.dat").write_bytes(b"NRRD0004\n")
    (tmp_path / "head.dat").write_bytes(b"ObjectType = Image\nNDims = 3\n")
    (tmp_path / "IM0001").write_bytes(b"\x08\0\x05\0\x0a\0\0\0ISO_IR 100" + bytes(200))
    (tmp_path / ".empty.nii.gz").touch()
    image(tmp_path / ".cache" / "x.nii.gz")
    found = reasons(tmp_path)
    assert found == {
        ".hidden.nii.gz": "a hidden file (its name begins with a dot)",
        **dict.fromkeys(("scan", "scan.gz", "plain"), "it holds NIfTI, but its name does not end with .nii or .nii.gz"),
        "brain.dat": "it holds NRRD, but its name does not end with .nrrd or .nhdr",
        "head.dat": "it holds MetaImage, but its name does not end with .mha or .mhd",
        "IM0001": "it holds DICOM of an older form, but its name does not end with .dcm",
        **dict.fromkeys(
            ("b.nii.gz.tmp", "c.nii.gz (1)", "d.nii~", "e.nii.part"), "something stands after the suffix of its name"
        ),
        ".cache": "a hidden folder",
    }


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_pipes_and_links_to_nothing_are_named(tmp_path):
    image(tmp_path / "a.nii.gz")
    os.mkfifo(tmp_path / "x.dcm")
    (tmp_path / "gone.dcm").symlink_to("nowhere")
    (tmp_path / "annex.dcm").symlink_to("../.git/annex/objects/xx/KEY/KEY")
    found = reasons(tmp_path)
    assert found["x.dcm"] == "neither a file nor a folder" and found["gone.dcm"] == "a link to nothing"
    assert "git annex get" in found["annex.dcm"]


def test_voxels_of_headers_are_no_scans(tmp_path):
    image(tmp_path / "a.mhd")
    (tmp_path / "alone.raw").write_bytes(b"x")
    assert names(tmp_path) == {"a": "a.mhd"}
    assert reasons(tmp_path) == {"alone.raw": "voxels without the header that tells their size"}


def test_a_folder_without_scans_says_what_there_is(tmp_path):
    (tmp_path / "a.mnc").write_bytes(b"x")
    with pytest.raises(
        UserError, match=r"no scan in this folder\. 1 file is not used: the format \.mnc is not read: a"
    ):
        search_scans(tmp_path, 1)


def test_scans_in_folders_are_found_and_named_by_their_folders_where_they_must(tmp_path):
    for name in (
        "loose.nii.gz",
        "p1/T1.nii.gz",
        "p2/T1.nii.gz",
        "p3/anat/sub-3_T1w.nii.gz",
        "a/b_c/x.nii",
        "a_b/c/x.nii",
    ):
        image(tmp_path / name)
    image(tmp_path / "p4" / "loose.nii.gz")
    found = search_scans(tmp_path, 1)
    assert names(tmp_path) == {
        "loose": "loose.nii.gz",
        "p1_T1": "p1/T1.nii.gz",
        "p2_T1": "p2/T1.nii.gz",
        "sub-3_T1w": "p3/anat/sub-3_T1w.nii.gz",
        "a_b_c_x": "a/b_c/x.nii",
        "a_b_c_x_2": "a_b/c/x.nii",
        "p4_loose": "p4/loose.nii.gz",
    }
    assert found.listing[0] == f"Found 6 files in folders below {tmp_path}:"
    assert "  p1/T1.nii.gz: case p1_T1" in found.listing


def test_channels_are_put_together_within_folders(tmp_path):
    for patient in ("p1", "p2"):
        for channel in range(2):
            image(tmp_path / patient / f"scan_{channel:04d}.nii.gz")
    cases = search_scans(tmp_path, 2).cases
    assert {case.id: len(case.images) for case in cases} == {"p1_scan": 2, "p2_scan": 2}


def test_a_cd_and_folders_of_patients(tmp_path):
    array = np.random.default_rng(0).integers(0, 1000, (4, 6, 5)).astype(np.int16)
    for folder in ("cd/DICOM/PAT1", "patients/p2"):
        (tmp_path / folder).mkdir(parents=True)
    for series in ("SER1", "SER2"):
        write_dicom_series(tmp_path / "cd" / "DICOM" / "PAT1" / series, array)
        for number, file in enumerate(sorted((tmp_path / "cd" / "DICOM" / "PAT1" / series).iterdir())):
            file.rename(file.with_name(f"IM{number:04d}"))
    (tmp_path / "cd" / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
    (tmp_path / "cd" / "AUTORUN.INF").write_text("[autorun]")
    (tmp_path / "cd" / "VIEWER.EXE").write_bytes(b"MZ")
    found = search_scans(tmp_path / "cd", 1)
    assert [case.id for case in found.cases] == ["PAT1_SER1", "PAT1_SER2"] and found.unused == ()
    assert found.listing[0].startswith("Found 2 DICOM series in folders below")
    assert found.listing[1].startswith("  DICOM/PAT1/SER1 (4 slices") and found.listing[1].endswith("case PAT1_SER1")
    np.testing.assert_array_equal(read_volume(found.cases[1].images[0]).data[0], array.transpose(2, 1, 0))

    write_dicom_series(tmp_path / "patients" / "p1", array)
    write_dicom_series(tmp_path / "patients" / "p2" / "T1_MPRAGE", array)
    write_dicom_series(tmp_path / "patients" / "p3", array)
    for file in (tmp_path / "patients" / "p3").iterdir():
        file.rename(file.with_suffix(".IMA"))
    found = search_scans(tmp_path / "patients", 1)
    assert [case.id for case in found.cases] == ["p1", "p2_T1_MPRAGE", "p3"]
    assert all(read_header(case.images[0])[0] == (5, 6, 4) for case in found.cases)


def test_scans_beside_slices_are_used_too(tmp_path):
    folder = tmp_path / "both"
    write_dicom_series(folder, np.random.default_rng(0).integers(0, 1000, (4, 6, 5)).astype(np.int16))
    image(folder / "a.nii.gz")
    assert names(folder) == {"both": ".", "a": "a.nii.gz"}


def test_bids_and_folders_of_label_maps(tmp_path):
    for name in ("sub-1/anat/sub-1_T1w", "sub-1/anat/sub-1_T2w", "sub-2/ses-1/anat/sub-2_ses-1_T1w"):
        image(tmp_path / f"{name}.nii.gz")
    other = ["sub-1/func/sub-1_task-rest_bold", "sub-1/dwi/sub-1_dwi", "sub-1/anat/sub-1_dseg", "sub-2/mask"]
    for name in (*other, "derivatives/manual/sub-1/anat/sub-1_dseg", "sourcedata/x", "labelsTr/a"):
        image(tmp_path / f"{name}.nii.gz")
    (tmp_path / "dataset_description.json").write_text("{}")
    assert set(names(tmp_path)) == {"sub-1_T1w", "sub-1_T2w", "sub-2_ses-1_T1w"}
    found = reasons(tmp_path)
    assert set(found) == {*(f"{name}.nii.gz" for name in other), "derivatives", "sourcedata", "labelsTr"}
    assert found["sub-1/anat/sub-1_dseg.nii.gz"] == "a label map, as its name says"
    assert {scan.path.name for scan in take_inventory(tmp_path / "derivatives", kind=LABELS).scans} == {
        "sub-1_dseg.nii.gz"
    }


def test_results_of_predictions_are_no_scans(tmp_path):
    image(tmp_path / "a.nii.gz")
    manifest = json.dumps({"runs": [{"versions": {"l2s_auto": "0"}}], "cases": {}, "files": {"res.nii.gz": ["0"]}})
    for folder in (tmp_path, tmp_path / "out"):
        image(folder / "res.nii.gz")
        (folder / "manifest.json").write_text(manifest)
    image(tmp_path / "elsewhere" / "res.nii.gz")
    assert set(names(tmp_path)) == {"a", "res"}  # the one that is elsewhere
    assert reasons(tmp_path) == {
        "res.nii.gz": "a result that a prediction wrote",
        "out": "results that a prediction wrote",
    }
    found = search_scans(tmp_path, 1, skip=[tmp_path / "elsewhere"])
    assert [case.id for case in found.cases] == ["a"]


def test_links_that_loop_depth_and_number_are_bounded(tmp_path, monkeypatch):
    image(tmp_path / "p1" / "a.nii.gz")
    (tmp_path / "p1" / "up").symlink_to(tmp_path)
    (tmp_path / "again").symlink_to(tmp_path / "p1")
    deep = tmp_path.joinpath(*"abcdefgh")
    image(deep / "last.nii.gz")
    image(deep / "i" / "more.nii.gz")
    assert set(names(tmp_path)) == {"a", "last"}
    assert reasons(tmp_path) == {"a/b/c/d/e/f/g/h/i": "more than 8 folders deep"}
    monkeypatch.setattr(inventory, "MAX_ENTRIES", 3)
    assert any(reason.startswith("the search ended after 3 entries") for reason in reasons(tmp_path).values())


def test_two_files_of_one_name_are_one_refused_case(tmp_path):
    for name in ("a.mha", "a.nii.gz", "b.nii.gz", "p/a.nii.gz"):
        image(tmp_path / name)
    found = search_scans(tmp_path, 1)
    assert {case.id for case in found.cases} == {"b", "p_a"}
    ((case, error),) = found.refused
    assert case.id == "a" and "a.mha and a.nii.gz" in str(error)


def test_names_in_two_forms_of_unicode_are_one_name(tmp_path):
    image(tmp_path / "M\u00fcller.nii.gz")
    image(tmp_path / "Mu\u0308ller.nii.gz")
    if len(list(tmp_path.iterdir())) == 1:
        pytest.skip("this file system makes them one")
    image(tmp_path / "b.nii.gz")
    found = search_scans(tmp_path, 1)
    assert [case.id for case in found.cases] == ["b"] and len(found.refused[0][0].images) == 2


def test_long_names_stay_below_what_file_systems_take(tmp_path):
    longest, bytes_ = "x" * 248, os.fsdecode(b"\xff" * 200)
    for name in (longest, bytes_):
        image(tmp_path / "a.nii.gz")
        (tmp_path / "a.nii.gz").rename(tmp_path / f"{name}.nii.gz")
    ids = {case.id for case in search_scans(tmp_path, 1).cases}
    assert longest in ids
    (other,) = ids - {longest}
    assert other.startswith("%FF%FF") and len(other.encode()) <= 248


@pytest.mark.parametrize("text", [POINTER, "/annex/objects/MD5E-s99--0.nii.gz\n"])
def test_content_that_is_not_fetched_is_named(tmp_path, text):
    (tmp_path / "a.nii.gz").write_text(text)
    (tmp_path / "b.nii.gz").symlink_to("../.git/annex/objects/xx/yy/MD5E-s9--0.nii.gz/MD5E-s9--0.nii.gz")
    for name in ("a.nii.gz", "b.nii.gz"):
        assert is_unfetched(tmp_path / name)
        with pytest.raises(UserError, match=r"content is not fetched(.|\n)*(git annex get|git lfs pull)"):
            read_header(tmp_path / name)
    image(tmp_path / "c.nii.gz")
    require_fetched(tmp_path / "c.nii.gz")


def test_a_series_of_which_slices_are_not_fetched_is_refused(tmp_path):
    folder = tmp_path / "series"
    write_dicom_series(folder, np.random.default_rng(0).integers(0, 1000, (4, 6, 5)).astype(np.int16))
    (folder / "last.dcm").symlink_to("../.git/annex/objects/KEY")
    (case,) = search_scans(folder, 1).cases
    with pytest.raises(UserError, match=r"content is not fetched of 1 files \(last.dcm\)"):
        read_header(case.images[0])


def test_of_freesurfer_the_scan_itself(tmp_path):
    if ".mgz" not in SUFFIXES:
        pytest.skip("the format is not read")
    for name in ("orig", "aseg", "norm", "brain"):
        (tmp_path / "bert" / "mri").mkdir(parents=True, exist_ok=True)
        (tmp_path / "bert" / "mri" / f"{name}.mgz").write_bytes(b"x")
    (tmp_path / "bert" / "mri" / "orig").mkdir()
    (tmp_path / "bert" / "mri" / "orig" / "001.mgz").write_bytes(b"x")
    assert set(names(tmp_path)) == {"orig"}
    assert why_unused(tmp_path / "bert" / "mri" / "aseg.mgz") == ""


def test_reports_of_dicom_are_no_scans(tmp_path):
    write_dicom_series(tmp_path / "SER1", np.random.default_rng(0).integers(0, 1000, (4, 6, 5)).astype(np.int16))
    syntax = b"\x02\0\x10\0UI\x14\x001.2.840.10008.1.2.1\0"  # explicit, little endian
    report = bytes(128) + b"DICM" + syntax + b"\x08\0\x60\0CS\x02\0SR"
    (tmp_path / "SER2").mkdir()
    (tmp_path / "SER2" / "IM1").write_bytes(report)
    assert names(tmp_path) == {"SER1": "SER1"}
    assert reasons(tmp_path) == {"SER2": "DICOM files without images (modality SR)"}
    (tmp_path / "SER1" / "0.dcm").write_bytes(report)  # beside images: the reader of the series says what is wrong
    assert names(tmp_path) == {"SER1": "SER1"}


def test_files_of_several_frames_are_scans_of_their_own(tmp_path):
    for name in ("a", "b"):
        volume = sitk.GetImageFromArray(np.random.default_rng(0).integers(0, 1000, (4, 6, 5)).astype(np.int16))
        volume.SetMetaData("0008|0060", "CT")
        sitk.WriteImage(volume, str(tmp_path / f"{name}.dcm"))
    assert names(tmp_path) == {"a": "a.dcm", "b": "b.dcm"}


def test_folders_that_are_no_subjects_of_a_bids_dataset_are_named(tmp_path: Path) -> None:
    for place in ("sub-1/anat/sub-1_T1w", "sourcedata/raw", "derivatives/made"):
        image(tmp_path / f"{place}.nii.gz")
    (tmp_path / "dataset_description.json").write_text("{}", encoding="utf-8")
    found = {one.path.name: one.reason for one in take_inventory(tmp_path).unused}
    assert found == {
        "derivatives": "derived data, not scans (BIDS)",
        "sourcedata": "a folder that is no subject's (BIDS)",
    }
