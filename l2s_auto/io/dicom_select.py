"""Paths of one DICOM series among others: FOLDER/series=UID, which does not exist on disk, and its files.

FOLDER/series=UID        the files of this series that lie in the folder
FOLDER/series-below=UID  those in the folders below too: of a series that an export has divided
UID is the SeriesInstanceUID. Of one that is not made of digits and dots, other characters are written as %XX.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

from l2s_auto.io.dicom_look import look
from l2s_auto.io.folders import entries, files_in, is_dicom_file, may_be_dicom
from l2s_auto.io.unfetched import is_unfetched

_HERE, _BELOW = "series=", "series-below="
_ORDINARY = re.compile(r"[0-9.]*")
#: Folders within folders that are searched, as in `io/inventory.py`.
_MAX_DEPTH = 8


@dataclass(frozen=True)
class Selected:
    """One series: of a folder, or of a folder and those below."""

    folder: Path
    uid: str
    below: bool = False

    def files(self) -> list[Path]:
        """Its files, sorted by path. A file that does not tell its series is none of them."""
        places = _folders_below(self.folder) if self.below else [self.folder]
        return [file for place in places for file in files_in(place) if is_dicom_file(file) and self._has(file)]

    def unknown(self) -> list[Path]:
        """Files beside its own that may be DICOM and do not tell their series: damaged, closed or not fetched."""
        places = {file.parent for file in self.files()} if self.below else {self.folder}
        return [path for place in sorted(places) for path in entries(place) if may_belong(path)]

    def _has(self, file: Path) -> bool:
        found = look(file)
        return found.series == self.uid and not found.is_lost


def may_belong(path: Path) -> bool:
    """Whether a file may be a slice of any series of its folder, since nobody can tell of which."""
    if path.name.startswith(".") or os.path.isdir(path):
        return False
    if is_dicom_file(path):
        found = look(path)
        return found.is_lost and not found.other_kind
    named = path.suffix.lower() in ("", ".dcm") or path.suffix[1:].isdigit()
    return may_be_dicom(path) or (named and is_unfetched(path))


def selector(folder: Path, uid: str, *, below: bool = False) -> Path:
    """The path that stands for a series of a folder."""
    name = uid if _ORDINARY.fullmatch(uid) else quote(uid, safe="").replace(".", "%2E")
    return folder / f"{_BELOW if below else _HERE}{name}"


def selected(path: str | os.PathLike[str]) -> Selected | None:
    """What such a path stands for; None for any other path, and where a file or folder has that name."""
    path = Path(path)
    prefix = next((prefix for prefix in (_HERE, _BELOW) if path.name.startswith(prefix)), None)
    if prefix is None or os.path.lexists(path) or not os.path.isdir(path.parent):
        return None
    return Selected(path.parent, unquote(path.name[len(prefix) :]), below=prefix == _BELOW)


def dicom_files(path: Path) -> list[Path]:
    """The files that may hold a DICOM scan: those of a folder, of a selected series, or the file itself."""
    if (series := selected(path)) is not None:
        return series.files()
    return files_in(path) if os.path.isdir(path) else [path]


def _folders_below(folder: Path) -> list[Path]:
    found = []
    for place, folders, _ in os.walk(folder):
        depth = len(Path(place).relative_to(folder).parts)
        folders[:] = [name for name in folders if depth < _MAX_DEPTH and not name.startswith(".")]
        found.append(Path(place))
    return sorted(found)
