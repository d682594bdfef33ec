"""Segment a scan or a folder of scans."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from l2s_auto.core.errors import UserError
from l2s_auto.inference import qc
from l2s_auto.inference.ahead import Outcome, attempt, map_ahead
from l2s_auto.inference.device import AUTO, choose_device
from l2s_auto.inference.jobs import Job, Jobs, find_jobs
from l2s_auto.inference.load import Model, last_model, load_model
from l2s_auto.inference.manifest import describe_run, hash_input, read_manifest, update_manifest
from l2s_auto.inference.scan import Result, Scan, finish, read_scan, segment
from l2s_auto.inference.tables import merge_rows, read_table
from l2s_auto.inference.volumes import label_columns

LOGGER = logging.getLogger(__name__)
VOLUMES, QUALITY, FAILURES, MANIFEST = "volumes.csv", "qc.csv", "failures.csv", "manifest.json"
FAILURE_COLUMNS = ("case", "file", "reason")
FAST_OVERLAP = 0.25


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
class PredictionSummary:
    """What a call did. The caller decides what to say and with which exit code to end.

    folder    where the tables and overlays are
    done      cases segmented now
    skipped   cases whose segmentation was there already
    failures  cases that could not be segmented
    flagged   cases of `done` that qc.csv advises to look at
    notes     what a user should know, such as folds without weights
    """

    folder: Path
    done: tuple[str, ...]
    skipped: tuple[str, ...]
    failures: tuple[Failure, ...]
    flagged: tuple[str, ...]
    seconds: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Options:
    device: torch.device
    overlap: float
    tta: bool
    probabilities: bool


@dataclass
class _Tally:
    """What the loop has collected; changed by the main thread only."""

    done: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    flagged: list[str] = field(default_factory=list)
    entries: dict[str, dict[str, Any]] = field(default_factory=dict)


def predict(
    input: Path | str,
    output: Path | str,
    *,
    model: Model | Path | str | None = None,
    device: str | torch.device = AUTO,
    tta: bool = False,
    overlap: float = 0.5,
    probabilities: bool = False,
    part: tuple[int, int] = (1, 1),
    skip_existing: bool = False,
    workers: int = 1,
    fast: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> PredictionSummary:
    """Segment `input` into `output`, both files or both folders; tables and overlays go into the output's folder.

    model          a loaded model, where one is, or None for the one trained last on this machine
    tta            also look at each scan flipped left to right
    overlap        of neighbouring windows, in [0, 1)
    probabilities  also write probabilities/CASE.nii.gz, (X, Y, Z, K) float32
    part           (i, n): of n jobs that share the scans, this is the i-th
    skip_existing  leave scans alone whose segmentation is there
    workers        0: one thing after another; more: read the next scan and write the last one beside the network
    fast           fewer windows and no tta
    progress       called as the prediction goes on

    A scan that cannot be segmented is noted in failures.csv, and the others are done.
    Raises UserError, before anything is computed, for a model, input, output or option that is wrong.
    """
    started = time.monotonic()
    if fast and tta:
        raise UserError.single(
            "Two options contradict each other.",
            where="--fast and --tta",
            found="both",
            expected="at most one of them",
            mend="Leave out one.",
        )
    _check_overlap(overlap)
    options = _Options(
        device=choose_device(device),
        overlap=min(overlap, FAST_OVERLAP) if fast else overlap,
        tta=tta,
        probabilities=probabilities,
    )
    if not isinstance(model, Model):
        model = load_model(last_model() if model is None else model, options.device)
    found = find_jobs(Path(input), Path(output), channels=model.plan.input_channels, part=part)
    _check_folder(found.folder)
    skipped = [job for job in found.jobs if skip_existing and job.exists]
    todo = [job for job in found.jobs if job not in skipped]
    run = describe_run(
        model,
        {
            "input": str(input),
            "output": str(output),
            "device": str(options.device),
            "overlap": options.overlap,
            "tta": tta,
            "fast": fast,
            "probabilities": probabilities,
            "part": f"{part[0]}/{part[1]}",
            "skip_existing": skip_existing,
        },
    )
    tally = _Tally()
    try:
        _run(Jobs(found.folder, tuple(todo)), model, options, tally, workers=workers, progress=progress)
    finally:  # also when interrupted: what was done stays documented
        update_manifest(found.folder / MANIFEST, run, tally.entries)
    return PredictionSummary(
        folder=found.folder,
        done=tuple(tally.done),
        skipped=tuple(job.case.id for job in skipped),
        failures=tuple(tally.failures),
        flagged=tuple(tally.flagged),
        seconds=time.monotonic() - started,
        notes=(*model.notes, *_unknown_rows(found.folder, skipped)),
    )


def _run(
    found: Jobs,
    model: Model,
    options: _Options,
    tally: _Tally,
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

    def collect(job: Job, outcome: Outcome[Result]) -> None:
        seconds = time.monotonic() - begun[job.case.id]
        _record(found.folder, job, outcome, model, tally, seconds=seconds)
        report(job, 1.0)

    with ExitStack() as stack:
        ahead: Executor | None = None
        behind: Executor | None = None
        if workers > 0:
            behind = stack.enter_context(ThreadPoolExecutor(1, "l2s-write"))
            ahead = stack.enter_context(ThreadPoolExecutor(1, "l2s-read"))
        pending: tuple[Job, Future[Outcome[Result]]] | None = None
        for job, scan in map_ahead(read, found.jobs, ahead):
            report(job, 0.0)
            work = _work(found.folder, job, scan, model, options, report)
            if isinstance(work, Outcome):
                collect(job, work)
                continue
            if behind is None:
                collect(job, attempt(work))
                continue
            if pending is not None:
                collect(pending[0], pending[1].result())
            pending = (job, behind.submit(attempt, work))
        if pending is not None:
            collect(pending[0], pending[1].result())


def _work(
    folder: Path,
    job: Job,
    scan: Outcome[Scan],
    model: Model,
    options: _Options,
    report: Callable[[Job, float], None],
) -> Outcome[Result] | Callable[[], Result]:
    """Run the network on a scan: what is left to do with its logits, or the error that came before."""
    if scan.value is None:
        return Outcome(error=scan.error)
    ready = scan.value
    logits = attempt(
        lambda: segment(
            ready,
            model,
            device=options.device,
            overlap=options.overlap,
            tta=options.tta,
            progress=lambda done, total: report(job, done / total),
        )
    )
    if logits.value is None:
        return Outcome(error=logits.error)
    values = logits.value
    overlay = folder / "overlays" / f"{job.case.id}.png"
    maps = folder / "probabilities" / f"{job.case.id}.nii.gz" if options.probabilities else None
    return lambda: finish(job, ready, values, model, overlay=overlay, probabilities=maps)


def _record(folder: Path, job: Job, outcome: Outcome[Result], model: Model, tally: _Tally, *, seconds: float) -> None:
    """Note a case in the tables at once, so that a job that is killed leaves tables that fit its results."""
    case = job.case.id
    entry: dict[str, Any] = {"output": str(job.output), "seconds": round(seconds, 3)}
    entry["inputs"] = {str(path): attempt(lambda path=path: hash_input(path)).value for path in job.case.images}  # type: ignore[misc]
    if outcome.value is None:
        LOGGER.warning("Case %s failed.", case, exc_info=outcome.error)
        failure = Failure(case, str(job.case.images[0]), _reason(outcome.error))
        tally.failures.append(failure)
        merge_rows(folder / FAILURES, FAILURE_COLUMNS, [vars(failure)], replace=[case])
        tally.entries[case] = {**entry, "failed": failure.reason}
        return
    result = outcome.value
    columns = ["case", *label_columns(model.plan).values()]
    merge_rows(folder / VOLUMES, columns, [result.volumes], replace=[case])
    merge_rows(folder / QUALITY, qc.COLUMNS, result.quality, replace=[case])
    if (folder / FAILURES).exists():
        merge_rows(folder / FAILURES, FAILURE_COLUMNS, [], replace=[case])
    tally.done.append(case)
    tally.entries[case] = entry
    if result.flagged:
        tally.flagged.append(case)


def _reason(error: Exception | None) -> str:
    """An error in one line."""
    if isinstance(error, UserError):
        return " ".join([error.summary, *map(str, error.offences)])
    return " ".join(f"{type(error).__name__}: {error}".split())


def _check_overlap(overlap: float) -> None:
    if not 0 <= overlap < 1:
        raise UserError.single(
            "The overlap of the windows is out of range.",
            where="--overlap",
            found=str(overlap),
            expected="a number from 0 up to, but not including, 1",
            mend="Use 0.5, or 0.25 for speed.",
        )


def _check_folder(folder: Path) -> None:
    """Make the output folder; refuse, before the work, files in it that the tables would destroy."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError.single(
            "The output folder cannot be made.",
            where=str(folder),
            found=str(error),
            expected="a folder that can be written",
            mend="Name another output.",
        ) from error
    for name in (VOLUMES, QUALITY, FAILURES):
        read_table(folder / name)
    read_manifest(folder / MANIFEST)


def _unknown_rows(folder: Path, skipped: list[Job]) -> list[str]:
    """A note about skipped cases of which the tables know nothing."""
    known = {row["case"] for row in read_table(folder / VOLUMES)[1]}
    unknown = [job.case.id for job in skipped if job.case.id not in known]
    if not unknown:
        return []
    return [f"Skipped, and not in {VOLUMES} because they were not made here: {', '.join(unknown)}."]
