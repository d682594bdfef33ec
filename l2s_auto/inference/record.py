"""What is noted of a case in the output folder: its entry in the manifest, its rows in the tables, its files."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from l2s_auto.core.errors import UserError, disk_is_full
from l2s_auto.inference import qc
from l2s_auto.inference.jobs import Job
from l2s_auto.inference.load import Model
from l2s_auto.inference.outputs import FAILURES, QUALITY, VOLUMES, OutputFolder, Rows
from l2s_auto.inference.scan import Result
from l2s_auto.inference.tables import CASE
from l2s_auto.inference.volumes import label_columns, region_columns

FAILURE_COLUMNS = ("case", "file", "reason")


@dataclass(frozen=True)
class Failure:
    """A scan that could not be segmented, and why, in one line."""

    case: str
    file: str
    reason: str


def record_result(outputs: OutputFolder, job: Job, result: Result, entry: Mapping[str, Any], model: Model) -> None:
    """Note a case that is segmented, and take it out of the list of failures."""
    case = job.case.id
    columns = ["case", *label_columns(model.plan).values(), *region_columns(model.plan)]
    tables = {
        VOLUMES: Rows(columns, [result.volumes], [case]),
        QUALITY: Rows(qc.COLUMNS, result.quality, [case]),
    }
    if (outputs.path / FAILURES).exists():
        tables[FAILURES] = Rows(FAILURE_COLUMNS, [], [case])
    try:
        outputs.commit(case, entry, tables, result.staged)
    finally:
        result.staged.discard()


def record_failure(outputs: OutputFolder, job: Job, error: Exception | None, entry: Mapping[str, Any]) -> Failure:
    """Note a case that is not segmented; one without an older segmentation loses its rows."""
    case = job.case.id
    stays = f" An older segmentation stays: {job.output}" if job.exists else ""
    failure = Failure(case, str(job.case.images[0]), reason_of(error) + stays)
    tables = {FAILURES: Rows(FAILURE_COLUMNS, [vars(failure)], [case])}
    if not job.exists:
        for name in (VOLUMES, QUALITY):
            columns, rows = outputs.table(name)
            if any(row[CASE] == case for row in rows):
                tables[name] = Rows(columns, [], [case])
    entry = {**entry, "failed": failure.reason}
    if error is not None and not isinstance(
        error, UserError
    ):  # perhaps the program's fault: keep what helps to find it
        entry["traceback"] = traceback.format_exception(error)
    outputs.commit(case, entry, tables)
    return failure


def reason_of(error: Exception | None) -> str:
    """An error in one line."""
    if isinstance(error, UserError):
        return " ".join([error.summary, *map(str, error.offences)])
    if isinstance(error, MemoryError):
        return "There is not enough memory for it: is its header right about its size?"
    if error is not None and disk_is_full(error):
        return "The disk is full."
    return " ".join(f"{type(error).__name__}: {error}".split())
