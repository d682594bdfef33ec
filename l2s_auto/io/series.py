"""Which scans the DICOM files of a folder are: one series, several, or files of several frames, each on its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from l2s_auto.core.interrupts import check_interrupt
from l2s_auto.core.names import path_part
from l2s_auto.io.dicom_look import Look, look
from l2s_auto.io.dicom_select import selector

_LONGEST = 60
#: Series of a single slice with the same number and description, from which on they may be slices of one scan.
_ALIKE = 3


@dataclass(frozen=True)
class Series:
    """What a DICOM series tells of itself.

    files    their number
    frames   of the first file
    uid      its SeriesInstanceUID
    looks    at its files; empty where files of several frames are scans of their own
    unknown  whether files of its folder do not tell their series
    others   files of its folder without images, and why they are not used, where the folder is the scan
    """

    files: int
    frames: int = 1
    number: str = ""
    description: str = ""
    uid: str = ""
    looks: tuple[Look, ...] = field(default=(), repr=False)
    unknown: bool = False
    others: tuple[tuple[Path, str], ...] = ()

    def __str__(self) -> str:
        count = f"{self.frames} frames" if self.frames > 1 else f"{self.files} slice{'' if self.files == 1 else 's'}"
        number = f", series {self.number}" if self.number else ""
        return count + number + (f', "{self.description}"' if self.description else "")


@dataclass(frozen=True)
class DicomScan:
    """A scan in a folder of DICOM files.

    path    the folder, a file, or a selector path (`io/dicom_select.py`)
    series  None for a file that is damaged
    notes   what a user should know of it
    """

    path: Path
    series: Series | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class DicomFolder:
    """scans; unused: (file, reason) of those without images"""

    scans: tuple[DicomScan, ...]
    unused: tuple[tuple[Path, str], ...] = ()


def sort_folder(folder: Path, files: Sequence[Path]) -> DicomFolder:
    """The scans of the DICOM files of a folder, each of which is opened once.

    files  those with DICOM's mark or suffix, and others that may be DICOM but cannot be read
    One series is the folder itself, whatever else is in it: the reader says what is wrong. Of several each is a scan,
    and so is each file of several frames. A damaged file that does not tell its series is a scan of its own then, so
    that reading it says what is wrong. Parallel slices with a series each are left together, for the reader to refuse.
    """
    looks = []
    for path in files:
        check_interrupt()
        looks.append(look(path))
    lost = [one for one in looks if one.is_lost and not one.other_kind]
    others = [one for one in looks if one.other_kind]
    unused = tuple((one.path, one.other_kind) for one in others)
    groups: dict[str, list[Look]] = {}
    for one in looks:
        if not one.other_kind and not one.is_lost:
            groups.setdefault(one.series, []).append(one)
    if not groups and not lost:
        return DicomFolder((), unused)
    groups = dict(sorted(groups.items(), key=lambda item: (_in_order(item[1][0].number), item[0])))
    if not _is_divided(groups, lost):
        every = [one for group in groups.values() for one in group]
        return DicomFolder((DicomScan(folder, _series(every, lost, unused)),))
    scans = [scan for uid, group in groups.items() for scan in _scans(folder, uid, group, groups, lost)]
    return DicomFolder((*scans, *(DicomScan(one.path) for one in lost)), unused)


def _is_divided(groups: dict[str, list[Look]], lost: Sequence[Look]) -> bool:
    """Whether there is more than one scan."""
    if not groups:
        return False
    if len(groups) > 1:
        return not _are_slices([one for group in groups.values() for one in group], count=len(groups))
    (group,) = groups.values()
    return _stand_alone(group) and len(group) + len(lost) > 1


def _are_slices(looks: Sequence[Look], *, count: int) -> bool:
    """Whether files of `count` series are one slice each, some of them parallel: perhaps the slices of one scan."""
    if len(looks) > count or any(one.frames > 1 for one in looks):
        return False
    places = {(one.directions, one.position) for one in looks if one.position}
    return len(places) > len({directions for directions, _ in places})


def _stand_alone(group: Sequence[Look]) -> bool:
    """Whether each file is a scan: it has several frames, or cannot tell."""
    sound = [one for one in group if one.is_complete]
    return all(one.frames > 1 for one in sound)


def _scans(
    folder: Path, uid: str, group: Sequence[Look], groups: dict[str, list[Look]], lost: Sequence[Look]
) -> list[DicomScan]:
    if _stand_alone(group):
        return [DicomScan(one.path, _series([one]) if one.is_complete else None) for one in group]
    notes = []
    alike = sum(len(other) == 1 and _kind(other[0]) == _kind(group[0]) for other in groups.values())
    if len(group) == 1 and alike >= _ALIKE:
        notes.append(
            f"it is a single slice, as are {alike} series of its folder with the same number and description; "
            "if they are slices of one scan, export it again with one SeriesInstanceUID"
        )
    return [DicomScan(selector(folder, uid), _series(group, lost), tuple(notes))]


def _kind(one: Look) -> tuple[str, str, str]:
    return one.number, one.description, one.modality


def _series(looks: Sequence[Look], lost: Sequence[Look] = (), others: Sequence[tuple[Path, str]] = ()) -> Series:
    first = next((one for one in looks if one.is_complete), looks[0] if looks else lost[0])
    uids = {one.series for one in looks}
    return Series(
        files=len(looks) or len(lost),
        frames=first.frames,
        number=path_part(first.number, default="", longest=12),
        description=path_part(first.description, default="", longest=_LONGEST),
        uid=first.series if len(uids) == 1 else "",
        looks=tuple(looks) if len(uids) == 1 and first.frames == 1 else (),
        unknown=bool(lost),
        others=tuple(others),
    )


def _in_order(number: str) -> tuple[int, str]:
    return (int(number), "") if number.isdigit() and len(number) <= 12 else (1 << 40, number)
