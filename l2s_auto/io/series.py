"""What the files of a DICOM folder tell of themselves, without their voxels: for a list of what was found."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from l2s_auto.core.names import path_part
from l2s_auto.io.dicom_elements import start
from l2s_auto.io.gunzip import DamagedFile

_MODALITY, _DESCRIPTION, _NUMBER, _FRAMES = 0x00080060, 0x0008103E, 0x00200011, 0x00280008
#: Kinds of DICOM objects that hold no image to segment: reports, structures, presentation states, plans, waveforms.
_NO_IMAGES = ("SR", "PR", "KO", "RTSTRUCT", "RTPLAN", "RTRECORD", "REG", "FID", "DOC", "PLAN", "ECG", "HD", "SEG")
_LONGEST = 60
#: The voxels' element; bytes of a value, at most.
_PIXELS, _VALUE = 0x7FE00010, 256


@dataclass(frozen=True)
class Series:
    """A DICOM folder.

    files        their number
    frames       of the first file
    apart        whether every file has several frames, so that each is a scan of its own
    reason       why it is not used; empty if it is
    """

    files: int
    frames: int = 1
    number: str = ""
    description: str = ""
    apart: bool = False
    reason: str = ""

    def __str__(self) -> str:
        count = f"{self.frames} frames" if self.frames > 1 else f"{self.files} slice{'' if self.files == 1 else 's'}"
        number = f", series {self.number}" if self.number else ""
        return count + number + (f', "{self.description}"' if self.description else "")


def look_at(files: Sequence[Path]) -> Series:
    """What the first file with an image tells; others are opened only if there is none in it, or several frames."""
    texts: dict[int, str] = {}
    for file in files:
        texts = read_texts(file, (_MODALITY, _DESCRIPTION, _NUMBER, _FRAMES))
        if not _has_no_image(texts):
            break
    frames = _frames(texts)
    several = frames > 1 and len(files) > 1
    return Series(
        files=len(files),
        frames=frames,
        number=path_part(texts.get(_NUMBER, ""), default="", longest=12),
        description=path_part(texts.get(_DESCRIPTION, ""), default="", longest=_LONGEST),
        apart=several and all(_frames(read_texts(file, (_FRAMES,))) > 1 for file in files),
        reason=f"DICOM files without images (modality {texts[_MODALITY]})" if _has_no_image(texts) else "",
    )


def _has_no_image(texts: dict[int, str]) -> bool:
    return texts.get(_MODALITY, "").upper() in _NO_IMAGES


def _frames(texts: dict[int, str]) -> int:
    text = texts.get(_FRAMES, "")
    return int(text) if text.isdigit() and len(text) <= 7 else 1


def read_texts(path: Path, tags: Collection[int]) -> dict[int, str]:
    """Text of elements that stand before the voxels; what cannot be read is left out, for the reader to say why.

    tags  group and number, such as 0x0020000E (SeriesInstanceUID)
    """
    found: dict[int, str] = {}
    try:
        with open(path, "rb") as file:
            walker = start(file)
            while walker.left() and len(found) < len(tags):
                tag, vr, length = walker.element()
                if tag >= _PIXELS or tag > max(tags):
                    break
                if tag in tags and length <= _VALUE:
                    found[tag] = walker.read(length).decode("latin-1").strip(" \0")
                else:
                    walker.skip(vr, length)
    except (DamagedFile, EOFError, OSError, struct.error, zlib.error):
        pass
    return found
