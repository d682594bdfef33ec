"""Several DICOM series in a folder: each is a scan, by a path of its own; whatever else is there is named."""

from __future__ import annotations

import pickle
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

pydicom = pytest.importorskip("pydicom")

from l2s_auto.core.errors import UserError  # noqa: E402
from l2s_auto.io import dicom_reader  # noqa: E402
from l2s_auto.io.content import hash_of  # noqa: E402
from l2s_auto.io.dicom_look import look  # noqa: E402
from l2s_auto.io.dicom_select import dicom_files, selected, selector  # noqa: E402
from l2s_auto.io.inventory import take_inventory  # noqa: E402
from l2s_auto.io.scans import search_scans  # noqa: E402
from l2s_auto.io.volumes import channels_of, files_of, read_grid, read_volume  # noqa: E402
from tests.io.dicom_files import (  # noqa: E402
    MIXED,
    PLANES,
    SHAPE,
    VOXELS,
    base,
    check,
    expected_affine,
    positions,
    save,
    write_enhanced,
    write_series,
)
from tests.io.test_bad_entries import another_user, needs_root, open_folder  # noqa: E402

__all__ = ["open_folder"]
REPORT = "1.2.840.10008.5.1.4.1.1.88.11"


def of(uid: str, number: int | None = None, description: str = ""):
    """A change that makes slices those of another series."""

    def change(data, _=None) -> None:
        data.SeriesInstanceUID, data.SeriesDescription = uid, description
        if number is not None:
            data.SeriesNumber = number
        else:
            del data.SeriesNumber

    return change


def write_report(path: Path) -> Path:
    data = base(REPORT, "SR", SeriesNumber=99)
    data.SeriesInstanceUID = "1.2.99"
    for name in ("Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored"):
        delattr(data, name)
    data.ValueType = "CONTAINER"
    return save(path, data)


def damage(path: Path) -> Path:
    """A file that ends before it tells its series."""
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"\x20\x00\x0e\x00")])
    return path


def write_flat(folder: Path) -> Path:
    write_series(folder, prefix="a", change=of("1.2.5", 3, "T1 MPRAGE"))
    write_series(folder, prefix="b", order=MIXED, change=of("1.2.6", 4, "T2/FLAIR: é"))
    write_series(folder, prefix="c", order=[0, 1], directions=PLANES["coronal"], change=of("1.2.7", 1, "scout"))
    write_report(folder / "report.dcm")
    return folder


def cases(folder: Path) -> dict[str, str]:
    return {case.id: case.images[0].relative_to(folder).as_posix() for case in search_scans(folder, 1).cases}


@pytest.mark.parametrize("uid", ["1.2.840.1", "", "1.2/../3", "a b.nii.gz", "%", "1.2.3.dcm"])
def test_a_selector_is_one_part_of_a_path_and_tells_its_series(tmp_path, uid):
    for below in (False, True):
        path = selector(tmp_path, uid, below=below)
        assert path.parent == tmp_path and re.fullmatch(r"[ -~]+", path.name) and " " not in path.name
        assert pickle.loads(pickle.dumps(path)) == path
        found = selected(path)
        assert found is not None and (found.folder, found.uid, found.below) == (tmp_path, uid, below)
    assert selected(tmp_path / "x") is None and selected(tmp_path / "none" / "series=1.2") is None
    selector(tmp_path, "1.2").mkdir()
    assert selected(tmp_path / "series=1.2") is None  # what is on disk is meant


def test_each_series_of_a_flat_folder_is_a_scan(tmp_path):
    folder = write_flat(tmp_path / "cd")
    broken = write_series(tmp_path / "x", order=[3], change=of("1.2.5", 3)) / "IM0000.dcm"
    shutil.move(damage(broken), folder / "IM9")
    assert cases(folder) == {
        "cd_series_3_T1_MPRAGE": "series=1.2.5",
        "cd_series_4_T2_FLAIR_é": "series=1.2.6",
        "cd_series_1_scout": "series=1.2.7",
        "IM9": "IM9",
    }
    found = search_scans(folder, 1)
    assert [one.path.name for one in found.unused] == ["report.dcm"]
    assert found.unused[0].reason == "DICOM files without images (modality SR)"
    assert found.listing[0] == f"Found 3 DICOM series in {folder}:"
    assert '  series=1.2.5 (6 slices, series 3, "T1 MPRAGE"): case cd_series_3_T1_MPRAGE' in found.listing
    for uid in ("1.2.5", "1.2.6"):
        check(selector(folder, uid), expected_affine(positions()), notes=1)
        (note,) = read_volume(selector(folder, uid)).notes
        assert note == "its first or last slices may be missing: 1 file of its folder cannot be read (IM9)"
    with pytest.raises(UserError, match="damaged or unreadable"):
        read_volume(folder / "IM9")


def test_a_selected_series_is_as_if_it_lay_alone(tmp_path):
    folder = write_flat(tmp_path / "cd")
    path = selector(folder, "1.2.6")
    names = [file.name for file in files_of(path)]
    assert names == [f"b{k:04d}.dcm" for k in range(SHAPE[2])]
    alone = tmp_path / "alone"
    alone.mkdir()
    for name in names:
        shutil.copy(folder / name, alone / name)
    assert hash_of(path) == hash_of(alone) and channels_of(path) is None
    one, other = read_volume(path), read_volume(alone)
    np.testing.assert_array_equal(one.data, other.data)
    np.testing.assert_array_equal(one.affine, other.affine)
    assert one.notes == other.notes == () and read_grid(path)[0] == SHAPE


def test_a_series_that_is_not_there_is_refused(tmp_path):
    folder = write_flat(tmp_path / "cd")
    with pytest.raises(UserError, match=r"no DICOM file of this series"):
        read_volume(selector(folder, "1.2.999"))
    with pytest.raises(UserError, match=r"Choose one of these: .*series=1\.2\.7 \(2 slices, series 1, .scout.\)"):
        search_scans(selector(folder, "1.2.999"), 1)


def test_a_selected_series_has_the_name_that_it_has_among_the_others(tmp_path):
    folder = write_flat(tmp_path / "cd")
    (case,) = search_scans(selector(folder, "1.2.5"), 1).cases
    assert (case.id, case.images) == ("cd_series_3_T1_MPRAGE", (folder / "series=1.2.5",))
    write_series(tmp_path / "one", change=of("1.2.5", 3, "T1"))
    assert cases(tmp_path / "one") == {"one": "."}  # the folder, as ever
    (case,) = search_scans(selector(tmp_path / "one", "1.2.5"), 1).cases
    assert case.id == "one_series_3_T1"


def test_names_are_unique(tmp_path):
    for uid, number in (("1.2.5", 3), ("1.2.6", 3), ("1.2.7", None)):
        write_series(tmp_path / "DICOM" / "p1", prefix=uid, change=of(uid, number, "T1"))
    found = cases(tmp_path)
    assert len(found) == 3 and "p1_series_T1" in found
    assert sum(re.fullmatch(r"p1_series_3_T1_[0-9a-f]{8}", name) is not None for name in found) == 2
    write_series(tmp_path / "DICOM" / "p1", prefix="z", change=of("1.2.8", 9, "T2"))
    assert set(found) < set(cases(tmp_path))


def test_a_folder_of_one_series_is_as_before(tmp_path):
    folder = write_series(tmp_path / "one")
    write_report(folder / "report.dcm")
    assert cases(tmp_path) == {"one": "one"}
    assert "report.dcm of its folder is not used" in read_volume(folder).notes[0]
    damage(folder / "IM0005.dcm")
    assert cases(tmp_path) == {"one": "one"}  # a slice may be missing
    with pytest.raises(UserError, match=r"1 DICOM files that are no readable slices: IM0005.dcm"):
        read_volume(folder)


def test_a_file_of_a_series_that_is_cut_off_refuses_this_series_only(tmp_path):
    folder = write_flat(tmp_path / "cd")
    path = folder / "a0005.dcm"
    path.write_bytes(path.read_bytes()[:-10])
    assert set(cases(folder)) == {"cd_series_3_T1_MPRAGE", "cd_series_4_T2_FLAIR_é", "cd_series_1_scout"}
    with pytest.raises(UserError, match=r"a0005.dcm"):
        read_volume(selector(folder, "1.2.5"))
    check(selector(folder, "1.2.6"), expected_affine(positions()))


def test_slices_with_a_series_each_stay_one_refused_folder(tmp_path):
    folder = write_series(tmp_path / "s", change=lambda data, k: setattr(data, "SeriesInstanceUID", f"1.2.{k + 1}"))
    assert cases(folder) == {"s": "."}
    with pytest.raises(UserError, match="export it again with one SeriesInstanceUID"):
        read_volume(folder)
    write_series(folder, prefix="whole", change=of("1.2.50", 7, "T1"))
    notes = search_scans(folder, 1).notes
    assert len(notes) == SHAPE[2] and all(
        "6 series of its folder with the same number" in one[0] for one in notes.values()
    )


@pytest.mark.parametrize("content", [b"", b"\0" * 4000, b"<html>an error of the server</html>" * 9, b"\xff" * 4000])
def test_files_that_only_have_the_name_of_dicom_are_scans_that_fail_alone(tmp_path, content):
    folder = write_flat(tmp_path / "cd")
    (folder / "x.dcm").write_bytes(content)
    found = cases(folder)
    assert len(found) == 4 and found["x"] == "x.dcm"
    with pytest.raises(UserError):
        read_volume(folder / "x.dcm")
    check(selector(folder, "1.2.5"), expected_affine(positions()), notes=1)


def test_pictures_without_a_place_are_a_scan_each(tmp_path):
    def radiograph(data, k: int) -> None:
        data.SeriesInstanceUID, data.SeriesNumber, data.Modality = f"1.2.{k + 5}", k, "DX"
        del data.ImagePositionPatient, data.ImageOrientationPatient

    write_series(tmp_path / "x", sop="1.2.840.10008.5.1.4.1.1.1.1", modality="DX", change=radiograph)
    assert cases(tmp_path) == {f"x_series_{k}": f"x/series=1.2.{k + 5}" for k in range(SHAPE[2])}
    assert read_volume(tmp_path / "x" / "series=1.2.6").data.shape == (1, *SHAPE[:2], 1)


def test_a_series_never_has_the_name_of_a_file(tmp_path):
    folder = write_flat(tmp_path / "cd")
    write_enhanced(folder / "cd_series_3_T1_MPRAGE.dcm", change=of("1.2.8"))
    found = cases(folder)
    assert found["cd_series_3_T1_MPRAGE"] == "cd_series_3_T1_MPRAGE.dcm" and len(found) == 4


@needs_root
def test_a_file_that_may_not_be_read_may_be_of_any_series(open_folder):
    folder = write_flat(open_folder / "cd")
    (folder / "a0005.dcm").rename(folder / "IM5")
    dicom_reader.read(selector(folder, "1.2.5"))  # loads what another user may not
    (folder / "IM5").chmod(0)
    with another_user():
        found = search_scans(folder, 1)
        assert len(found.cases) == 4 and "IM5" in {case.id for case in found.cases}
        with pytest.raises(UserError, match="no right to read it"):
            read_volume(folder / "IM5")
        volume = dicom_reader.read(selector(folder, "1.2.5"))
    assert volume.data.shape[3] == SHAPE[2] - 1 and "cannot be read (IM5)" in volume.notes[0]


@pytest.mark.parametrize("same", [False, True])
def test_a_damaged_file_of_several_frames_hides_no_other(tmp_path, same):
    for k in range(3):
        write_enhanced(tmp_path / f"m{k}.dcm", change=of("1.2.5" if same else f"1.2.{k + 5}", k))
    whole = (tmp_path / "m1.dcm").read_bytes()
    for cut in (whole[:-100], whole[: whole.index(b"\x20\x00\x0e\x00")], whole[: whole.index(b"\x28\x00\x08\x00")]):
        (tmp_path / "m1.dcm").write_bytes(cut)
        assert cases(tmp_path) == {f"m{k}": f"m{k}.dcm" for k in range(3)}
        for k in (0, 2):
            np.testing.assert_array_equal(read_volume(tmp_path / f"m{k}.dcm").data[0], VOXELS)
        with pytest.raises(UserError):
            read_volume(tmp_path / "m1.dcm")


def test_frames_and_slices_in_one_folder(tmp_path):
    write_series(tmp_path / "d", change=of("1.2.5", 3, "T1"))
    write_enhanced(tmp_path / "d" / "m.dcm", change=of("1.2.6", 4))
    assert cases(tmp_path) == {"d_series_3_T1": "d/series=1.2.5", "m": "d/m.dcm"}


def split(root: Path, *halves: list[int], **given) -> None:
    for name, half in zip("ABC", halves, strict=False):
        write_series(root / name, order=half, **given)


@pytest.mark.parametrize("halves", [([0, 1, 2], [3, 4, 5]), ([0, 2, 4], [1, 3, 5]), ([0, 1], [2, 3], [4, 5])])
def test_a_series_in_several_folders_is_one_volume_where_it_can_be(tmp_path, halves):
    split(tmp_path / "split", *halves)
    write_report(tmp_path / "split" / "A" / "report.dcm")
    found = search_scans(tmp_path, 1)
    (case,) = found.cases
    assert case.id == "split_series_3" and case.images == (tmp_path / "split" / "series-below=1.2.3",)
    assert [one.path.name for one in found.unused] == ["report.dcm"]
    assert "(6 slices, series 3): case split_series_3" in found.listing[1]
    check(case.images[0], expected_affine(positions()), notes=1)
    assert f"its slices lie in {len(halves)} folders" in read_volume(case.images[0]).notes[0]
    assert len(dicom_files(case.images[0])) == SHAPE[2]
    assert [one.images for one in search_scans(case.images[0], 1).cases] == [case.images]


def test_a_series_that_runs_through_mixed_folders(tmp_path):
    write_series(tmp_path / "A", change=of("1.2.5", 3))
    write_series(tmp_path / "A", prefix="z", order=[0, 1], change=of("1.2.6", 4))
    write_series(tmp_path / "B", prefix="z", order=[2, 3, 4, 5], change=of("1.2.6", 4))
    found = cases(tmp_path)
    assert set(found.values()) == {"A/series=1.2.5", "series-below=1.2.6"}
    check(tmp_path / "series-below=1.2.6", expected_affine(positions()), notes=1)


def test_halves_with_a_gap_are_told_of_each_other(tmp_path):
    split(tmp_path, [0, 1, 2], [4, 5])
    found = search_scans(tmp_path, 1)
    assert [case.id for case in found.cases] == ["A", "B"]
    assert found.notes["A"] == (f"other slices of its series lie in {tmp_path / 'B'}, and are no part of it",)
    assert str(tmp_path / "A") in found.notes["B"][0]


def test_one_uid_of_two_patients_joins_nothing(tmp_path):
    """As of an anonymiser that gives all series one UID."""
    for name, half in (("A", [0, 1, 2]), ("B", [3, 4, 5])):
        write_series(tmp_path / name, order=half, change=lambda data, _, name=name: setattr(data, "PatientID", name))
    assert cases(tmp_path) == {"A": "A", "B": "B"}


def test_a_scout_elsewhere_is_no_part_of_the_volume(tmp_path):
    write_series(tmp_path / "A")
    write_series(tmp_path / "B", order=[2], directions=PLANES["coronal"])
    found = search_scans(tmp_path, 1)
    assert [case.id for case in found.cases] == ["A", "B"] and found.notes == {}


def test_copies_stay_two_scans_and_are_told_of_each_other(tmp_path):
    split(tmp_path, list(range(6)))
    shutil.copytree(tmp_path / "A", tmp_path / "B")
    write_series(tmp_path / "C")  # the same places, other SOPInstanceUIDs
    found = search_scans(tmp_path, 1)
    assert [case.id for case in found.cases] == ["A", "B", "C"]
    assert f"copies of its slices lie in {tmp_path / 'B'}" in found.notes["A"]
    assert f"slices of its series at the same positions lie in {tmp_path / 'C'}" in found.notes["A"]


def test_halves_with_a_damaged_file_are_not_joined(tmp_path):
    split(tmp_path, [0, 1, 2], [3, 4, 5])
    write_series(tmp_path / "B", order=[5], prefix="x")
    damage(tmp_path / "B" / "x0000.dcm")
    found = search_scans(tmp_path, 1)
    assert [case.id for case in found.cases] == ["A", "B"] and set(found.notes) == {"A", "B"}
    with pytest.raises(UserError, match=r"x0000\.dcm"):
        read_volume(tmp_path / "B")


def test_training_refuses_a_folder_of_several_series_as_before(tmp_path):
    write_flat(tmp_path / "anna")
    (scan,) = take_inventory(tmp_path).scans
    assert scan.path == tmp_path / "anna"


def test_content_that_is_not_fetched_may_be_of_any_series(tmp_path):
    folder = write_flat(tmp_path / "cd")
    (folder / "a0005.dcm").unlink()
    (folder / "a0005.dcm").symlink_to("../.git/annex/objects/KEY")
    (folder / "b0005.dcm").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 123456\n")
    found = search_scans(folder, 1)
    assert {"a0005", "b0005"} < {case.id for case in found.cases} and len(found.cases) == 5
    assert [one.path.name for one in found.unused] == ["report.dcm"]
    for name, command in (("a0005.dcm", "git annex get"), ("b0005.dcm", "git lfs pull")):
        with pytest.raises(UserError, match=command):
            read_volume(folder / name)
    (note,) = read_volume(selector(folder, "1.2.5")).notes
    assert note.endswith("2 files of its folder cannot be read (a0005.dcm, b0005.dcm)")


def test_a_look_is_of_the_file_as_it_is_now(tmp_path):
    path = write_series(tmp_path, order=[0], change=of("1.2.5", 3)) / "IM0000.dcm"
    assert look(path).series == "1.2.5" and look(path).is_complete and not look(path).is_lost
    damage(path)
    assert look(path).is_lost and look(tmp_path / "none").is_lost
