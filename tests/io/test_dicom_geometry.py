"""Every way into DICOM passes one check of where its slices lie; the grid is what positions in the file say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from l2s_auto.core.errors import UserError
from l2s_auto.io.volumes import read_grid, read_volume

pydicom = pytest.importorskip("pydicom")

import SimpleITK as sitk  # noqa: E402
from pydicom.uid import (  # noqa: E402
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from tests.io.dicom_files import (  # noqa: E402
    CAPTURE,
    CORNER,
    CT,
    ENHANCED_CT,
    OBLIQUE,
    SHAPE,
    SPACING,
    VOXELS,
    base,
    expected_affine,
    planes,
    positions,
    save,
    write_enhanced,
    write_frames,
    write_series,
)

MIXED = [*range(1, SHAPE[2], 2), *range(0, SHAPE[2], 2)]
BACKWARDS = list(range(SHAPE[2]))[::-1]


def check(path: Path, affine: np.ndarray, *, notes: int = 0) -> None:
    """Each corner within 1e-3 mm of where positions put it, and each voxel the source's, found by its world point."""
    volume = read_volume(path)
    corners = np.array([(x, y, z, 1) for x in (0, SHAPE[0] - 1) for y in (0, SHAPE[1] - 1) for z in (0, SHAPE[2] - 1)])
    inverse = np.linalg.inv(volume.affine)
    for corner in corners:
        here = inverse @ (affine @ corner)  # where the volume that was read has the world point of this source voxel
        there = np.rint(here).astype(int)
        assert np.linalg.norm((volume.affine @ there - affine @ corner)[:3]) < 1e-3
        assert volume.data[0][tuple(there[:3])] == VOXELS[tuple(corner[:3])]
    np.testing.assert_array_equal(np.sort(volume.data, axis=None), np.sort(VOXELS, axis=None))
    assert len(volume.notes) == notes, volume.notes
    shape, grid = read_grid(path)
    assert shape == SHAPE
    np.testing.assert_array_equal(grid, volume.affine)


PLANES = {
    "axial": np.eye(3)[:2],
    "coronal": np.array([[1.0, 0, 0], [0, 0, -1]]),
    "sagittal": np.array([[0.0, 1, 0], [0, 0, -1]]),
    "oblique": OBLIQUE,
}


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("order", [range(SHAPE[2]), BACKWARDS, MIXED], ids=["sorted", "backwards", "mixed"])
@pytest.mark.parametrize("kind", ["series", "frames", "frames in a folder", "each frame its orientation"])
def test_slices_lie_where_their_positions_say_in_any_order(tmp_path, plane, order, kind):
    directions = PLANES[plane]
    if kind == "series":
        path = write_series(tmp_path / "s", order=order, directions=directions)
    else:
        path = write_enhanced(
            tmp_path / "s" / "e.dcm", order=order, directions=directions, shared_orientation="orientation" not in kind
        )
        path = path.parent if "folder" in kind else path
    check(path, expected_affine(positions(directions), directions))


@pytest.mark.parametrize("kind", ["series", "frames"])
@pytest.mark.parametrize("degrees", [-24, 8, 20])
def test_a_tilted_gantry_gives_the_sheared_grid(tmp_path, kind, degrees):
    tilt = np.deg2rad(degrees)
    directions = np.array([[1.0, 0, 0], [0, np.cos(tilt), np.sin(tilt)]])
    places = CORNER + np.arange(SHAPE[2])[:, np.newaxis] * [0, 0, SPACING[2]]  # the table moves along the patient
    write = write_series if kind == "series" else write_enhanced
    path = write(tmp_path / "a.dcm" if kind == "frames" else tmp_path / "s", directions=directions, places=places)
    check(path, expected_affine(places, directions))


@pytest.mark.parametrize("kind", ["series", "frames"])
def test_a_plain_volume_is_that_of_simple_itk(tmp_path, kind):
    if kind == "series":
        path = write_series(tmp_path / "s", order=MIXED, directions=OBLIQUE)
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(path)))
        image = reader.Execute()
    else:
        path = write_enhanced(tmp_path / "e.dcm", directions=OBLIQUE)
        image = sitk.ReadImage(str(path))
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.data[0], sitk.GetArrayFromImage(image).T)
    for index in ((0, 0, 0), (SHAPE[0] - 1, 0, 0), (0, SHAPE[1] - 1, 0), tuple(n - 1 for n in SHAPE)):
        point = np.array(image.TransformIndexToPhysicalPoint(index)) * [-1, -1, 1]
        np.testing.assert_allclose((volume.affine @ [*index, 1])[:3], point, atol=1e-3)


def test_secondary_captures_with_positions(tmp_path):
    path = write_series(tmp_path / "s", sop=CAPTURE, order=BACKWARDS)
    check(path, expected_affine(positions()))


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian, RLELossless]
)
@pytest.mark.parametrize("undefined", [False, True])
def test_geometry_is_read_from_every_transfer_syntax(tmp_path, syntax, undefined):
    def change(data):
        if undefined:
            for tag in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
                data[tag].is_undefined_length = True
                for item in data[tag].value:
                    item.is_undefined_length_sequence_item = True
        if syntax == RLELossless:
            data.compress(syntax, generate_instance_uid=False)
        elif syntax == ExplicitVRBigEndian:
            data.PixelData = np.frombuffer(data.PixelData, "<u2").astype(">u2").tobytes()
        data.file_meta.TransferSyntaxUID = syntax

    path = write_enhanced(tmp_path / "e.dcm", order=MIXED, directions=OBLIQUE, change=change)
    check(path, expected_affine(positions(OBLIQUE), OBLIQUE))


def test_position_and_spacing_of_a_frame_count_more_than_the_shared_ones(tmp_path):
    def own(frame, number, slice_):
        measures = pydicom.Dataset()
        measures.PixelSpacing = [SPACING[1], SPACING[0]]
        frame.PixelMeasuresSequence = [measures]

    def wrong(shared):
        shared.PixelMeasuresSequence[0].PixelSpacing = [9, 9]
        place = pydicom.Dataset()
        place.ImagePositionPatient = [0, 0, 0]
        shared.PlanePositionSequence = [place]

    def top(data):
        data.ImagePositionPatient, data.PixelSpacing = [1, 2, 3], [8, 8]
        data.ImageOrientationPatient = [0, 1, 0, 0, 0, 1]

    path = write_enhanced(tmp_path / "e.dcm", change=top, change_frame=own, shared_change=wrong)
    check(path, expected_affine(positions()))


def test_positions_count_more_than_thickness_and_spacing_between_slices(tmp_path):
    check(write_enhanced(tmp_path / "far.dcm"), expected_affine(positions()))  # thickness 3, 4.25 apart

    def other(shared):
        shared.PixelMeasuresSequence[0].SpacingBetweenSlices = 3.0

    path = write_enhanced(tmp_path / "other.dcm", shared_change=other)
    check(path, expected_affine(positions()), notes=1)
    assert "4.25 mm apart by their positions" in read_volume(path).notes[0]


def test_rounded_positions_are_no_gap(tmp_path):
    places = np.round(CORNER + np.arange(SHAPE[2])[:, np.newaxis] * [0, 0, 0.625], 1)
    volume = read_volume(write_series(tmp_path / "s", places=places))
    for z, place in enumerate(places):
        assert np.linalg.norm((volume.affine @ [0, 0, z, 1])[:3] - place * [-1, -1, 1]) <= 0.1


# --- assumptions, which are said --------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", [False, True])
def test_one_position_for_all_frames_is_read_by_spacing_between_slices_and_said(tmp_path, folder):
    path = write_frames(tmp_path / "s" / "f.dcm")
    path = path.parent if folder else path
    check(path, expected_affine(positions()), notes=1)
    (note,) = read_volume(path).notes
    assert "one position for 6 frames" in note and "4.25 mm apart (SpacingBetweenSlices)" in note


def test_frames_as_simple_itk_writes_them(tmp_path):
    image = sitk.GetImageFromArray(np.ascontiguousarray(VOXELS.T.astype(np.int16)))
    image.SetSpacing(SPACING)
    for key, value in {"0008|0060": "CT", "0018|0050": "4.25", "0018|0088": "4.25"}.items():
        image.SetMetaData(key, value)
    sitk.WriteImage(image, str(tmp_path / "one.dcm"))
    volume = read_volume(tmp_path / "one.dcm")
    np.testing.assert_array_equal(volume.data[0], VOXELS)
    np.testing.assert_allclose(volume.affine, np.diag([-SPACING[0], -SPACING[1], SPACING[2], 1]), atol=1e-6)


def test_frames_without_position_or_orientation_say_what_is_assumed(tmp_path):
    def drop(data):
        del data.ImagePositionPatient, data.ImageOrientationPatient

    volume = read_volume(write_frames(tmp_path / "f.dcm", change=drop))
    np.testing.assert_allclose(volume.spacing, SPACING)
    assert [word in note for word, note in zip(("orientation", "position", "one position"), volume.notes, strict=True)]


@pytest.mark.parametrize("tag", ["ImagerPixelSpacing", "NominalScannedPixelSpacing"])
def test_another_pixel_spacing_is_used_and_said(tmp_path, tag):
    def change(data, _):
        setattr(data, tag, data.PixelSpacing)
        del data.PixelSpacing

    path = write_series(tmp_path / "s", change=change)
    check(path, expected_affine(positions()), notes=1)
    assert tag in read_volume(path).notes[0]


def test_one_slice_of_a_series_is_reported(tmp_path):
    folder = write_series(tmp_path / "s")
    write_series(tmp_path / "s", prefix="other", change=lambda data, _: setattr(data, "SeriesInstanceUID", "1.2.9"))
    volume = read_volume(folder / "IM0002.dcm")
    assert "one slice of a series: its folder holds 5 more files" in volume.notes[0]
    assert "third axis has 3 mm (SliceThickness)" in volume.notes[1]
    np.testing.assert_allclose(volume.affine[:3, 3], positions()[2] * [-1, -1, 1])
    np.testing.assert_allclose(volume.spacing, (*SPACING[:2], 3.0))


def test_a_single_slice_has_a_third_axis_that_is_said(tmp_path):
    def thick(data, _):
        data.SpacingBetweenSlices = 5.5

    def thin(data, _):
        del data.SliceThickness

    volume = read_volume(write_series(tmp_path / "a", order=[3], change=thick))
    assert volume.spacing[2] == 5.5 and "5.5 mm (SpacingBetweenSlices)" in volume.notes[0]
    volume = read_volume(write_series(tmp_path / "b", order=[3], change=thin))
    assert "1 mm is assumed" in volume.notes[0]


@pytest.mark.parametrize("sign", [1, -1])
def test_nuclear_medicine_stacks_by_the_sign_of_the_distance(tmp_path, sign):
    def nuclear(data):
        detector = pydicom.Dataset()
        detector.ImagePositionPatient = positions()[0 if sign > 0 else -1].tolist()
        detector.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        data.DetectorInformationSequence = [detector]
        del data.ImagePositionPatient, data.ImageOrientationPatient
        data.SpacingBetweenSlices = sign * SPACING[2]
        data.ImageType = ["ORIGINAL", "PRIMARY", "RECON TOMO", "EMISSION"]
        if sign < 0:
            data.PixelData = planes(BACKWARDS)

    path = write_frames(tmp_path / "n.dcm", sop="1.2.840.10008.5.1.4.1.1.20", modality="NM", change=nuclear)
    check(path, expected_affine(positions()))


def test_frames_of_nuclear_medicine_are_sorted_by_slice_vector(tmp_path):
    def nuclear(data):
        data.SliceVector = [slice_ + 1 for slice_ in MIXED]
        data.PixelData = planes(MIXED)

    path = write_frames(tmp_path / "n.dcm", sop="1.2.840.10008.5.1.4.1.1.20", modality="NM", change=nuclear)
    check(path, expected_affine(positions()))


# --- values -----------------------------------------------------------------------------------------------------------


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


# --- refusals ---------------------------------------------------------------------------------------------------------


def refused(path: Path, *words: str) -> None:
    with pytest.raises(UserError) as caught:
        read_volume(path)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert len(caught.value.offences) == 1
    with pytest.raises(UserError):
        read_grid(path)


def without(*tags: str):
    def change(data, _=None):
        for tag in tags:
            delattr(data, tag)

    return change


def test_a_series_without_positions_is_refused(tmp_path):
    change = without("ImagePositionPatient", "ImageOrientationPatient")
    refused(write_series(tmp_path / "a", sop=CAPTURE, modality="OT", change=change), "neither their order nor their")
    refused(write_series(tmp_path / "b", change=without("ImagePositionPatient")), "without ImagePositionPatient")
    refused(write_series(tmp_path / "c", change=without("ImageOrientationPatient")), "ImageOrientationPatient")


def test_a_missing_pixel_spacing_is_refused(tmp_path):
    refused(write_series(tmp_path / "a", change=without("PixelSpacing")), "no pixel spacing")
    refused(write_series(tmp_path / "b", order=[0], change=without("PixelSpacing")), "no pixel spacing")
    refused(write_frames(tmp_path / "f.dcm", change=without("PixelSpacing")), "no pixel spacing")


def test_frames_with_a_thickness_alone_are_refused(tmp_path):
    refused(
        write_frames(tmp_path / "f.dcm", change=without("SpacingBetweenSlices")),
        "6 frames without positions of their own", "SliceThickness 3 is not the distance of slices",
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["series", "frames"])
def test_some_slices_without_a_position_are_named(tmp_path, kind):
    if kind == "series":
        path = write_series(tmp_path / "s", change=lambda data, k: k == 2 and delattr(data, "ImagePositionPatient"))
        refused(path, "1 of 6 slices without a position: IM0002.dcm")
    else:

        def change(frame, number, _):
            if number == 2:
                del frame.PlanePositionSequence

        path = write_enhanced(tmp_path / "e.dcm", change_frame=change)
        refused(path, "1 of 6 slices without a position: frame 3")


def test_a_gap_is_named(tmp_path):
    refused(write_enhanced(tmp_path / "e.dcm", order=[0, 1, 2, 4, 5]), "8.50 mm from frame 3 to frame 4")
    refused(write_series(tmp_path / "s", order=[0, 1, 2, 4, 5]), "8.50 mm from IM0002.dcm to IM0003.dcm")


def test_unequal_steps_are_named(tmp_path):
    places = positions()
    places[4, 2] += 0.6
    refused(write_enhanced(tmp_path / "e.dcm", places=places), "4.85 mm from frame 4 to frame 5")
    places = CORNER + np.cumsum(np.linspace(4.0, 4.9, SHAPE[2]))[:, np.newaxis] * [0, 0, 1.0]  # ever farther apart
    refused(write_series(tmp_path / "s", places=places), "some are missing, or their distances differ")


def test_slices_beside_the_line_are_named(tmp_path):
    places = positions()
    places[3, 0] += 2
    refused(write_enhanced(tmp_path / "e.dcm", places=places), "not in line", "frame 3 and frame 4")


@pytest.mark.parametrize(
    ("trait", "values"),
    [("TemporalPositionIndex", (1, 2)), ("StackID", ("1", "2")), ("EffectiveEchoTime", (5.0, 10.0)),
     ("DiffusionBValue", (0.0, 1000.0)), ("nothing", (0, 0))],
)  # fmt: skip
def test_several_volumes_in_one_file_are_refused(tmp_path, trait, values):
    def change(frame, number, _):
        value = values[number >= SHAPE[2]]
        if trait == "EffectiveEchoTime":
            frame.MREchoSequence = [pydicom.Dataset()]
            frame.MREchoSequence[0].EffectiveEchoTime = value
        elif trait == "DiffusionBValue":
            frame.MRDiffusionSequence = [pydicom.Dataset()]
            frame.MRDiffusionSequence[0].DiffusionBValue = value
        elif trait != "nothing":
            setattr(frame.FrameContentSequence[0], trait, value)

    path = write_enhanced(tmp_path / "e.dcm", order=[*range(SHAPE[2])] * 2, change_frame=change)
    if trait == "nothing":
        refused(path, "0.00 mm from frame 1 to frame 7", "of 6 pairs lie at the same place")
    else:
        refused(path, f"2 volumes ({trait} {values[0]:g}, {values[1]:g})" if trait != "StackID" else "StackID 1, 2",
                "frame 1 and frame 7")  # fmt: skip


def test_two_stacks_that_follow_each_other_are_refused(tmp_path):
    def change(frame, number, _):
        frame.FrameContentSequence[0].StackID = "A" if number < 3 else "B"

    refused(write_enhanced(tmp_path / "e.dcm", change_frame=change), "2 volumes (StackID A, B)")


@pytest.mark.parametrize(
    ("tag", "values", "words"),
    [
        ("EchoTime", (10, 80), "EchoTime 10.0, 80.0"),
        ("TemporalPositionIdentifier", (1, 2), "TemporalPositionIdentifier 1, 2"),
        ("AcquisitionNumber", (1, 2), "AcquisitionNumber 1 and 2"),
        ("ImageType", (["ORIGINAL", "PRIMARY", "M"], ["ORIGINAL", "PRIMARY", "P"]), "PRIMARY\\M"),
    ],
)
def test_two_volumes_in_one_series_are_refused(tmp_path, tag, values, words):
    write_series(tmp_path / "s", change=lambda data, _: setattr(data, tag, values[0]))
    write_series(tmp_path / "s", change=lambda data, _: setattr(data, tag, values[1]), prefix="second")
    refused(tmp_path / "s", words, "IM0000.dcm", "second0000.dcm")


def test_a_duplicate_slice_is_named(tmp_path):
    folder = write_series(tmp_path / "s")
    (folder / "copy.dcm").write_bytes((folder / "IM0003.dcm").read_bytes())
    refused(folder, "0.00 mm from IM0003.dcm to copy.dcm", "the same place", "Remove what is there twice")


def test_a_scout_in_the_series_is_named(tmp_path):
    folder = write_series(tmp_path / "s")

    def coronal(data, _):
        data.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]

    write_series(folder, order=[2], directions=PLANES["coronal"], prefix="scout", change=coronal)
    refused(folder, "1 of 7 slices that do not fit: scout0000.dcm", "another plane", "a localizer")


@pytest.mark.parametrize("kind", ["series", "frames"])
def test_slices_of_another_scale_are_named(tmp_path, kind):
    def frame(frame, number, _):
        if number == 4:
            frame.PixelMeasuresSequence = [pydicom.Dataset()]
            frame.PixelMeasuresSequence[0].PixelSpacing = [1, 1]

    if kind == "series":
        path = write_series(tmp_path / "s", change=lambda data, k: k == 4 and setattr(data, "PixelSpacing", [1, 1]))
        refused(path, "IM0004.dcm", "pixels of 1 x 1 instead of 0.75 x 1.5 mm")
    else:
        refused(write_enhanced(tmp_path / "e.dcm", change_frame=frame), "frame 5", "pixels of 1 x 1")


def test_slices_of_another_size_are_named(tmp_path):
    def change(data, k):
        if k == 1:
            data.Rows, data.PixelData = 3, data.PixelData[: 2 * 3 * SHAPE[0]]

    refused(write_series(tmp_path / "s", change=change), "IM0001.dcm with another size", "7 x 3 instead of 7 x 9")


def test_several_series_are_listed(tmp_path):
    def describe(uid, number, description, modality):
        def change(data, _):
            data.SeriesInstanceUID, data.SeriesNumber = uid, number
            data.SeriesDescription, data.Modality = description, modality

        return change

    write_series(tmp_path / "s", change=describe("1.2.5", 3, "T1 MPRAGE", "MR"), prefix="a")
    write_series(tmp_path / "s", change=describe("1.2.6", 4, "localizer", "MR"), prefix="b", order=[0, 1])
    refused(
        tmp_path / "s",
        '2 DICOM series (series 3 "T1 MPRAGE" MR, 6 slices; series 4 "localizer" MR, 2 slices)',
        "Put each series into a folder of its own.",
    )


def test_slices_with_a_series_each_are_explained(tmp_path):
    path = write_series(tmp_path / "s", change=lambda data, k: setattr(data, "SeriesInstanceUID", f"1.2.{k + 1}"))
    refused(path, "6 DICOM series", "UID 1.2.1", "export it again with one SeriesInstanceUID")


def test_objects_that_are_no_images_are_not_used_and_named(tmp_path):
    folder = write_series(tmp_path / "s")
    for number, (sop, modality) in enumerate(
        [("481.3", "RTSTRUCT"), ("88.33", "SR"), ("11.1", "PR"), ("66.4", "SEG"), ("481.2", "RTDOSE")]
    ):
        data = base("1.2.840.10008.5.1.4.1.1." + sop, modality, SeriesInstanceUID=f"1.2.8{number}")
        save(folder / f"x{number}.dcm", data)
    volume = read_volume(folder)
    np.testing.assert_array_equal(volume.data[0], VOXELS)
    for word in ("RTSTRUCT", "SR", "presentation state", "SEG", "RTDOSE"):
        assert any(word in note and "not used" in note for note in volume.notes)


@pytest.mark.parametrize(
    ("sop", "modality", "words"),
    [("481.3", "RTSTRUCT", "structure set"), ("88.11", "SR", "structured report"), ("11.1", "PR", "presentation"),
     ("104.1", "DOC", "PDF"), ("66.4", "SEG", "converted to a label map"), ("481.5", "RTPLAN", "plan"),
     ("9.1.1", "ECG", "waveform")],
)  # fmt: skip
def test_what_is_no_scan_is_called_by_its_name(tmp_path, sop, modality, words):
    path = save(tmp_path / "s" / "x.dcm", base("1.2.840.10008.5.1.4.1.1." + sop, modality))
    refused(path, words)
    refused(path.parent, words)


def film(data, _=None):
    data.FrameTime, data.FrameIncrementPointer = 40, 0x00181063
    del data.ImagePositionPatient, data.ImageOrientationPatient


def colour(data, _=None):
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PlanarConfiguration = 3, "RGB", 0
    data.BitsAllocated, data.BitsStored, data.HighBit = 8, 8, 7
    data.PixelData = bytes(3 * SHAPE[0] * SHAPE[1] + 1)


def gated(data):
    data.ImageType = ["ORIGINAL", "PRIMARY", "GATED TOMO", "EMISSION"]


def two_windows(data):
    data.NumberOfEnergyWindows = 2


def test_images_that_are_no_slices_are_called_by_their_name(tmp_path):
    refused(write_series(tmp_path / "colour", sop=CAPTURE, order=[0], change=colour), "a colour image (RGB)")
    refused(
        write_series(tmp_path / "m", change=lambda data, _: setattr(data, "ImageType", ["ORIGINAL", "M", "MOSAIC"])),
        "Siemens mosaic", "dcm2niix",
    )  # fmt: skip
    refused(write_frames(tmp_path / "us.dcm", modality="US", sop="1.2.840.10008.5.1.4.1.1.3.1", change=film), "a film")
    nuclear = {"modality": "NM", "sop": "1.2.840.10008.5.1.4.1.1.20"}
    refused(write_frames(tmp_path / "g.dcm", change=gated, **nuclear), "GATED TOMO")
    refused(write_frames(tmp_path / "w.dcm", change=two_windows, **nuclear), "2 energy windows")


def test_a_localizer_is_said(tmp_path):
    path = write_series(
        tmp_path / "s", change=lambda data, _: setattr(data, "ImageType", ["ORIGINAL", "X", "LOCALIZER"])
    )
    assert read_volume(path).notes == ("it is a localizer (ImageType)",)


def test_functional_groups_of_another_number_are_damage(tmp_path):
    def change(data):
        data.PerFrameFunctionalGroupsSequence = data.PerFrameFunctionalGroupsSequence[:4]

    refused(write_enhanced(tmp_path / "e.dcm", change=change), "functional groups of 4 frames, but its header says 6")


@pytest.mark.parametrize("value", ["1,5\\1,5", "nan\\1", "1", "1\\1\\1"])
def test_a_pixel_spacing_that_is_none_is_shown(tmp_path, value):
    path = write_series(tmp_path / "s")
    victim = path / "IM0003.dcm"
    content, new = victim.read_bytes(), value.encode() + b" " * (len(value) % 2)
    at = content.index(b"\x28\x00\x30\x00DS")
    length = int.from_bytes(content[at + 6 : at + 8], "little")
    victim.write_bytes(content[: at + 6] + len(new).to_bytes(2, "little") + new + content[at + 8 + length :])
    refused(path, "IM0003.dcm: a pixel spacing")


def test_a_slope_of_zero_is_refused(tmp_path):
    refused(write_series(tmp_path / "s", change=lambda data, _: setattr(data, "RescaleSlope", 0)), "RescaleSlope 0")
