"""The loop over scans: read, run the network, write; what each gave goes into the tables at once."""

from __future__ import annotations

import time
import traceback
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from l2s_auto.core.errors import UserError, disk_is_full
from l2s_auto.core.interrupts import check_interrupt, uninterrupted
from l2s_auto.inference import qc
from l2s_auto.inference.ahead import Outcome, attempt, map_ahead
from l2s_auto.inference.jobs import Job, Jobs
from l2s_auto.inference.lanes import Lanes, is_small, open_lanes
from l2s_auto.inference.load import Model
from l2s_auto.inference.manifest import note_case
from l2s_auto.inference.posterior import PROBABILITIES
from l2s_auto.inference.scan import Result, Scan, finish, read_scan, segment
from l2s_auto.inference.tables import merge_rows, read_table
from l2s_auto.inference.volumes import label_columns, region_columns
from l2s_auto.io.content import hash_of

VOLUMES, QUALITY, FAILURES, MANIFEST = "volumes.csv", "qc.csv", "failures.csv", "manifest.json"
FAILURE_COLUMNS = ("case", "file", "reason")


@dataclass(frozen=True)
class Progress:
    """How far a prediction is: cases finished of all, the case at work, and the share of it that the network did."""

    done: int
    total: int
    case: str
    share: float


@dataclass(frozen=True)
class Failure:
    """A scan that could not be segmented, and why, in one line."""

    case: str
    file: str
    reason: str


@dataclass(frozen=True)
class Options:
    """How the network is run."""

    device: torch.device
    overlap: float
    tta: bool
    probabilities: bool


@dataclass
class Tally:
    """What the loop has collected; changed by the main thread only.

    run  index of this run in the manifest
    """

    run: int = 0
    done: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    flagged: list[str] = field(default_factory=list)


def segment_all(
    found: Jobs,
    model: Model,
    options: Options,
    tally: Tally,
    *,
    workers: int,
    progress: Callable[[Progress], None] | None,
) -> None:
    """The loop: read a scan, run the network, write the result; neighbours overlap where there are workers."""
    total = len(found.jobs)
    begun: dict[str, float] = {}

    def read(job: Job) -> Scan:
        begun[job.case.id] = time.monotonic()
        return read_scan(job.case, model)

    def report(job: Job, share: float) -> None:
        if progress is not None:
            progress(Progress(len(tally.done) + len(tally.failures), total, job.case.id, share))

    def watch(job: Job, share: float) -> None:
        check_interrupt()
        report(job, share)

    def collect(job: Job, outcome: Outcome[Result]) -> None:
        seconds = time.monotonic() - begun[job.case.id]
        with uninterrupted():
            _record(found.folder, job, outcome, model, tally, seconds=seconds)
        report(job, 1.0)

    with ExitStack() as stack:
        ahead: Executor | None = None
        behind: Executor | None = None
        lanes: Lanes | None = None
        if workers > 0:
            behind = stack.enter_context(ThreadPoolExecutor(1, "l2s-write"))
            lanes = stack.enter_context(open_lanes(options.device))
            ahead = stack.enter_context(ThreadPoolExecutor(1, "l2s-read"))
        pending: deque[tuple[Job, Future[Outcome[Result]]]] = deque()

        def collect_until(left: int) -> None:
            while len(pending) > left:
                written, future = pending.popleft()
                collect(written, future.result())

        try:
            for job, scan in map_ahead(read, found.jobs, ahead):
                watch(job, 0.0)
                work = partial(_work, found.folder, job, scan, model, options)
                if lanes is not None and scan.value is not None and is_small(scan.value, model.plan):
                    collect_until(lanes.count)
                    pending.append((job, lanes.pool.submit(_to_the_end, work)))
                    continue
                collect_until(1)  # at most what is written; the lanes are empty when all threads are needed
                outcome = work(watch)
                if isinstance(outcome, Outcome):
                    collect_until(0)
                    collect(job, outcome)
                    continue
                if behind is None:
                    collect(job, attempt(outcome))
                    continue
                collect_until(0)
                pending.append((job, behind.submit(attempt, outcome)))
        finally:  # also when interrupted: a case that is being written is not left without its rows
            collect_until(0)


def _to_the_end(work: Callable[[], Outcome[Result] | Callable[[], Result]]) -> Outcome[Result]:
    outcome = work()
    return outcome if isinstance(outcome, Outcome) else attempt(outcome)


def _work(
    folder: Path,
    job: Job,
    scan: Outcome[Scan],
    model: Model,
    options: Options,
    report: Callable[[Job, float], None] = lambda job, share: None,
) -> Outcome[Result] | Callable[[], Result]:
    """Run the network on a scan: what is left to do with what it finds, or the error that came before."""
    if scan.value is None:
        return Outcome(error=scan.error)
    ready = scan.value
    scratch = folder / PROBABILITIES if options.probabilities else None
    found = attempt(
        lambda: segment(
            ready,
            model,
            device=options.device,
            overlap=options.overlap,
            tta=options.tta,
            scratch=scratch,
            progress=lambda done, total: report(job, done / total),
        )
    )
    if found.value is None:
        return Outcome(error=found.error)
    values = found.value
    return lambda: finish(job, ready, values, model, folder=folder)


def entry_of(job: Job) -> dict[str, Any]:
    """What the manifest says of a case: its output, and the hashes of its files."""
    files = [path for path in job.case.images if path.is_file() or path.is_dir()]  # others may never end
    hashes = {str(path): attempt(partial(hash_of, path)).value for path in files}
    return {"output": str(job.output), "inputs": hashes}


def _record(folder: Path, job: Job, outcome: Outcome[Result], model: Model, tally: Tally, *, seconds: float) -> None:
    """Note a case in the tables at once, so that a job that is killed leaves tables that fit its results."""
    case = job.case.id
    entry: dict[str, Any] = {**entry_of(job), "seconds": round(seconds, 3)}
    if outcome.value is None:
        failure = Failure(case, str(job.case.images[0]), _reason(outcome.error) + _what_stays(job))
        tally.failures.append(failure)
        if not job.exists:
            _forget(folder, case)
        merge_rows(folder / FAILURES, FAILURE_COLUMNS, [vars(failure)], replace=[case])
        entry["failed"] = failure.reason
        if not isinstance(outcome.error, UserError):  # perhaps the program's fault: keep what helps to find it
            entry["traceback"] = traceback.format_exception(outcome.error)
        note_case(folder / MANIFEST, tally.run, case, entry)
        return
    result = outcome.value
    _note(folder, case, result, model)
    note_case(folder / MANIFEST, tally.run, case, entry)
    if (refused := attempt(result.publish)).error is not None:  # such as a folder that took its name meanwhile
        _record(folder, job, Outcome(error=refused.error), model, tally, seconds=seconds)
        return
    tally.done.append(case)
    if result.flagged:
        tally.flagged.append(case)


def _what_stays(job: Job) -> str:
    return f" An older segmentation stays: {job.output}" if job.exists else ""


def _forget(folder: Path, case: str) -> None:
    """Take out the rows of a case that has no segmentation."""
    for name in (VOLUMES, QUALITY):
        columns, _ = read_table(folder / name)
        if columns:
            merge_rows(folder / name, columns, [], replace=[case])


def _note(folder: Path, case: str, result: Result, model: Model) -> None:
    """Put a case's rows into the tables, and it out of the list of failures."""
    columns = ["case", *label_columns(model.plan).values(), *region_columns(model.plan)]
    merge_rows(folder / VOLUMES, columns, [result.volumes], replace=[case])
    merge_rows(folder / QUALITY, qc.COLUMNS, result.quality, replace=[case])
    if (folder / FAILURES).exists():
        merge_rows(folder / FAILURES, FAILURE_COLUMNS, [], replace=[case])


def _reason(error: Exception | None) -> str:
    """An error in one line."""
    if isinstance(error, UserError):
        return " ".join([error.summary, *map(str, error.offences)])
    if isinstance(error, MemoryError):
        return "There is not enough memory for it: is its header right about its size?"
    if error is not None and disk_is_full(error):
        return "The disk is full."
    return " ".join(f"{type(error).__name__}: {error}".split())
