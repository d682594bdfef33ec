"""Makers of small DICOM files, by pydicom, of a volume whose place in space is known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from l2s_auto.core.errors import UserError
from l2s_auto.io.volumes import read_grid, read_volume

pydicom = pytest.importorskip("pydicom")

from pydicom.dataset import Dataset, FileDataset, FileMetaDataset  # noqa: E402
from pydicom.uid import ExplicitVRLittleEndian, generate_uid  # noqa: E402

STORAGE = "1.2.840.10008.5.1.4.1.1."
CT, ENHANCED_CT, MR, ENHANCED_MR, PET, CAPTURE, NUCLEAR = (
    STORAGE + end for end in ("2", "2.1", "4", "4.1", "128", "7", "20")
)
#: (X, Y, Z) of the source, its spacing, and its first voxel in LPS mm.
SHAPE, SPACING, CORNER = (7, 9, 6), (1.5, 0.75, 4.25), np.array([-30.0, 12.5, 7.25])
VOXELS = np.random.default_rng(4).integers(0, 1000, SHAPE).astype(np.uint16)
#: Directions of rows and columns of an axial and an oblique scan.
AXIAL = np.array([[1.0, 0, 0], [0, 1, 0]])
OBLIQUE = np.linalg.qr(np.array([[0.9, 0.1, 0.3], [-0.2, 0.8, 0.4], [0.1, -0.5, 0.7]]))[0][:, :2].T
MIXED = [*range(1, SHAPE[2], 2), *range(0, SHAPE[2], 2)]
BACKWARDS = list(range(SHAPE[2]))[::-1]
PLANES = {
    "axial": np.eye(3)[:2],
    "coronal": np.array([[1.0, 0, 0], [0, 0, -1]]),
    "sagittal": np.array([[0.0, 1, 0], [0, 0, -1]]),
    "oblique": OBLIQUE,
}


def base(sop: str, modality: str, *, frames: int | None = None, signed: bool = False, **extra: object) -> Dataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = sop, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset("x", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID, data.Modality = sop, meta.MediaStorageSOPInstanceUID, modality
    data.StudyInstanceUID, data.SeriesInstanceUID, data.SeriesNumber = "1.2.1", "1.2.3", 3
    data.Rows, data.Columns = SHAPE[1], SHAPE[0]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, int(signed)
    if frames is not None:
        data.NumberOfFrames = frames
    for key, value in extra.items():
        setattr(data, key, value)
    return data


def planes(order: Sequence[int]) -> bytes:
    return np.ascontiguousarray(VOXELS[:, :, list(order)].T).tobytes()


def save(path: Path, data: Dataset) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pydicom.dcmwrite(path, data, enforce_file_format=True)
    return path


def positions(directions: np.ndarray = AXIAL, *, lean: Sequence[float] = (0, 0, 0), n: int = SHAPE[2]) -> np.ndarray:
    """(n, 3) of the first voxel of each slice; lean: mm by which each slice is shifted against the one before."""
    normal = np.cross(*directions)
    return CORNER + np.arange(n)[:, np.newaxis] * (SPACING[2] * normal + np.array(lean))


def expected_affine(places: np.ndarray, directions: np.ndarray = AXIAL) -> np.ndarray:
    """RAS affine of slices at these places, from the standard's formula (PS3.3, C.7.6.2.1.1)."""
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = directions[0] * SPACING[0], directions[1] * SPACING[1]
    affine[:3, 2] = (places[-1] - places[0]) / (len(places) - 1)
    affine[:3, 3] = places[0]
    return np.diag([-1.0, -1, 1, 1]) @ affine


def write_series(
    folder: Path,
    *,
    order: Sequence[int] = tuple(range(SHAPE[2])),
    directions: np.ndarray = AXIAL,
    places: np.ndarray | None = None,
    sop: str = MR,
    modality: str = "MR",
    change=lambda data, slice_: None,
    prefix: str = "IM",
) -> Path:
    """The volume as one file a slice, named and numbered in `order`; `change(data, slice)` before each is saved."""
    places = positions(directions) if places is None else places
    for number, slice_ in enumerate(order):
        data = base(sop, modality, InstanceNumber=number + 1, SliceThickness=3.0)
        data.PixelSpacing = [SPACING[1], SPACING[0]]
        data.ImagePositionPatient = [round(float(x), 6) for x in places[slice_]]
        data.ImageOrientationPatient = [round(float(x), 9) for x in directions.ravel()]
        data.PixelData = planes([slice_])
        change(data, slice_)
        save(folder / f"{prefix}{number:04d}.dcm", data)
    return folder


def write_enhanced(
    path: Path,
    *,
    order: Sequence[int] = tuple(range(SHAPE[2])),
    directions: np.ndarray = AXIAL,
    places: np.ndarray | None = None,
    sop: str = ENHANCED_MR,
    modality: str = "MR",
    shared_orientation: bool = True,
    change=lambda data: None,
    change_frame=lambda frame, number, slice_: None,
    shared_change=lambda shared: None,
) -> Path:
    """The volume as one file of many frames, stored in `order`, each with its position."""
    places = positions(directions) if places is None else places
    data = base(sop, modality, frames=len(order), InstanceNumber=1)
    shared, measures, orientation = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [SPACING[1], SPACING[0]], 3.0
    orientation.ImageOrientationPatient = [round(float(x), 9) for x in directions.ravel()]
    shared.PixelMeasuresSequence = [measures]
    if shared_orientation:
        shared.PlaneOrientationSequence = [orientation]
    shared_change(shared)
    data.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for number, slice_ in enumerate(order):
        frame, place, content = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = [round(float(x), 6) for x in places[slice_]]
        content.StackID, content.InStackPositionNumber = "1", slice_ + 1
        frame.PlanePositionSequence, frame.FrameContentSequence = [place], [content]
        if not shared_orientation:
            frame.PlaneOrientationSequence = [orientation]
        change_frame(frame, number, slice_)
        frames.append(frame)
    data.PerFrameFunctionalGroupsSequence = frames
    data.PixelData = planes(order)
    change(data)
    return save(path, data)


def write_frames(path: Path, *, sop: str = CT, modality: str = "CT", change=lambda data: None) -> Path:
    """A file of many frames without functional groups: one position for all of them."""
    data = base(sop, modality, frames=SHAPE[2], InstanceNumber=1, SliceThickness=3.0)
    data.PixelSpacing, data.SpacingBetweenSlices = [SPACING[1], SPACING[0]], SPACING[2]
    data.ImagePositionPatient, data.ImageOrientationPatient = CORNER.tolist(), [1, 0, 0, 0, 1, 0]
    data.PixelData = planes(range(SHAPE[2]))
    change(data)
    return save(path, data)


def check(path: Path, affine: np.ndarray, *, notes: int = 0) -> None:
    """Each voxel of the source lies within 1e-3 mm of where positions put it; `notes`: how many are expected."""
    volume = read_volume(path)
    assert volume.data.shape == (1, *SHAPE) and len(volume.notes) == notes, volume.notes
    voxels = np.stack([*np.indices(SHAPE).reshape(3, -1), np.ones(VOXELS.size)])
    there = np.rint(np.linalg.inv(volume.affine) @ affine @ voxels).astype(int)
    assert np.linalg.norm((volume.affine @ there - affine @ voxels)[:3], axis=0).max() < 1e-3
    np.testing.assert_array_equal(volume.data[0][tuple(there[:3])], VOXELS.ravel())
    shape, grid = read_grid(path)
    assert shape == SHAPE
    np.testing.assert_array_equal(grid, volume.affine)


def refused(path: Path, *words: str) -> None:
    with pytest.raises(UserError) as caught:
        read_volume(path)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert len(caught.value.offences) == 1
    with pytest.raises(UserError):
        read_grid(path)
