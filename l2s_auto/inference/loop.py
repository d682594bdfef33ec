"""The loop over scans: read, run the network, write; what each gave goes into the tables at once."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from l2s_auto.core.interrupts import check_interrupt, uninterrupted
from l2s_auto.inference.agreement import segment_scan
from l2s_auto.inference.ahead import Outcome, attempt, map_ahead
from l2s_auto.inference.jobs import Job
from l2s_auto.inference.lanes import Lanes, is_small, open_lanes
from l2s_auto.inference.load import Model
from l2s_auto.inference.outputs import OutputFolder
from l2s_auto.inference.posterior import PROBABILITIES
from l2s_auto.inference.record import Failure, record_failure, record_result
from l2s_auto.inference.scan import Result, Scan, finish, read_scan
from l2s_auto.io.content import as_hashed
from l2s_auto.io.notes import Note


@dataclass(frozen=True)
class Progress:
    """How far a prediction is: cases finished of all, the case at work, and the share of it that the network did."""

    done: int
    total: int
    case: str
    share: float


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

    run    index of this run in the manifest
    notes  (case, what reading it had to assume)
    """

    run: int = 0
    done: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    flagged: list[str] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)


def segment_all(
    jobs: Sequence[Job],
    outputs: OutputFolder,
    model: Model,
    options: Options,
    tally: Tally,
    *,
    workers: int,
    progress: Callable[[Progress], None] | None,
) -> None:
    """The loop: read a scan, run the network, write the result; neighbours overlap where there are workers."""
    total = len(jobs)
    begun: dict[str, float] = {}
    inputs: dict[str, dict[str, str | None]] = {}
    folder = outputs.path

    def read(job: Job) -> Scan:
        begun[job.case.id] = time.monotonic()
        inputs[job.case.id] = {}
        with as_hashed(job.case.images, inputs[job.case.id]):
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
            _record(outputs, job, outcome, model, tally, inputs=inputs.pop(job.case.id), seconds=seconds)
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
            for job, scan in map_ahead(read, jobs, ahead):
                watch(job, 0.0)
                work = partial(_work, folder, job, scan, model, options)
                if lanes is not None and scan.value is not None and is_small(scan.value, model.plan):
                    collect_until(lanes.count)
                    pending.append((job, lanes.pool.submit(_to_the_end, work)))
                    continue
                collect_until(1)  # at most what is written; the lanes are empty when all threads are needed
                outcome = work(watch)
                del scan, work  # and with them the image, which takes memory that what is left to do can use
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
        lambda: segment_scan(
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
    values, seen = found.value, ready.without_image()
    return lambda: finish(job, seen, values, model, folder=folder)


def _record(
    outputs: OutputFolder,
    job: Job,
    outcome: Outcome[Result],
    model: Model,
    tally: Tally,
    *,
    inputs: Mapping[str, str | None],
    seconds: float,
) -> None:
    """Note a case in the tables at once, so that a job that is killed leaves tables that fit its results."""
    entry: dict[str, Any] = {
        "run": tally.run,
        "output": str(job.output),
        "inputs": dict(inputs),
        "seconds": round(seconds, 3),
    }
    if job.notes:
        entry["notes"] = list(job.notes)
    error = outcome.error
    if (result := outcome.value) is not None:
        if notes := (*job.notes, *result.notes):
            entry["notes"] = list(notes)
        entry |= result.choice
        error = attempt(partial(record_result, outputs, job, result, entry, model)).error
        if error is None:
            tally.done.append(job.case.id)
            tally.notes += [(job.case.id, note) for note in (*job.notes, *result.notes)]
            if result.flagged:
                tally.flagged.append(job.case.id)
            return
    tally.failures.append(record_failure(outputs, job, error, entry))
