"""Finds the scans to segment: a file, a DICOM series, a folder of scans, and scans in folders within folders."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from l2s_auto.core.errors import UserError
from l2s_auto.core.printable import printable
from l2s_auto.core.types import Case
from l2s_auto.io.case_files import case_id, channel_of, list_scans, pair_key
from l2s_auto.io.dicom_select import selected
from l2s_auto.io.inventory import Inventory, Scan, Unused, describe, relative, take_inventory
from l2s_auto.io.nested_names import joined, named_cases, title_of
from l2s_auto.io.series import Series, sort_folder
from l2s_auto.io.split_series import join_split_series
from l2s_auto.io.volumes import SUFFIXES, case_name, files_of, volume_suffix

#: Scans in folders that are listed.
_LISTED = 40


@dataclass(frozen=True)
class FoundScans:
    """What is in the input of a prediction.

    cases    to segment, sorted by name
    refused  cases that cannot be told apart, and why
    unused   what looks like a scan and is not used
    listing  lines about scans that were found in folders, and how their cases are named; empty if there are none
    notes    name of a case -> what a user should know of it
    series   path of each of several DICOM scans in one folder -> what it tells of itself
    """

    cases: tuple[Case, ...]
    refused: tuple[tuple[Case, UserError], ...] = ()
    unused: tuple[Unused, ...] = ()
    listing: tuple[str, ...] = ()
    notes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    series: Mapping[Path, Series] = field(default_factory=dict)


def search_scans(path: str | os.PathLike[str], channels: int, *, skip: Collection[Path] = ()) -> FoundScans:
    """Cases to segment: a file, a folder with one DICOM series, or a folder of such, and of folders of such.

    With nnU-Net's channel numbers (CASE_0000, CASE_0001, …) or without. A case with too few or too many files is
    returned as it is: the check of each case belongs to the prediction, so that one bad case does not stop the others.

    skip  folders that are not searched, such as that of the results
    Raises UserError if there is no scan at all.
    """
    path = Path(path)
    if os.path.isfile(path):
        return FoundScans((_single(path, channels),))
    if (one := selected(path)) is not None:
        return _selected(path, one.folder, channels)
    if not os.path.isdir(path):
        raise _nothing(path, "neither a file nor a folder" if os.path.exists(path) else "nothing")
    inventory = join_split_series(take_inventory(path, skip=skip, by_series=True), path)
    if not inventory.scans:
        found = " ".join(["no scan in this folder.", *(f"{line}." for line in describe(inventory.unused, path))])
        raise _nothing(path, found.rstrip("."))
    distinct, refused = _distinct(inventory, path, channels)
    cases = named_cases(distinct, path, channels, taken=[case.id for case, _ in refused])
    said = {scan.path: scan.notes for scan in distinct}
    return FoundScans(
        cases=tuple(sorted(cases, key=lambda case: case.id)),
        refused=tuple(refused),
        unused=inventory.unused,
        listing=tuple(_listing(distinct, cases, path)),
        notes={case.id: notes for case in cases if (notes := _notes(case, said))},
        series={
            scan.path: scan.series for scan in distinct if scan.series is not None and not os.path.isdir(scan.path)
        },
    )


def _notes(case: Case, said: Mapping[Path, tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(note for file in case.images for note in said[file]))


def _selected(path: Path, folder: Path, channels: int) -> FoundScans:
    """One series of a folder, with the name that it has among the others."""
    found = search_scans(folder, channels)
    for case in found.cases:
        if case.images == (path,):
            return replace(found, cases=(case,), refused=(), unused=(), listing=(), series={})
    if not (files := files_of(path)):
        raise UserError.single(
            "There are no scans to segment.",
            where=str(path),
            found=f"no file of this DICOM series in {folder}",
            expected="the SeriesInstanceUID of a series in this folder",
            mend=f"Choose one of these: {'; '.join(lines)}." if (lines := listed_series(found)) else "Correct the UID.",
        )
    scans = sort_folder(folder, files).scans
    series = scans[0].series if scans else None
    return FoundScans((Case(id=case_id(joined((folder.resolve().name, title_of(series)))), images=(path,)),))


def listed_series(found: FoundScans) -> list[str]:
    """The series of folders with several, each with its selector path."""
    lines = [f"{printable(path)} ({printable(series)})" for path, series in found.series.items()]
    return lines[:_LISTED] + [f"and {len(lines) - _LISTED} more"] * (len(lines) > _LISTED)


def _distinct(inventory: Inventory, root: Path, channels: int) -> tuple[list[Scan], list[tuple[Case, UserError]]]:
    """Scans whose names tell them apart, and cases of which there are several files of one name, as a.mha and a.nii."""
    groups: dict[tuple[tuple[str, ...], str], list[Scan]] = {}
    for scan in inventory.scans:
        name, number = channel_of(scan.path)
        whole = case_name(scan.path)
        key = name if number is not None and (channels > 1 or number == 0) else whole
        groups.setdefault((scan.folder, pair_key(key)), []).append(scan)
    distinct: list[Scan] = []
    refused: list[tuple[Case, UserError]] = []
    for (folder, _), group in groups.items():
        names = [pair_key(case_name(scan.path)) for scan in group]
        if len(set(names)) == len(names):
            distinct += group
            continue
        name, number = channel_of(group[0].path)
        name = name if number is not None and (channels > 1 or number == 0) else case_name(group[0].path)
        same = [scan.path for scan, one in zip(group, names, strict=True) if names.count(one) > 1]
        found = " and ".join(relative(path, root) for path in same)
        error = UserError.single(
            "Several files stand for the same volume.",
            where=str(same[0].parent),
            found=found if _look_different(same) else f"{found} (letters with accents, coded in two ways)",
            expected=f"one file for {printable(name)}",
            mend="Remove or rename the copies.",
        )
        refused.append((Case(id=case_id(joined((*folder, name))), images=tuple(scan.path for scan in group)), error))
    return distinct, refused


def _look_different(paths: Sequence[Path]) -> bool:
    """Whether names differ for the eye: é may be one character, or two."""
    return len({unicodedata.normalize("NFC", path.name) for path in paths}) == len(paths)


def _listing(scans: Sequence[Scan], cases: Sequence[Case], root: Path) -> list[str]:
    """What was found in folders, a line a scan, so that a user sees what is going to be segmented, and by what name."""
    nested = [scan for scan in scans if scan.inside or scan.is_selected]
    if not nested:
        return []
    names = {path: case.id for case in cases for path in case.images}
    series = sum(scan.series is not None for scan in nested)
    files = len(nested) - series
    kinds = [f"{series} DICOM series"] if series else []
    kinds += [f"{files} file{'' if files == 1 else 's'}"] if files else []
    where = "in folders below" if any(scan.inside for scan in nested) else "in"
    lines = [f"Found {' and '.join(kinds)} {where} {printable(root)}:"]
    for scan in nested[:_LISTED]:
        about = f" ({printable(scan.series)})" if scan.series is not None else ""
        lines.append(f"  {relative(scan.path, root)}{about}: case {printable(names.get(scan.path, '?'))}")
    if len(nested) > _LISTED:
        lines.append(f"  and {len(nested) - _LISTED} more")
    return lines


def find_scans(path: str | os.PathLike[str], channels: int) -> list[Case]:
    """The cases of `search_scans`; UserError also if two files would be the same case."""
    found = search_scans(path, channels)
    if found.refused:
        raise UserError(
            "Several files stand for the same volume.", [one for _, error in found.refused for one in error.offences]
        )
    return list(found.cases)


def _nothing(path: Path, found: str) -> UserError:
    return UserError.single(
        "There are no scans to segment.",
        where=str(path),
        found=found,
        expected=f"a file, or a folder of files, that end with one of {', '.join(SUFFIXES)}, or a DICOM folder",
        mend="Correct the path of the input.",
    )


def _single(path: Path, channels: int) -> Case:
    """The case of one file; with several channels, the files beside it that differ in the channel number only."""
    stem, number = channel_of(path)
    if channels > 1 and number is not None:
        suffix = volume_suffix(path)
        beside = list_scans(path.parent, ending=suffix)
        files = tuple(file for file in beside if channel_of(file)[0] == stem and channel_of(file)[1] is not None)
        return Case(id=case_id(stem), images=files)
    return Case(id=case_id(stem if number == 0 else case_name(path)), images=(path,))
