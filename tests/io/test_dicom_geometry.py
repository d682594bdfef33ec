"""Every way into DICOM passes one check of where its slices lie; the grid is what positions in the file say."""

from __future__ import annotations

import numpy as np
import pytest

from l2s_auto.io.volumes import read_volume

pydicom = pytest.importorskip("pydicom")

import SimpleITK as sitk  # noqa: E402
from pydicom.uid import (  # noqa: E402
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from tests.io.dicom_files import (  # noqa: E402
    BACKWARDS,
    CAPTURE,
    CORNER,
    MIXED,
    OBLIQUE,
    PLANES,
    SHAPE,
    SPACING,
    VOXELS,
    check,
    expected_affine,
    planes,
    positions,
    write_enhanced,
    write_frames,
    write_series,
)


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

    path = write_enhanced(tmp_path / "other" / "e.dcm", shared_change=other)
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


def test_two_halves_of_a_volume_in_two_files(tmp_path):
    write_enhanced(tmp_path / "s" / "b.dcm", order=[4, 0, 2])
    write_enhanced(tmp_path / "s" / "a.dcm", order=[5, 1, 3])
    check(tmp_path / "s", expected_affine(positions()))
