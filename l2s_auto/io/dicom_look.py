"""What one DICOM file tells before its voxels: its series and kind, for sorting a folder. Each file is opened once."""

from __future__ import annotations

import functools
import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

from l2s_auto.io import dicom_file as tags
from l2s_auto.io.dicom_elements import start
from l2s_auto.io.dicom_kinds import kind_of_object
from l2s_auto.io.gunzip import DamagedFile

_INSTANCE, _STUDY, _FRAME_OF_REFERENCE, _FRAMES = 0x00080018, 0x0020000D, 0x00200052, 0x00280008
_TAGS = frozenset({
    tags.SOP_CLASS, _INSTANCE, tags.MODALITY, tags.DESCRIPTION, tags.SERIES, tags.SERIES_NUMBER, tags.POSITION,
    tags.DIRECTIONS, tags.PATIENT, _STUDY, _FRAME_OF_REFERENCE, _FRAMES,
})  # fmt: skip
#: Bytes of a value that is looked at, and files that are remembered.
_MAX_VALUE, _REMEMBERED = 1024, 200_000


@dataclass(frozen=True)
class Look:
    """What a file tells before its voxels.

    is_complete  whether all elements before the size of the voxels could be read; otherwise values may be missing
    series       its SeriesInstanceUID; empty where there is none
    instance     its SOPInstanceUID
    position     ImagePositionPatient, in 0.01 mm; empty where there is none
    directions   ImageOrientationPatient, in 0.001; empty where there is none
    origin       PatientID, StudyInstanceUID and FrameOfReferenceUID
    """

    path: Path
    is_complete: bool = False
    series: str = ""
    instance: str = ""
    position: tuple[float, ...] = ()
    directions: tuple[float, ...] = ()
    origin: tuple[str, ...] = ()
    sop_class: str = ""
    modality: str = ""
    number: str = ""
    description: str = ""
    frames: int = 1

    @property
    def is_lost(self) -> bool:
        """Whether it is damaged, and does not tell its series."""
        return not self.series and not self.is_complete

    @property
    def other_kind(self) -> str:
        """Why it holds no image to segment; empty for images, and for what does not tell."""
        kind = kind_of_object(self.sop_class, self.modality)
        if not kind:
            return ""
        return f"DICOM files without images ({f'modality {self.modality}' if self.modality else kind})"


def look(path: Path) -> Look:
    """What the file tells; what cannot be read is missing, for the reader to say why. Never raises."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return Look(path)
    return _look(path, found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


@functools.lru_cache(maxsize=_REMEMBERED)
def _look(path: Path, *state: int) -> Look:
    """As `look`, remembered as long as the `state` of the file stays the same."""
    texts: dict[int, str] = {}
    is_complete = False
    try:
        with open(path, "rb") as file:
            walker = start(file)
            while walker.left():
                tag, vr, length = walker.element()
                if tag > _FRAMES or tag == 0:  # zeros, where a disk or a copy failed
                    is_complete = tag > 0 and bool(texts)  # a text is no DICOM, whatever its first letters stand for
                    break
                if tag in _TAGS and length <= _MAX_VALUE:
                    texts[tag] = _text(walker.read(length))
                else:
                    walker.skip(vr, length)
    except (DamagedFile, EOFError, OSError, MemoryError, struct.error, zlib.error):
        pass
    frames = texts.get(_FRAMES, "")
    return Look(
        path,
        is_complete,
        series=texts.get(tags.SERIES, ""),
        instance=texts.get(_INSTANCE, ""),
        position=_numbers(texts.get(tags.POSITION, ""), 2),
        directions=_numbers(texts.get(tags.DIRECTIONS, ""), 3),
        origin=tuple(texts.get(tag, "") for tag in (tags.PATIENT, _STUDY, _FRAME_OF_REFERENCE)),
        sop_class=texts.get(tags.SOP_CLASS, ""),
        modality=texts.get(tags.MODALITY, "").upper(),
        number=texts.get(tags.SERIES_NUMBER, ""),
        description=texts.get(tags.DESCRIPTION, ""),
        frames=int(frames) if frames.isdigit() and len(frames) <= 7 else 1,
    )


def _numbers(text: str, digits: int) -> tuple[float, ...]:
    """Rounded, so that slices can be compared; empty for other text."""
    try:
        return tuple(round(float(word), digits) + 0.0 for word in text.split("\\")) if text else ()
    except ValueError:
        return ()


def _text(value: bytes) -> str:
    value = value.strip(b" \0")
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")
