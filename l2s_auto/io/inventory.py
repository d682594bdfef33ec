"""Everything in a folder of scans: what is used, and what looks like a scan and is not, each with the reason."""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from l2s_auto.core.errors import some_of
from l2s_auto.core.interrupts import check_interrupt
from l2s_auto.core.printable import printable
from l2s_auto.io import bids
from l2s_auto.io.dicom_select import may_belong, selected
from l2s_auto.io.folders import entries, is_closed, is_dicom_file, is_dicom_folder
from l2s_auto.io.kinds import HEADERS, foreign_suffix, is_system_folder, why_unused
from l2s_auto.io.places import kind_of
from l2s_auto.io.series import Series, sort_folder
from l2s_auto.io.volumes import PAIRS, files_of, volume_suffix

#: Folders within folders, and entries of all of them together, that are looked at.
MAX_DEPTH, MAX_ENTRIES = 8, 200_000
#: Files of a folder that is not searched, of which it is asked whether they look like scans.
_GLANCE = 2_000
#: Names in a sentence about them, and entries of a record.
_MORE, _RECORDED = 3, 5_000

#: Folders that a prediction makes beside its segmentations; nobody takes them for scans.
_BESIDE = ("overlays", "probabilities", "entropy")

#: The scan among the files that FreeSurfer makes of it, in the folder `mri` of a subject.
_ORIGINAL = "orig.mgz"

IMAGES, LABELS = "images", "labels"


@dataclass(frozen=True)
class Scan:
    """A file, a folder with one DICOM series, or one of several series (`io/dicom_select.py`), that is used.

    inside  names of the folders that lead to it from the folder that is searched; a DICOM folder's own is the last
    series  what a DICOM series tells of itself
    notes   what a user should know of it
    """

    path: Path
    inside: tuple[str, ...] = ()
    series: Series | None = None
    notes: tuple[str, ...] = ()

    @property
    def is_selected(self) -> bool:
        """Whether it is one series of a folder with several."""
        return self.series is not None and selected(self.path) is not None

    @property
    def folder(self) -> tuple[str, ...]:
        """Names of the folders that it lies in; a DICOM folder lies in the one above it."""
        is_folder = bool(self.inside) and self.path.name == self.inside[-1] and os.path.isdir(self.path)
        return self.inside[:-1] if is_folder else self.inside


@dataclass(frozen=True)
class Unused:
    """What looks like a scan and is not used; of a folder, how many files in it do."""

    path: Path
    reason: str
    count: int = 1


@dataclass(frozen=True)
class Inventory:
    """What is in a folder."""

    scans: tuple[Scan, ...] = ()
    unused: tuple[Unused, ...] = ()

    @property
    def nested(self) -> bool:
        """Whether scans lie in folders, other than a DICOM series in a folder of its own."""
        return any(scan.folder for scan in self.scans)


def take_inventory(
    root: Path,
    *,
    ending: str = "",
    kind: str = IMAGES,
    depth: int = MAX_DEPTH,
    skip: Collection[Path] = (),
    by_series: bool = False,
) -> Inventory:
    """Look at every entry of a folder, and of the folders in it. UserError if the folder may not be listed.

    ending  that files must have; empty: any suffix that is read
    kind    what is looked for: of images, folders and files that are named as label maps are not used
    depth   of folders within folders that are searched
    skip    folders that are left out, such as that of the results
    by_series  whether each series of a folder with several is a scan; otherwise such a folder is one, which is refused
    """
    search = _Search(root, ending=ending, kind=kind, depth=depth, skip=skip, by_series=by_series)
    search.run()
    return Inventory(tuple(sorted(search.scans, key=lambda scan: (scan.inside, scan.path))), tuple(search.unused))


def describe(unused: Iterable[Unused], root: Path) -> list[str]:
    """A sentence for each reason, with the number of files and some of their names, below `root`."""
    by_reason: dict[str, list[Unused]] = {}
    for one in unused:
        by_reason.setdefault(one.reason, []).append(one)
    lines = []
    for reason, group in by_reason.items():
        count = sum(one.count for one in group)
        names = [relative(one.path, root) + (f" ({one.count})" if one.count > 1 else "") for one in group]
        verb = "file is" if count == 1 else "files are"
        lines.append(f"{count} {verb} not used: {reason}: {some_of(names, most=_MORE)}")
    return lines


def listed(unused: Iterable[Unused], root: Path) -> list[dict[str, object]]:
    """The same for a record: a path, a reason and a number each, some thousand at most."""
    return [
        {"path": relative(one.path, root), "reason": one.reason, "files": one.count} for one in list(unused)[:_RECORDED]
    ]


def relative(path: Path, root: Path) -> str:
    """The path below a folder, as it is shown."""
    try:
        below = path.relative_to(root).as_posix()
    except ValueError:
        below = str(path)
    return printable(root.name if below == "." else below)


class _Search:
    """One walk through a folder, breadth first; links to folders come last, and no folder is entered twice."""

    def __init__(
        self, root: Path, *, ending: str, kind: str, depth: int, skip: Collection[Path], by_series: bool
    ) -> None:
        self.root, self.ending, self.kind, self.depth = root, ending.lower(), kind, depth
        self.by_series = by_series
        self.scans: list[Scan] = []
        self.unused: list[Unused] = []
        self._skip = {found for path in skip if (found := _identity(path)) is not None}
        self._seen: set[tuple[int, int]] = set()
        self._entries = 0
        self._bids = False

    def run(self) -> None:
        waiting: deque[tuple[Path, tuple[str, ...]]] = deque([(self.root, ())])
        links: deque[tuple[Path, tuple[str, ...]]] = deque()
        while waiting or links:
            check_interrupt()
            folder, inside = (waiting or links).popleft()
            found = _identity(folder)
            if inside and (found is None or found in self._seen):
                continue
            if found is not None:
                self._seen.add(found)
            for path in self._folder(folder, inside):
                (links if path.is_symlink() else waiting).append((path, (*inside, path.name)))
            if self._entries > MAX_ENTRIES and (waiting or links):
                reason = f"the search ended after {MAX_ENTRIES:,} entries; give a smaller folder"
                self.unused.append(Unused((waiting or links)[0][0], reason))
                return

    def _folder(self, folder: Path, inside: tuple[str, ...]) -> list[Path]:
        """Look at the files of a folder -> the folders in it that are to be searched."""
        if inside and is_closed(folder):
            self._closed(folder, inside)
            return []
        found = entries(folder)
        self._entries += len(found)
        folders = [path for path in found if os.path.isdir(path)]
        files = [path for path in found if not os.path.isdir(path)]
        if not inside:
            self._bids = bids.is_root(path.name for path in found)
        if self.kind == IMAGES and is_prediction(folder):  # of an earlier call, with a file among the scans as output
            files = self._without_results(folder, files)
        self._files(folder, [path for path in files if _identity(path) not in self._skip], inside)
        return [path for path in folders if self._is_searched(path, inside)]

    def _closed(self, folder: Path, inside: tuple[str, ...]) -> None:
        if not self.ending:  # so that reading it says what is wrong
            self.scans.append(Scan(folder, inside))

    def _is_searched(self, folder: Path, inside: tuple[str, ...]) -> bool:
        if is_system_folder(folder.name):
            return False
        if _identity(folder) in self._skip or (folder.name in _BESIDE and is_prediction(folder.parent)):
            return False
        if volume_suffix(folder) and folder.name.lower().endswith(self.ending) and not glance(folder):
            self.scans.append(Scan(folder, inside))  # reading it says what is wrong
            return False
        reason = self._why_not(folder)
        if not reason and len(inside) >= self.depth:
            if self.depth == 0 and is_dicom_folder(folder):
                return False
            reason = f"more than {self.depth} folders deep" if self.depth else "folders in this folder are not searched"
        if reason and (count := glance(folder)):
            self.unused.append(Unused(folder, reason, count))
        return not reason

    def _why_not(self, folder: Path) -> str:
        name = folder.name.lower()
        if folder.name.startswith("."):
            return "a hidden folder"
        if kind_of(folder) is not None:
            return "files that this program made"
        if self.kind == LABELS:
            return ""
        if is_prediction(folder):
            return "results that a prediction wrote"
        if name == "derivatives" or (self._bids and name in bids.NOT_RAW):
            return "derived data, not scans (BIDS)" if name == "derivatives" else "a folder that is no subject's (BIDS)"
        if name.startswith("labels"):
            return "a folder of label maps"
        return ""

    def _files(self, folder: Path, files: list[Path], inside: tuple[str, ...]) -> None:
        dicom = [path for path in files if volume_suffix(path) in ("", ".dcm") and is_dicom_file(path)]
        named = [path for path in files if volume_suffix(path) not in ("", ".dcm") and not path.name.startswith(".")]
        partners = {
            other for path in named if volume_suffix(path) in PAIRS for other in files_of(path) if other != path
        }
        taken = set(dicom)
        for path in named:
            taken.add(path)
            if path in partners:
                continue
            reason = self._why_no_scan(path, inside)
            if reason:
                self.unused.append(Unused(path, reason))
            else:
                self.scans.append(Scan(path, inside))
        if dicom:
            closed = [path for path in files if path not in taken and may_belong(path)]
            self._dicom(folder, [*dicom, *closed], inside)
            taken |= {scan.path for scan in self.scans if scan.path in closed}
        names = {path.name.lower() for path in files}
        for path in files:
            if path in taken or path in partners:
                continue
            if reason := _orphaned(path, names) if _voxels(path) else why_unused(path):
                self.unused.append(Unused(path, reason))

    def _without_results(self, folder: Path, files: list[Path]) -> list[Path]:
        written = results_in(folder)
        found = [path for path in files if path.name in written and volume_suffix(path)]
        self.unused.extend(Unused(path, "a result that a prediction wrote") for path in found)
        return [path for path in files if path not in set(found)]

    def _why_no_scan(self, path: Path, inside: tuple[str, ...]) -> str:
        if not path.name.lower().endswith(self.ending):
            return f"its name does not end with {self.ending} (file_ending in dataset.json)"
        if self.kind != IMAGES or not inside:
            return ""
        if "mri" in inside:
            original = self.root.joinpath(*inside[: inside.index("mri") + 1], _ORIGINAL)
            if path != original and os.path.exists(original):
                return f"FreeSurfer's; of its files the scan {_ORIGINAL} is used"
        return bids.why_no_scan(path, inside)

    def _dicom(self, folder: Path, files: list[Path], inside: tuple[str, ...]) -> None:
        """The scans of a folder of DICOM files, and its files without images."""
        if self.ending:
            reason = f"DICOM files, but file_ending in dataset.json is {self.ending}"
            self.unused.append(Unused(folder, reason, len(files)))
            return
        found = sort_folder(folder, files)
        if not found.scans:
            for reason in dict.fromkeys(reason for _, reason in found.unused):
                count = sum(other == reason for _, other in found.unused)
                self.unused.append(Unused(folder, reason, count))
            return
        if not self.by_series and any(selected(one.path) is not None for one in found.scans):
            self.scans.append(Scan(folder, inside, Series(files=len(files))))
            return
        self.unused.extend(Unused(path, reason) for path, reason in found.unused)
        self.scans.extend(Scan(one.path, inside, one.series, one.notes) for one in found.scans)


def _voxels(path: Path) -> bool:
    return not path.name.startswith(".") and any(path.name.lower().endswith(suffix) for suffix in HEADERS)


def _orphaned(path: Path, names: Collection[str]) -> str:
    """Why voxels without a header that names them are not used; empty if their header is listed."""
    lower = path.name.lower()
    suffix = max((suffix for suffix in HEADERS if lower.endswith(suffix)), key=len)
    if any(lower[: -len(suffix)] + header in names for header in HEADERS[suffix]):
        return ""
    return "voxels without the header that tells their size"


def glance(folder: Path) -> int:
    """How many files in a folder, and below, look like scans; no more than some thousand are looked at."""
    count = looked = 0
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not is_system_folder(name))
        for name in files:
            looked += 1
            count += _is_scan_name(name) or is_dicom_file(Path(place) / name)
        if looked > _GLANCE:
            break
    return count


def _is_scan_name(name: str) -> bool:
    return not name.startswith(".") and bool(volume_suffix(name) or foreign_suffix(name))


def is_prediction(folder: Path) -> bool:
    """Whether a folder has the manifest of a prediction."""
    return bool(_manifest(folder))


def results_in(folder: Path) -> dict[str, Sequence[str]]:
    """Name -> hashes of the files that predictions wrote into a folder, as the manifest there has them."""
    files = _manifest(folder).get("files", {})
    return files if isinstance(files, dict) else {}


def _manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a prediction; empty if there is none."""
    path = folder / "manifest.json"
    try:
        if not os.path.isfile(path):
            return {}
        value = json.loads(path.read_text(encoding="utf-8"))
        runs = value["runs"]
        return value if runs and all("l2s_auto" in run["versions"] for run in runs) else {}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino
