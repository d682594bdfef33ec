"""What the files of a DICOM folder tell of themselves, without their voxels: for a list of what was found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from l2s_auto.core.names import path_part
from l2s_auto.io.dicom_header import read_texts

_MODALITY, _DESCRIPTION, _NUMBER, _FRAMES = 0x00080060, 0x0008103E, 0x00200011, 0x00280008
#: Kinds of DICOM objects that hold no image to segment: reports, structures, presentation states, plans, waveforms.
_NO_IMAGES = ("SR", "PR", "KO", "RTSTRUCT", "RTPLAN", "RTRECORD", "REG", "FID", "DOC", "PLAN", "ECG", "HD", "SEG")
_LONGEST = 60


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
    """What the first of the files tells; the others are opened only if it has several frames."""
    texts = read_texts(files[0], (_MODALITY, _DESCRIPTION, _NUMBER, _FRAMES))
    modality = texts.get(_MODALITY, "").upper()
    frames = _frames(texts)
    several = frames > 1 and len(files) > 1
    return Series(
        files=len(files),
        frames=frames,
        number=path_part(texts.get(_NUMBER, ""), default="", longest=12),
        description=path_part(texts.get(_DESCRIPTION, ""), default="", longest=_LONGEST),
        apart=several and all(_frames(read_texts(file, (_FRAMES,))) > 1 for file in files[1:]),
        reason=f"DICOM files without images (modality {modality})" if modality in _NO_IMAGES else "",
    )


def _frames(texts: dict[int, str]) -> int:
    text = texts.get(_FRAMES, "")
    return int(text) if text.isdigit() and len(text) <= 7 else 1
