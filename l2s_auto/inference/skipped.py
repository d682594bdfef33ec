"""What a user should know of scans that were left out because their segmentation was there already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from l2s_auto.core.errors import some_of
from l2s_auto.inference.jobs import Job
from l2s_auto.inference.tables import CASE, read_table

#: Options that change what is found in a scan.
DECISIVE = ("overlap", "tta", "fast")


def notes_on_skipped(
    jobs: Sequence[Job], run: Mapping[str, Any], manifest: Mapping[str, Any], table: Path
) -> list[str]:
    """A sentence on each kind of segmentation that another call than this would have made.

    run       this call, as `describe_run` has it
    manifest  as it was before this call
    table     volumes.csv
    """
    with_rows = {row[CASE] for row in read_table(table)[1]}
    unknown, models, options, older, failed = [], [], [], [], []
    for job in jobs:
        case = job.case.id
        other = _run_of(case, manifest)
        if case not in with_rows or other is None:
            unknown.append(case)
        elif other.get("model", {}).get("sha256") != run["model"]["sha256"]:
            models.append(case)
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
        (options, "and made with other options"),
        (failed, "though the last try failed"),
        (older, "though the scan is newer than its segmentation"),
    )
    return [f"Skipped, {what}: {some_of(cases)}. {again}" for cases, what in kinds if cases]


def _run_of(case: str, manifest: Mapping[str, Any]) -> Mapping[str, Any] | None:
    number = manifest["cases"].get(case, {}).get("run")
    runs = manifest["runs"]
    return runs[number] if isinstance(number, int) and 0 <= number < len(runs) else None
