"""Mutants of DICOM files of many frames, each with its own place: sorted or not, with gaps, copies and wrong tags."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np


def write_frames(rng: random.Random, path: Path) -> tuple[str, bool]:
    """Write an Enhanced MR file that is changed in one way; (what was done, whether its voxels are damaged)."""
    import pydicom
    from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
    from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.4.1"
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = rng.choice(
        (ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian)
    )
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID, data.Modality = meta.MediaStorageSOPClassUID, "1.2.3.4", "MR"
    data.SeriesInstanceUID, data.SeriesNumber = generate_uid(), 1
    count = 6
    data.Rows, data.Columns, data.NumberOfFrames = 14, 15, count
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
    angle = rng.uniform(-0.5, 0.5)
    shared, measures, orientation = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [1.5, 1.0], 2.0
    orientation.ImageOrientationPatient = [1, 0, 0, 0, round(float(np.cos(angle)), 6), round(float(np.sin(angle)), 6)]
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
    data.SharedFunctionalGroupsSequence = [shared]
    order = rng.sample(range(count), count)
    lean = rng.choice((0.0, 0.0, 0.7))
    frames = []
    for slice_ in order:
        frame, place, content = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = [3.0 + lean * slice_, -4.0, 2.5 * slice_]
        content.StackID = "1"
        frame.PlanePositionSequence, frame.FrameContentSequence = [place], [content]
        frames.append(frame)
    data.PerFrameFunctionalGroupsSequence = frames
    voxels = np.random.default_rng(rng.randrange(2**31)).integers(0, 200, (count, 14, 15)).astype(np.uint16)
    data.PixelData = voxels.tobytes()
    name, change = rng.choice(CHANGES)
    change(rng, data)
    pydicom.dcmwrite(path, data, enforce_file_format=True)
    content_ = bytearray(path.read_bytes())
    way = rng.choice(("whole", "whole", "whole", "bytes", "cut"))
    if way == "bytes":
        for _ in range(rng.randrange(1, 20)):
            content_[rng.randrange(len(content_))] = rng.randrange(256)
    elif way == "cut":
        del content_[rng.randrange(len(content_)) :]
    path.write_bytes(content_)
    return f"{name}, {way}", way == "cut"


def _frame(rng: random.Random, data: object) -> object:
    return rng.choice(list(data.PerFrameFunctionalGroupsSequence))  # type: ignore[attr-defined]


def _move(rng: random.Random, data: object) -> None:
    place = _frame(rng, data).PlanePositionSequence[0]  # type: ignore[attr-defined]
    place.ImagePositionPatient[rng.randrange(3)] += rng.choice((-5, -2.5, 1, 2.5, 40))


def _turn(rng: random.Random, data: object) -> None:
    from pydicom.dataset import Dataset

    frame, orientation = _frame(rng, data), Dataset()
    orientation.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
    frame.PlaneOrientationSequence = [orientation]  # type: ignore[attr-defined]


def _scale(rng: random.Random, data: object) -> None:
    from pydicom.dataset import Dataset

    frame, measures = _frame(rng, data), Dataset()
    measures.PixelSpacing = rng.choice(([3, 3], [1.5, 1.1], [1.5, 1.0]))
    frame.PixelMeasuresSequence = [measures]  # type: ignore[attr-defined]


def _drop(rng: random.Random, data: object) -> None:
    delattr(_frame(rng, data), "PlanePositionSequence")


def _drop_shared(rng: random.Random, data: object) -> None:
    shared = data.SharedFunctionalGroupsSequence[0]  # type: ignore[attr-defined]
    delattr(shared, rng.choice(("PixelMeasuresSequence", "PlaneOrientationSequence")))


def _stack(rng: random.Random, data: object) -> None:
    _frame(rng, data).FrameContentSequence[0].StackID = "2"  # type: ignore[attr-defined]


def _fewer(rng: random.Random, data: object) -> None:
    del data.PerFrameFunctionalGroupsSequence[rng.randrange(6)]  # type: ignore[attr-defined]


#: (what is done, how)
CHANGES: tuple[tuple[str, Callable[[random.Random, object], None]], ...] = (
    ("nothing", lambda rng, data: None),
    ("nothing", lambda rng, data: None),
    ("a frame moved", _move),
    ("a frame turned", _turn),
    ("a frame scaled", _scale),
    ("a position dropped", _drop),
    ("a shared group dropped", _drop_shared),
    ("two stacks", _stack),
    ("a group fewer", _fewer),
)
