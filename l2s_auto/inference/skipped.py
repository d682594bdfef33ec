"""Segmentations that are there already: which are whole, and what a user should know of those that are left alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from l2s_auto.core.errors import UserError, some_of
from l2s_auto.inference.ahead import attempt
from l2s_auto.inference.aim import AIM
from l2s_auto.inference.jobs import Job
from l2s_auto.inference.manifest import FILES
from l2s_auto.inference.outputs import OutputFolder
from l2s_auto.inference.record import reason_of
from l2s_auto.inference.tables import CASE, read_table
from l2s_auto.io.geometry import corner_offset, default_tolerance
from l2s_auto.io.volumes import files_of_volume, read_grid, read_label_map

#: Options that change what is found in a scan.
DECISIVE = ("overlap", "tta", "fast")
Grid = tuple[tuple[int, ...], np.ndarray]


@dataclass
class Existing:
    """What becomes of the scans of a call.

    todo       to be segmented
    skipped    whose segmentation is whole
    refused    whose segmentation is damaged, and may be somebody else's; and why
    replace    names of damaged files that a prediction wrote
    changed    cases of `skipped` whose segmentation was changed since it was written
    misplaced  cases of `skipped` whose segmentation is somebody else's, on another grid than the scan's
    """

    todo: list[Job] = field(default_factory=list)
    skipped: list[Job] = field(default_factory=list)
    refused: list[tuple[Job, UserError]] = field(default_factory=list)
    replace: set[str] = field(default_factory=set)
    changed: list[str] = field(default_factory=list)
    misplaced: list[str] = field(default_factory=list)


def sort_existing(jobs: Sequence[Job], outputs: OutputFolder, manifest: Mapping[str, Any]) -> Existing:
    """Open every segmentation that is there. A damaged one is made again if a prediction wrote it.

    One whose hash the manifest knows is whole; any other is read to its end.
    """
    found = Existing()
    for job in jobs:
        if not job.exists:
            found.todo.append(job)
            continue
        names = [path.name for path in files_of_volume(job.output)]
        known = all(outputs.is_known(name, manifest) for name in names)
        opened = attempt(lambda job=job, known=known: _grid_of(job.output, whole=known))  # type: ignore[misc]
        if opened.value is None:
            if outputs.overwrite or _is_ours(job, manifest):
                found.todo.append(job)
                found.replace |= set(names)
            else:
                found.refused.append((job, _damaged(job, opened.error)))
            continue
        placed = _same_grid(opened.value, job)
        if known and not placed:
            found.todo.append(job)  # the scan is another one now
            continue
        found.skipped.append(job)
        if not known and job.output.name in manifest[FILES]:
            found.changed.append(job.case.id)
        if not placed:
            found.misplaced.append(job.case.id)
    return found


def _grid_of(path: Path, *, whole: bool) -> Grid:
    """Shape and affine of a segmentation, which is read to its end unless it is known to be whole."""
    if whole:
        return read_grid(path)
    labels, affine = read_label_map(path)
    return labels.shape, affine


def _same_grid(grid: Grid, job: Job) -> bool:
    """Whether a segmentation lies on its scan's grid; of a scan that cannot be read nobody knows."""
    scan = attempt(lambda: read_grid(job.case.images[0])).value
    if scan is None:
        return True
    shape, affine = grid
    return shape == scan[0] and corner_offset(shape, scan[1], affine)[0] <= default_tolerance(scan[1])


def _is_ours(job: Job, manifest: Mapping[str, Any]) -> bool:
    """Whether a prediction wrote a file of that name; earlier versions noted no more than the case."""
    entry = manifest["cases"].get(job.case.id, {})
    noted = "failed" not in entry and Path(str(entry.get("output", ""))).name == job.output.name
    return job.output.name in manifest[FILES] or noted


def _damaged(job: Job, error: Exception | None) -> UserError:
    return UserError.single(
        "The segmentation that is there cannot be read, and no prediction is known to have written it.",
        where=str(job.output),
        found=reason_of(error),
        expected="a whole label map",
        mend="Move it, or replace it with --overwrite.",
    )


def notes_on_skipped(existing: Existing, run: Mapping[str, Any], manifest: Mapping[str, Any], table: Path) -> list[str]:
    """A sentence on each kind of segmentation that another call than this would have made.

    run       this call, as `describe_run` has it
    manifest  as it was before this call
    table     volumes.csv
    """
    if not existing.skipped:
        return []
    with_rows = {row[CASE] for row in read_table(table)[1]}
    unknown, options, older, failed = [], [], [], []
    models: list[str] = []
    aims: list[str] = []
    for job in existing.skipped:
        case = job.case.id
        other = _run_of(case, manifest)
        if case not in with_rows or other is None:
            unknown.append(case)
        elif other.get("model", {}).get("sha256") != run["model"]["sha256"]:
            (aims if _other_aim(other.get("model", {}), run["model"]) else models).append(case)
        elif any(other.get("options", {}).get(name) != run["options"][name] for name in DECISIVE):
            options.append(case)
        if job.is_outdated:
            older.append(case)
        if "failed" in manifest["cases"].get(case, {}):
            failed.append(case)
    again = "Remove their files to have them done again."
    kinds = (
        (unknown, f"without a row in {table.name} or in the manifest"),
        (models, "and made by another model"),
        (aims, "and made for another aim"),
        (options, "and made with other options"),
        (failed, "though the last try failed"),
        (older, "though the scan is newer than its segmentation"),
        (existing.changed, "and changed since they were written, so that the tables may tell something else"),
        (existing.misplaced, "though they lie on another grid than their scans"),
    )
    return [f"Skipped, {what}: {some_of(cases)}. {again}" for cases, what in kinds if cases]


def _other_aim(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether it is the same model, for another aim."""
    return before.get("source") == now["source"] and before.get(AIM) != now.get(AIM)


def _run_of(case: str, manifest: Mapping[str, Any]) -> Mapping[str, Any] | None:
    number = manifest["cases"].get(case, {}).get("run")
    runs = manifest["runs"]
    return runs[number] if isinstance(number, int) and 0 <= number < len(runs) else None
