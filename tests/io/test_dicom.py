"""DICOM is read in another process: damage, crashes and endless loops are errors about one scan."""

from __future__ import annotations

import struct
import sys
import time
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from l2s_auto.core.errors import UserError
from l2s_auto.io import dicom, dicom_reader
from l2s_auto.io.dicom_header import read_size
from l2s_auto.io.isolated import ProcessEnded, call_isolated
from l2s_auto.io.parallel import map_cases
from l2s_auto.io.volumes import read_header, read_stored
from tests.io.isolated_calls import crash, double, hang, take
from tests.io.test_volumes import write_dicom_series

ARRAY = np.random.default_rng(0).integers(0, 1000, (4, 16, 20)).astype(np.int16)


@pytest.fixture
def series(tmp_path: Path) -> Path:
    write_dicom_series(tmp_path / "series", ARRAY)
    return tmp_path / "series"


def rewritten(series: Path, change) -> None:
    for path in series.iterdir():
        dataset = pydicom.dcmread(path)
        change(dataset)
        dataset.save_as(path)


def compress_rle(dataset: pydicom.Dataset) -> None:
    dataset.compress(RLELossless, generate_instance_uid=False)


def set_syntax(syntax: str):
    def change(dataset: pydicom.Dataset) -> None:
        dataset.file_meta.TransferSyntaxUID = syntax

    return change


@pytest.mark.parametrize(
    "change",
    [compress_rle, set_syntax(ImplicitVRLittleEndian), set_syntax(DeflatedExplicitVRLittleEndian)],
    ids=["run-length", "implicit", "deflated"],
)
def test_every_way_to_store_a_series_gives_the_same_volume(series, change):
    rewritten(series, change)
    np.testing.assert_array_equal(read_stored(series).data[0], ARRAY.transpose(2, 1, 0))
    size = read_size(next(series.iterdir()))
    assert (size.rows, size.columns, size.frames, size.samples, size.bits) == (16, 20, 1, 1, 16)


def damage(content: bytes, way: str) -> bytes:
    rows = content.index(b"\x28\x00\x10\x00\x02\x00\x00\x00") + 8
    pixels = content.rindex(b"\xe0\x7f\x10\x00")
    return {
        "cut in the voxels": content[:-7],
        "cut in the header": content[: pixels - 30],
        "cut before the voxels": content[:pixels],
        "more rows": content[:rows] + struct.pack("<H", 9) + content[rows + 2 :],
        "fewer rows": content[:rows] + struct.pack("<H", 3) + content[rows + 2 :],
        "no rows": content[:rows] + struct.pack("<H", 0) + content[rows + 2 :],
        "zeros behind": content + bytes(300),
        "garbage behind": content + b"\x10\x20\x30\x40\xf0\xff\xff\xffgarbage",
    }[way]


@pytest.mark.parametrize("way", ["cut in the voxels", "cut in the header", "cut before the voxels", "more rows",
                                 "fewer rows", "no rows", "zeros behind", "garbage behind"])  # fmt: skip
def test_a_damaged_slice_is_named(series, way):
    path = series / "1.2.3-8.dcm"
    path.write_bytes(damage(path.read_bytes(), way))
    with pytest.raises(UserError, match=r"1 DICOM files that are no readable slices: 1\.2\.3-8\.dcm \("):
        read_stored(series)
    with pytest.raises(UserError, match=r"1\.2\.3-8\.dcm: found damaged"):
        read_stored(path)


@pytest.mark.parametrize("kind", ["JPEG", "JPEG2000", "RLE"])
def test_compressed_voxels_that_end_too_early(tmp_path, kind):
    smooth = np.add.outer(np.arange(64), np.arange(64)).astype(np.int16)[np.newaxis]
    writer = sitk.ImageFileWriter()
    writer.SetFileName(str(tmp_path / "a.dcm"))
    if kind != "RLE":
        writer.SetUseCompression(True)
        writer.SetCompressor(kind)
    writer.Execute(sitk.GetImageFromArray(smooth))
    if kind == "RLE":
        rewritten(tmp_path, compress_rle)
    np.testing.assert_array_equal(read_stored(tmp_path / "a.dcm").data[0, :, :, 0], smooth[0].T)
    dataset = pydicom.dcmread(tmp_path / "a.dcm")
    (frame,) = pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=1)
    dataset.PixelData = pydicom.encaps.encapsulate([frame[: len(frame) // 2 * 2 // 2]])
    dataset.save_as(tmp_path / "a.dcm")
    with pytest.raises(UserError, match="damaged"):
        read_stored(tmp_path / "a.dcm")
    whole = pydicom.dcmread(tmp_path / "a.dcm")
    whole.NumberOfFrames = 3
    whole.save_as(tmp_path / "a.dcm")
    with pytest.raises(UserError, match="1 compressed frames, but its header says 3"):
        read_stored(tmp_path / "a.dcm")


def test_an_element_that_says_gigabytes_costs_none(tmp_path, series):
    """GDCM would reserve what an element says that it has."""
    path = series / "1.2.3-8.dcm"
    path.write_bytes(b"\0" * 128 + b"DICM" + b"\x08\x00\x05\x00UN\0\0\xf0\xff\xff\xff" + bytes(50))
    started = time.monotonic()
    with pytest.raises(UserError, match="the file ends within an element"):
        read_stored(series)
    assert time.monotonic() - started < 30


def test_a_crash_is_an_error_about_one_file_and_the_next_one_is_read(series, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(dicom_reader, "read", crash)
        with pytest.raises(UserError, match=r"series: found damaged.*crashed \(SIGABRT\)"):
            read_stored(series)
    np.testing.assert_array_equal(read_stored(series).data[0], ARRAY.transpose(2, 1, 0))


def test_a_call_that_does_not_end_is_ended(monkeypatch):
    assert call_isolated(double, 4, seconds=60) == 8
    with pytest.raises(ProcessEnded, match="no answer within 0 seconds"):
        call_isolated(hang, seconds=0.2)
    assert call_isolated(double, 5, seconds=60) == 10
    with pytest.raises(TypeError):
        call_isolated(double, None, seconds=60)  # type: ignore[arg-type]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux limits the memory of a process")
def test_memory_is_limited():
    assert call_isolated(take, 1 << 20, seconds=60) == 1 << 20
    with pytest.raises(MemoryError):
        call_isolated(take, 1 << 29, seconds=60)
    assert call_isolated(double, 5, seconds=60) == 10


def sum_of(path: Path) -> int:
    return int(read_stored(path).data.sum())


def test_workers_read_dicom_too(series):
    assert map_cases(sum_of, [series, series], name=str, workers=1) == [int(ARRAY.sum())] * 2


def test_the_header_of_a_series(series):
    shape, channels, affine = read_header(series)
    assert shape == (20, 16, 4) and channels == 1
    np.testing.assert_array_equal(affine, read_stored(series).affine)
    assert dicom.read(series).data.dtype == np.int16


@pytest.mark.parametrize(
    "change",
    [
        lambda slice_: setattr(slice_, "ImageOrientationPatient", [0, 1, 0, -1, 0, 0]),
        lambda slice_: setattr(slice_, "PixelSpacing", [2.0, 0.7]),
    ],
    ids=["turned", "scaled"],
)
def test_a_slice_that_is_turned_or_scaled_against_the_others_is_named(series, change):
    path = sorted(series.iterdir())[2]
    dataset = pydicom.dcmread(path)
    change(dataset)
    dataset.save_as(path)
    with pytest.raises(UserError, match=rf"{path.name} with other directions or another pixel spacing"):
        read_stored(series)


def test_a_slice_beside_the_line_of_the_others_is_named(series):
    path = sorted(series.iterdir())[1]
    dataset = pydicom.dcmread(path)
    x, y, z = dataset.ImagePositionPatient
    dataset.ImagePositionPatient = [x + 3, y, z]
    dataset.save_as(path)
    with pytest.raises(UserError, match=rf"not in line with the others: .*{path.name}"):
        read_stored(series)


def test_a_tilted_gantry_gives_a_sheared_grid(series):
    """Each voxel lies where its slice says: the position of the first voxel, and steps along rows and columns."""
    for path in series.iterdir():
        dataset = pydicom.dcmread(path)
        x, y, z = dataset.ImagePositionPatient
        dataset.ImagePositionPatient = [x, y + 0.3 * z, z]
        dataset.save_as(path)
    affine = read_stored(series).affine
    slices = sorted((pydicom.dcmread(path) for path in series.iterdir()), key=lambda one: one.ImagePositionPatient[2])
    for number, one in enumerate(slices):
        expected = np.array([-1, -1, 1]) * one.ImagePositionPatient
        np.testing.assert_allclose((affine @ [0, 0, number, 1])[:3], expected, atol=1e-4)


@pytest.mark.parametrize("tag", ["SOPClassUID", "MediaStorageSOPClassUID"])
def test_a_slice_of_a_kind_that_gdcm_does_not_know_lies_where_its_tags_say(series, tag):
    before = read_stored(series).affine
    path = sorted(series.iterdir())[0]
    dataset = pydicom.dcmread(path)
    setattr(dataset.file_meta if tag.startswith("Media") else dataset, tag, "1.2.3.4")
    dataset.save_as(path)
    np.testing.assert_allclose(read_stored(series).affine, before, atol=1e-5)


@pytest.mark.parametrize(
    ("tag", "value", "message"),
    [
        ("ImageOrientationPatient", [1, 0, 0, 0.5, 0.5, 0], "unit vectors"),
        ("PixelSpacing", [0, 1], "pixel spacing"),
        ("PixelSpacing", [1, -1], "pixel spacing"),
    ],
)
def test_a_series_that_lies_nowhere_is_refused(series, tag, value, message):
    rewritten(series, lambda slice_: setattr(slice_, tag, value))
    with pytest.raises(UserError, match=message):
        read_stored(series)
