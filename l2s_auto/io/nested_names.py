"""Names of cases whose scans lie in folders within folders: unique, and the same whenever the folder is the same."""

from __future__ import annotations

import os
import re
import zlib
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

from l2s_auto.core.types import Case
from l2s_auto.io.case_files import case_id, group_by_number, pair_key
from l2s_auto.io.inventory import Scan
from l2s_auto.io.series import Series
from l2s_auto.io.volumes import case_name

#: The folder of a CD that all its series lie in.
_OF_A_CD = "dicom"
#: What is replaced in the title of a series.
_ODD = re.compile(r"[^\w.+-]+")
Folder = tuple[str, ...]


def joined(parts: Sequence[str]) -> str:
    """Names of folders, and of what is in them, as one name: ("DICOM", "PAT1", "SER1") -> PAT1_SER1."""
    shown = [case_name(part) for part in parts]
    return "_".join(shown[1:] if len(shown) > 1 and shown[0].lower() == _OF_A_CD else shown)


def named_cases(scans: Sequence[Scan], root: Path, channels: int, *, taken: Collection[str] = ()) -> list[Case]:
    """Cases of the scans of a folder, with channels put together within each folder.

    A scan of the folder itself has its own name. A DICOM series in folders has theirs, and so has a file in folders
    whose own name is another one's too, or in `taken`. One series of a folder with several has the names of the
    folders and its title.
    """
    chosen = {scan.path: scan for scan in scans if scan.is_selected}
    scans = [scan for scan in scans if scan.path not in chosen]
    groups: dict[Folder, list[Path]] = {}
    series = {scan.path for scan in scans if scan.series is not None and os.path.isdir(scan.path)}
    for scan in scans:
        groups.setdefault(scan.folder, []).append(scan.path)
    found: list[tuple[Folder, str, tuple[Path, ...]]] = []
    for folder, paths in sorted(groups.items()):
        for name, files in group_by_number(paths, channels=channels).items():
            name = case_name(root.resolve()) if files == (root,) else name
            found.append((folder, joined((*folder, name)) if folder and files[0] in series else name, files))
    counts = Counter([*(pair_key(name) for _, name, _ in found), *map(pair_key, taken)])
    used = {*map(pair_key, taken), *(pair_key(name) for folder, name, _ in found if not folder)}
    cases = []
    for folder, name, files in found:
        if folder:
            is_clear = counts[pair_key(name)] == 1 or files[0] in series
            name = _free(name if is_clear else joined((*folder, name)), used)
        cases.append(Case(id=case_id(name), images=files))
    used |= {pair_key(case.id) for case in cases}
    return [*cases, *_titled(list(chosen.values()), root, used)]


def title_of(series: Series | None) -> str:
    """A name of a series in a folder: its number and description, without characters that shells or systems mind."""
    words = ["series", *((series.number, series.description) if series is not None else ())]
    return "_".join(kept for word in words if (kept := _ODD.sub("_", word).strip("_.")))


def _titled(scans: Sequence[Scan], root: Path, used: Collection[str]) -> list[Case]:
    """The case of each series; where its name is another one's too, or in `used`, the checksum of its UID is added."""
    names = [joined((*(scan.inside or (root.resolve().name,)), title_of(scan.series))) for scan in scans]
    counts = Counter(map(pair_key, names))
    found = []
    for scan, name in zip(scans, names, strict=True):
        if counts[pair_key(name)] > 1 or pair_key(name) in used:
            name = f"{name}_{zlib.crc32(os.fsencode(scan.path.name)):08x}"
        found.append(Case(id=case_id(name), images=(scan.path,)))
    return found


def _free(name: str, used: set[str]) -> str:
    """The name, or the name with a number where another case has it."""
    free, number = name, 1
    while pair_key(free) in used:
        number += 1
        free = f"{name}_{number}"
    used.add(pair_key(free))
    return free
