"""What is no volume is refused in one message, which names the files or frames."""

from __future__ import annotations

import numpy as np
import pytest

from l2s_auto.core.errors import UserError
from l2s_auto.io.volumes import read_volume

pydicom = pytest.importorskip("pydicom")


from tests.io.dicom_files import (  # noqa: E402
    CAPTURE,
    CORNER,
    PLANES,
    SHAPE,
    VOXELS,
    base,
    positions,
    refused,
    save,
    write_enhanced,
    write_frames,
    write_series,
)


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


def test_frames_with_positions_but_no_orientation_are_refused(tmp_path):
    path = write_enhanced(tmp_path / "e.dcm", shared_change=without("PlaneOrientationSequence"))
    refused(path, "6 slices without ImageOrientationPatient")


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


def test_two_files_of_one_series_at_the_same_place_are_named(tmp_path):
    for name in ("a", "b"):
        write_enhanced(tmp_path / "s" / f"{name}.dcm")
    refused(tmp_path / "s", "0.00 mm from a.dcm frame 1 to b.dcm frame 1")
    assert "it is one file of a series: its folder holds 1 more file" in read_volume(tmp_path / "s" / "a.dcm").notes[0]


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
        ("FrameReferenceTime", (500, 1500), "FrameReferenceTime 500.0 and 1500.0"),
        ("ConvolutionKernel", ("B30f", "B70f"), "ConvolutionKernel B30f and B70f"),
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


def test_a_screenshot_beside_a_series_is_listed(tmp_path):
    def screenshot(data, _):
        colour(data)
        data.SeriesInstanceUID, data.SeriesNumber, data.SeriesDescription = "1.2.7", 99, "dose report"

    write_series(tmp_path / "s")
    write_series(tmp_path / "s", order=[0], change=screenshot, prefix="x", sop=CAPTURE, modality="OT")
    refused(tmp_path / "s", 'series 99 "dose report" OT, 1 slice')


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


def test_millions_of_frames_are_refused_at_once(tmp_path):
    def change(data):
        data.Rows = data.Columns = 1
        data.NumberOfFrames, data.PixelData = 4_000_000, bytes(8_000_000)

    refused(write_frames(tmp_path / "f.dcm", change=change), "4000000 frames, but expected at most 65536")


def test_series_that_are_told_apart_by_their_number_alone_show_it(tmp_path):
    write_series(tmp_path / "s", change=lambda data, k: k == 2 and setattr(data, "SeriesInstanceUID", "1.2.77"))
    refused(tmp_path / "s", "2 DICOM series", "series 3 MR, UID 1.2.77, 1 slice", "UID 1.2.3, 5 slices")


def test_bits_that_contradict_each_other_are_shown(tmp_path):
    path = write_series(tmp_path / "s", change=lambda data, k: k == 2 and setattr(data, "BitsStored", 33))
    with pytest.raises(
        UserError, match=r"IM0002.dcm: BitsStored 33, HighBit 15, PixelRepresentation 0 in voxels of 16"
    ):
        read_volume(path)


def test_slices_of_two_patients_are_no_series(tmp_path):
    def change(data, k):
        data.PatientID = "A" if k < 3 else "B"

    refused(write_series(tmp_path / "s", change=change), "slices of 2 patients (PatientID) in one series")
