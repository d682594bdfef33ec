"""Series whose files lie in several folders: halves of one volume are read together, others are told of each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from l2s_auto.core.errors import UserError, some_of
from l2s_auto.core.interrupts import check_interrupt
from l2s_auto.core.printable import printable
from l2s_auto.io.dicom_look import Look
from l2s_auto.io.dicom_select import dicom_files, selector
from l2s_auto.io.inventory import Inventory, Scan, Unused
from l2s_auto.io.volumes import read_header


def join_split_series(inventory: Inventory, root: Path) -> Inventory:
    """The same scans, with a series that lies in several folders as one scan if its files are one volume together.

    They are if the reader takes them as one. Copies of slices, and damaged files, leave the parts as they are; each of
    them has a note then.
    """
    parts: dict[str, list[Scan]] = {}
    for scan in inventory.scans:
        if scan.series is not None and scan.series.looks and scan.series.uid:
            parts.setdefault(scan.series.uid, []).append(scan)
    exchanged: dict[Path, Scan | None] = {}
    unused = list(inventory.unused)
    for uid, scans in parts.items():
        if len(scans) < 2:
            continue
        check_interrupt()
        if joined := _joined(uid, scans, root):
            exchanged |= {scans[0].path: joined, **{scan.path: None for scan in scans[1:]}}
            unused += [Unused(*one) for scan in scans if scan.series is not None for one in scan.series.others]
            continue
        exchanged |= {scan.path: _noted(scan, [one for one in scans if one is not scan], root) for scan in scans}
    kept = [exchanged.get(scan.path, scan) for scan in inventory.scans]
    found = sorted((scan for scan in kept if scan is not None), key=lambda scan: (scan.inside, scan.path))
    return replace(inventory, scans=tuple(found), unused=tuple(unused))


def _joined(uid: str, scans: Sequence[Scan], root: Path) -> Scan | None:
    """All of them as one scan; None if they are none."""
    every = [one for scan in scans for one in _looks(scan)]
    origins = {(one.origin, one.modality, one.number) for one in every}
    if (
        len(origins) > 1
        or _instances(every) < len(every)
        or any(scan.series is not None and scan.series.unknown for scan in scans)
    ):
        return None
    inside = _common([scan.inside for scan in scans])
    path = selector(root.joinpath(*inside), uid, below=True)
    if sorted(dicom_files(path)) != sorted(one.path for one in every):
        return None
    try:
        shape, _, _ = read_header(path)
    except UserError:
        return None
    assert scans[0].series is not None
    series = replace(scans[0].series, files=len(every), looks=tuple(every), others=())
    return Scan(path, inside, series) if shape[2] == len(every) else None


def _noted(scan: Scan, others: Sequence[Scan], root: Path) -> Scan:
    own = _places_of(scan)
    planes = {directions for directions, _ in own}
    copied = [one for one in others if _named(scan) & _named(one)]
    rest = [one for one in others if one not in copied]
    placed = [one for one in rest if own and own == _places_of(one)]
    more = [one for one in rest if any(place[0] in planes for place in _places_of(one) - own)]
    notes = []
    if copied:
        notes.append(f"copies of its slices lie in {_places(copied, root)}")
    if placed:
        notes.append(f"slices of its series at the same positions lie in {_places(placed, root)}")
    if more:
        notes.append(f"other slices of its series lie in {_places(more, root)}, and are no part of it")
    return replace(scan, notes=(*scan.notes, *notes))


def _places(scans: Sequence[Scan], root: Path) -> str:
    return some_of([printable(root.joinpath(*scan.inside)) for scan in scans], most=3)


def _named(scan: Scan) -> set[str]:
    """The SOPInstanceUIDs of its slices."""
    return {one.instance for one in _looks(scan) if one.instance}


def _places_of(scan: Scan) -> set[tuple[tuple[float, ...], tuple[float, ...]]]:
    """(directions, position) of its slices."""
    return {(one.directions, one.position) for one in _looks(scan) if one.position}


def _looks(scan: Scan) -> tuple[Look, ...]:
    assert scan.series is not None
    return scan.series.looks


def _instances(looks: Sequence[Look]) -> int:
    """How many different slices there are; those without SOPInstanceUID are all different."""
    named = [one.instance for one in looks if one.instance]
    return len(set(named)) + len(looks) - len(named)


def _common(folders: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The names that all of them begin with."""
    count = 0
    while count < min(map(len, folders)) and len({folder[count] for folder in folders}) == 1:
        count += 1
    return folders[0][:count]
