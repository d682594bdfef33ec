"""Values of DICOM slices are the stored ones, each rescaled by its own slope and intercept."""

from __future__ import annotations

import numpy as np
import pytest

from l2s_auto.io.dicom_rle import decode_rle
from l2s_auto.io.gunzip import DamagedFile
from l2s_auto.io.volumes import read_volume

pydicom = pytest.importorskip("pydicom")

import SimpleITK as sitk  # noqa: E402
from pydicom.uid import (  # noqa: E402
    ExplicitVRBigEndian,
    RLELossless,
)

from tests.io.dicom_files import (  # noqa: E402
    CT,
    ENHANCED_CT,
    MIXED,
    SHAPE,
    VOXELS,
    base,
    write_enhanced,
    write_series,
)


def test_each_slice_of_pet_has_its_own_slope(tmp_path):
    def pet(data, slice_):
        data.RescaleSlope, data.RescaleIntercept = (1, 0.5, 0.25, 2, 0.125, 3)[slice_], 0

    volume = read_volume(
        write_series(tmp_path / "s", sop="1.2.840.10008.5.1.4.1.1.128", modality="PT", change=pet, order=MIXED)
    )
    np.testing.assert_allclose(volume.data[0], VOXELS * np.array([1, 0.5, 0.25, 2, 0.125, 3]))


@pytest.mark.parametrize(("sop", "modality"), [(ENHANCED_CT, "CT"), ("1.2.840.10008.5.1.4.1.1.130", "PT")])
def test_each_frame_has_its_own_slope(tmp_path, sop, modality):
    def rescale(frame, number, slice_):
        transformation = pydicom.Dataset()
        transformation.RescaleSlope, transformation.RescaleIntercept = 1 + 0.5 * slice_, -10 * slice_
        frame.PixelValueTransformationSequence = [transformation]

    volume = read_volume(
        write_enhanced(tmp_path / "e.dcm", sop=sop, modality=modality, change_frame=rescale, order=MIXED)
    )
    k = np.arange(SHAPE[2])
    np.testing.assert_allclose(volume.data[0], VOXELS * (1 + 0.5 * k) - 10 * k)


def test_values_are_those_of_pydicom(tmp_path):
    def ct(data, _):
        data.BitsStored, data.HighBit, data.PixelRepresentation = 12, 11, 1
        data.RescaleSlope, data.RescaleIntercept = 1, -1024

    folder = write_series(tmp_path / "s", sop=CT, modality="CT", change=ct)
    files = sorted(folder.iterdir())
    expected = [pydicom.dcmread(path).pixel_array * 1.0 - 1024 for path in files]
    np.testing.assert_array_equal(read_volume(folder).data[0], np.stack(expected).T)
    image = sitk.ReadImage(str(files[0]))
    np.testing.assert_array_equal(read_volume(files[0]).data[0, :, :, 0], sitk.GetArrayFromImage(image)[0].T)


@pytest.mark.parametrize("kind", ["JPEG", "JPEG2000"])
@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.uint8])
def test_compressed_values_are_the_stored_ones(tmp_path, kind, dtype):
    smooth = np.add.outer(np.arange(64), np.arange(64)) - (60 if dtype == np.int16 else 0)
    writer = sitk.ImageFileWriter()
    writer.SetFileName(str(tmp_path / "a.dcm"))
    writer.SetUseCompression(True)
    writer.SetCompressor(kind)
    writer.Execute(sitk.GetImageFromArray(smooth.astype(dtype)[np.newaxis]))
    np.testing.assert_array_equal(read_volume(tmp_path / "a.dcm").data[0, :, :, 0], smooth.T)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("signed", [False, True])
def test_values_that_are_shown_inverted_are_inverted_as_simple_itk_does(tmp_path, compressed, signed):
    def change(data):
        data.PhotometricInterpretation, data.PixelRepresentation = "MONOCHROME1", int(signed)
        data.BitsStored, data.HighBit = 12, 11
        data.RescaleSlope, data.RescaleIntercept = 1, -5
        if compressed:
            data.compress(RLELossless, generate_instance_uid=False)

    volume = read_volume(write_enhanced(tmp_path / "e.dcm", change=change))
    np.testing.assert_array_equal(volume.data[0], (-1 if signed else 4095) - VOXELS.astype(int) - 5)
    assert "MONOCHROME1" in volume.notes[0]
    if not signed:
        image = sitk.ReadImage(str(tmp_path / "e.dcm"))
        np.testing.assert_array_equal(volume.data[0], sitk.GetArrayFromImage(image).T)


def test_bytes_in_words_of_a_big_endian_file(tmp_path):
    def change(data, slice_):
        data.BitsAllocated, data.BitsStored, data.HighBit, data.Columns = 8, 8, 7, SHAPE[0] - 1
        data.PixelData = (VOXELS[:-1, :, slice_].T % 256).astype(np.uint8).tobytes()
        if big:
            data.PixelData = np.frombuffer(data.PixelData, ">u2").astype("<u2").tobytes()
            data["PixelData"].VR = "OW"
            data.file_meta.TransferSyntaxUID = ExplicitVRBigEndian

    for big in (False, True):
        volume = read_volume(write_series(tmp_path / str(big), change=change))
        np.testing.assert_array_equal(volume.data[0], VOXELS[:-1] % 256)


@pytest.mark.parametrize("bits", [8, 16])
def test_run_lengths_of_an_odd_number_of_pixels(tmp_path, bits):
    def change(data, slice_):
        if bits == 8:
            data.BitsAllocated, data.BitsStored, data.HighBit = 8, 8, 7
            data.PixelData = (VOXELS[:, :, slice_].T % 3).astype(np.uint8).tobytes() + b"\0"
        data.compress(RLELossless, generate_instance_uid=False)

    volume = read_volume(write_series(tmp_path / "s", change=change))
    np.testing.assert_array_equal(volume.data[0], VOXELS % 3 if bits == 8 else VOXELS)


def test_run_lengths_are_decoded_as_pydicom_does():
    rng = np.random.default_rng(3)
    for dtype in (np.uint8, np.int16, np.uint16):
        values = np.repeat(rng.integers(-100 if np.dtype(dtype).kind == "i" else 0, 100, 60), rng.integers(1, 300, 60))
        data = base(CT, "CT", Rows=1, Columns=len(values), BitsAllocated=8 * np.dtype(dtype).itemsize)
        data.BitsStored, data.HighBit = data.BitsAllocated, data.BitsAllocated - 1
        data.PixelRepresentation = int(np.dtype(dtype).kind == "i")
        data.PixelData = values.astype(dtype).tobytes() + b"\0" * (len(values) * np.dtype(dtype).itemsize % 2)
        data.compress(RLELossless, generate_instance_uid=False)
        items = data.PixelData
        found = decode_rle(items, frames=1, pixels=len(values), dtype=np.dtype(dtype))
        np.testing.assert_array_equal(found, values)
        for spoilt in (items[:60], items[: len(items) // 2], items[:8] + items[8:].replace(b"\x40\0\0\0", bytes(4), 1)):
            with pytest.raises(DamagedFile):
                decode_rle(spoilt, frames=1, pixels=len(values), dtype=np.dtype(dtype))
