"""Volumes in two files (NIfTI and Analyze pairs, NRRD and MetaImage headers), and rare headers of text."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from l2s_auto.core.errors import UserError
from l2s_auto.io.content import hash_of
from l2s_auto.io.volumes import (
    case_name,
    channels_of,
    files_of,
    files_of_volume,
    read_header,
    read_label_map,
    read_stored,
    write_label_map,
)

AFFINE = np.array([[-1.6, 1.8, 0, 10], [1.2, 2.4, 0, -20], [0, 0, 4, 30], [0, 0, 0, 1]])
DATA = np.random.default_rng(0).integers(0, 900, (5, 6, 7)).astype(np.int16)


@pytest.mark.parametrize("kind", [nib.Nifti1Pair, nib.Nifti2Pair])
def test_pairs_of_nifti(tmp_path: Path, kind: type) -> None:
    path = tmp_path / "a b.hdr"
    nib.save(kind(DATA, AFFINE), path)
    volume = read_stored(path)
    np.testing.assert_array_equal(volume.data[0], DATA)
    np.testing.assert_allclose(volume.affine, nib.load(path).affine)
    assert volume.notes == () and case_name(path) == "a b" and channels_of(path) == 1
    assert files_of(path) == [path, tmp_path / "a b.img"]
    assert read_header(path)[0] == DATA.shape
    write_label_map(tmp_path / "out.nii.gz", DATA.astype(int), volume.affine, like=path)
    out = nib.load(tmp_path / "out.nii.gz")
    np.testing.assert_array_equal(np.asarray(out.dataobj), DATA)
    np.testing.assert_array_equal(out.header["srow_x"], nib.load(path).header["srow_x"])
    before = hash_of(path)
    (tmp_path / "a b.img").write_bytes((DATA + 1).tobytes("F"))
    assert hash_of(path) != before
    with pytest.raises(UserError, match=r"the voxels of a pair of files; expected its header, .* with \.hdr"):
        read_stored(tmp_path / "a b.img")


@pytest.mark.parametrize("names", [("a.hdr", "a.img.gz"), ("a.hdr.gz", "a.img.gz"), ("A.HDR", "A.IMG")])
def test_pairs_that_are_compressed_or_in_capitals(tmp_path: Path, names: tuple[str, str]) -> None:
    nib.save(nib.Nifti1Pair(DATA, AFFINE), tmp_path / "x.hdr")
    for source, name in zip(("x.hdr", "x.img"), names, strict=True):
        content = (tmp_path / source).read_bytes()
        (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    volume = read_stored(tmp_path / names[0])
    np.testing.assert_array_equal(volume.data[0], DATA)
    assert volume.notes == () and case_name(names[0]).lower() == "a"


def test_units_of_a_pair(tmp_path: Path) -> None:
    image = nib.Nifti1Pair(DATA, np.diag([1e-3] * 3 + [1]) @ AFFINE)
    image.header.set_xyzt_units("meter")
    nib.save(image, tmp_path / "a.hdr")
    np.testing.assert_allclose(read_stored(tmp_path / "a.hdr").spacing, (2, 3, 4), rtol=1e-5)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [nib.AnalyzeImage, nib.Spm99AnalyzeImage])
def test_analyze_is_read_as_nibabel_does_and_its_orientation_is_noted(tmp_path: Path, kind: type, order: str) -> None:
    header = kind.header_class(endianness=order)  # type: ignore[attr-defined]
    header.set_data_dtype(np.int16)
    image = kind(DATA, np.diag([-2.0, 3, 4, 1]), header)
    if kind is nib.Spm99AnalyzeImage:
        image.header["origin"][:3] = (2, 3, 4)
        image.header.set_data_dtype(np.int16)
    image.update_header()
    (tmp_path / "a.hdr").write_bytes(image.header.binaryblock)
    (tmp_path / "a.img").write_bytes(DATA.astype(f"{order}i2").tobytes("F"))
    volume = read_stored(tmp_path / "a.hdr")
    expected = nib.load(tmp_path / "a.hdr")
    np.testing.assert_array_equal(volume.data[0], np.asarray(expected.dataobj))
    np.testing.assert_allclose(volume.affine, expected.affine)
    (note,) = volume.notes
    assert note.startswith("The header gives no orientation (Analyze). Assumed: x runs from right to left")
    content = bytearray((tmp_path / "a.hdr").read_bytes())
    content[252] = 2
    (tmp_path / "a.hdr").write_bytes(content)
    assert "field orient (2) says that slices lie otherwise" in read_stored(tmp_path / "a.hdr").notes[1]
    content[252] = 0
    (tmp_path / "a.hdr").write_bytes(content)
    (tmp_path / "a.mat").write_bytes(b"SPM")
    assert "SPM's .mat file beside it was not read" in read_stored(tmp_path / "a.hdr").notes[1]


@pytest.mark.parametrize("missing", ["a.mhd", "a.nhdr", "a.hdr"])
def test_a_missing_file_of_voxels_is_named(tmp_path: Path, missing: str) -> None:
    if missing == "a.hdr":
        nib.save(nib.Nifti1Pair(DATA, AFFINE), tmp_path / missing)
    else:
        write_label_map(tmp_path / missing, DATA.astype(int), AFFINE)
    voxels = next(path for path in tmp_path.iterdir() if path.name != missing)
    voxels.rename(tmp_path / f"a_1{voxels.suffix}")
    for read in (read_stored, read_header, read_label_map):
        with pytest.raises(UserError) as caught:
            read(tmp_path / missing)
        text = str(caught.value)
        assert f"no such file in the same folder: {voxels};" in text and f"The folder has a_1{voxels.suffix}." in text
    assert files_of(tmp_path / missing) == [tmp_path / missing]
    (tmp_path / f"a_1{voxels.suffix}").unlink()
    with pytest.raises(UserError, match=r"correct its name in the header\.$"):
        read_stored(tmp_path / missing)


def test_a_path_of_another_computer_is_named(tmp_path: Path) -> None:
    write_label_map(tmp_path / "a.mhd", DATA.astype(int), AFFINE)
    text = (tmp_path / "a.mhd").read_text()
    (tmp_path / "a.mhd").write_text(text.replace("= a.raw", r"= C:\data\a.raw"))
    with pytest.raises(UserError, match=r"its voxels are in 'C:.*same folder \('a\.raw' is there\)"):
        read_stored(tmp_path / "a.mhd")


def test_what_is_no_header(tmp_path: Path) -> None:
    (tmp_path / "a.hdr").write_text("ENVI\nsamples = 5\n" * 50)
    (tmp_path / "a.img").write_bytes(b"0" * 99)
    with pytest.raises(UserError, match=r"a\.hdr is not an Analyze or NIfTI header"):
        read_stored(tmp_path / "a.hdr")
    nib.save(nib.Nifti1Image(DATA, AFFINE), tmp_path / "b.nii")
    (tmp_path / "b.nii").rename(tmp_path / "b.hdr")
    with pytest.raises(UserError, match=r"rename it to \.nii"):
        read_stored(tmp_path / "b.hdr")


@pytest.mark.parametrize("compress", [False, True])
def test_detached_nrrd(tmp_path: Path, compress: bool) -> None:
    image = sitk.GetImageFromArray(DATA.T)
    image.SetSpacing((1, 2, 3))
    sitk.WriteImage(image, str(tmp_path / "a.nhdr"), useCompression=compress)
    volume = read_stored(tmp_path / "a.nhdr")
    np.testing.assert_array_equal(volume.data[0], DATA)
    np.testing.assert_allclose(volume.affine, np.diag([-1.0, -2, 3, 1]))
    assert len(files_of(tmp_path / "a.nhdr")) == 2


@pytest.mark.parametrize("suffix", [".nhdr", ".mhd", ".nrrd", ".mha"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32])
def test_simple_itk_reads_what_is_written(tmp_path: Path, suffix: str, dtype: type) -> None:
    labels = DATA.astype(int) % 2 * {np.uint8: 1, np.int16: -300, np.uint16: 40_000, np.int32: 70_000}[dtype]
    path = tmp_path / f"a é{suffix}"
    write_label_map(path, labels.astype(int), AFFINE)
    image = sitk.ReadImage(str(path))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image).T, labels)
    assert sitk.GetArrayFromImage(image).dtype == dtype
    place = np.array(image.TransformIndexToPhysicalPoint((1, 2, 3))) * (-1, -1, 1)
    np.testing.assert_allclose(place, (AFFINE @ (1, 2, 3, 1))[:3], atol=1e-9)
    assert sorted(tmp_path.iterdir()) == sorted(files_of_volume(path))


def nrrd(path: Path, *lines: str, data: bytes = DATA.tobytes("F"), kind: str = "short", encoding: str = "raw") -> Path:
    header = ["NRRD0004", f"type: {kind}", "dimension: 3", *lines, "sizes: 5 6 7", "endian: little"]
    path.write_bytes("\n".join([*header, f"encoding: {encoding}", "\n"]).encode() + data)
    return path


@pytest.mark.parametrize(
    ("lines", "spacing", "notes"),
    [
        (("space: RAS",), (1, 1, 1), ["no orientation (space directions). Assumed: x runs", "no voxel size"]),
        ((), (1, 1, 1), ["no orientation", "no voxel size. A voxel was assumed to be 1 x 1 x 1 mm"]),
        (("spacings: 1 2 3",), (1, 2, 3), ["no orientation"]),
        (("space: LPS", "spacings: 1 2 3"), (1, 2, 3), ["no orientation"]),
        (
            ("space dimension: 3", "space directions: (1,0,0) (0,2,0) (0,0,3)"),
            (1, 2, 3),
            ["not anatomical. left-posterior-superior was assumed"],
        ),
    ],
)
def test_nrrd_without_orientation(
    tmp_path: Path, lines: tuple[str, ...], spacing: tuple[int, ...], notes: list[str]
) -> None:
    path = nrrd(tmp_path / "a.nrrd", *lines)
    volume = read_stored(path)
    assert [note in text for note, text in zip(notes, volume.notes, strict=True)] == [True] * len(notes)
    np.testing.assert_allclose(volume.affine, np.diag([-spacing[0], -spacing[1], spacing[2], 1.0]))
    if "spacings: 1 2 3" not in lines or len(lines) == 1:  # ITK refuses spacings in a space
        assert sitk.ReadImage(str(path)).GetSpacing() == spacing


def test_hexadecimal_voxels(tmp_path: Path) -> None:
    digits = DATA.tobytes("F").hex()
    path = nrrd(tmp_path / "a.nrrd", data="\n".join([digits[:33].upper(), digits[33:70], digits[70:]]).encode(),
                encoding="hex")  # fmt: skip
    np.testing.assert_array_equal(read_stored(path).data[0], DATA)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(path))).T, DATA)
    for data, message in ((digits[:-2], "can hold"), (digits + "00", "more than"), ("x" + digits[1:], "hexadecimal")):
        with pytest.raises(UserError, match=message):
            read_stored(nrrd(tmp_path / "b.nrrd", data=data.encode(), encoding="hex"))
    with pytest.raises(UserError, match="bytes of voxels, but"):
        read_stored(nrrd(tmp_path / "b.nrrd", data=digits[:-2].encode() + b"\n\n\n", encoding="hex"))


@pytest.mark.parametrize("name", ["LIST", "LIST 2", "a%03d.raw 1 7 1", "a%d.raw 1 7 1 2"])
def test_voxels_in_several_files_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"voxels in several files \((LIST|a%0?3?d\.raw)\)"):
        read_stored(nrrd(tmp_path / "a.nhdr", f"data file: {name}", data=b""))


def test_metaimage_with_arrays_and_without_orientation(tmp_path: Path) -> None:
    lines = ["ObjectType = Image", "NDims = 3", "DimSize = 5 6 7", "ElementType = MET_SHORT_ARRAY",
             "ElementNumberOfChannels = 1", "ElementDataFile = LOCAL\n"]  # fmt: skip
    (tmp_path / "a.mha").write_bytes("\n".join(lines).encode() + DATA.tobytes("F"))
    volume = read_stored(tmp_path / "a.mha")
    np.testing.assert_array_equal(volume.data[0], DATA)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "a.mha"))).T, DATA)
    assert "no orientation (TransformMatrix). Assumed: x runs from right to left, y from anterior" in volume.notes[0]
    assert "no voxel size" in volume.notes[1] and len(volume.notes) == 2
    for letters, count in (("RAI", 2), ("???", 2), ("LPS", 3)):
        lines[1] = f"NDims = 3\nAnatomicalOrientation = {letters}"
        (tmp_path / "a.mha").write_bytes("\n".join(lines).encode() + DATA.tobytes("F"))
        assert len(notes := read_stored(tmp_path / "a.mha").notes) == count
        assert ("AnatomicalOrientation, LPS, was not used" in notes[1]) == (count == 3)
