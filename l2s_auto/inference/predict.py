"""Segment a scan or a folder of scans."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from l2s_auto.core.errors import UserError
from l2s_auto.inference.jobs import Jobs, find_jobs
from l2s_auto.inference.load import Model, last_model, load_model
from l2s_auto.inference.loop import Options, Progress, Tally, segment_all
from l2s_auto.inference.manifest import describe_run
from l2s_auto.inference.outputs import FAILURES, QUALITY, VOLUMES, OutputFolder
from l2s_auto.inference.posterior import ENTROPY, PROBABILITIES
from l2s_auto.inference.record import Failure, record_failure
from l2s_auto.inference.scan import OVERLAYS, outputs_of
from l2s_auto.inference.skipped import Existing, notes_on_skipped, sort_existing
from l2s_auto.inference.windows import check_overlap
from l2s_auto.io.atomic import sweep, unfinished
from l2s_auto.io.inventory import describe, listed
from l2s_auto.io.notes import sentences
from l2s_auto.io.ownership import discard, protected
from l2s_auto.io.places import require_outside_of_datasets
from l2s_auto.io.volumes import files_of
from l2s_auto.networks.device import AUTO, choose_device

LOGGER = logging.getLogger("l2s_auto")
FAST_OVERLAP = 0.25

__all__ = ["Failure", "PredictionSummary", "Progress", "predict"]


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
    aim: str | None = None,
    overwrite: bool = False,
    progress: Callable[[Progress], None] | None = None,
    loaded: Callable[[Model], None] = lambda model: None,
    trust_code: Iterable[str] = (),
) -> PredictionSummary:
    """Segment `input` into `output`, both files or both folders; tables and overlays go into the output's folder.

    model          a loaded model, where one is, or None for the one trained last on this machine
    tta            also look at each scan flipped left to right, where the model was trained on such images
    overlap        of neighbouring windows, in [0, 1)
    probabilities  also write probabilities/CASE.nii.gz, (X, Y, Z, K) float32
    part           (i, n): of n jobs that share the scans, this is the i-th
    skip_existing  leave scans alone whose segmentation is there, and whole
    workers        0: one thing after another; more: read the next scan and write the last one beside the network
    fast           fewer windows and no tta; of a cascade the first network alone
    aim            home, both, anywhere or each (scan by scan, by the agreement of both ends of the model); None: what
                   the model was trained for
    overwrite      also replace files that no prediction wrote, or that were changed since; never a scan of this call
    progress       called as the prediction goes on
    loaded         called with the model before its first scan
    trust_code     import paths MODULE:CLASS of the user's own parts: if the model names them, their code runs

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
    check_overlap(overlap)
    require_outside_of_datasets(Path(output))
    options = Options(
        device=choose_device(device),
        overlap=min(overlap, FAST_OVERLAP) if fast else overlap,
        tta=tta,
        probabilities=probabilities,
    )
    if isinstance(model, Model):
        _check_loaded(model, aim)
    else:
        model = load_model(last_model() if model is None else model, options.device, aim=aim, trust_code=trust_code)
    notes = model.notes
    if fast and model.low_resolution is not None:
        if model.setting.threshold is not None:
            notes += ("--fast: the first network of the cascade predicts every scan with the same weights.",)
        model = model.low_resolution
    loaded(model)
    if tta and not model.plan.flips:
        notes += ("The model was not trained on mirrored scans: --tta changes nothing.",)
    found = find_jobs(Path(input), Path(output), channels=model.plan.input_channels, part=part)
    for line in found.listing:
        LOGGER.info("%s", line)
    notes += tuple(f"{line}." for line in describe(found.unused, Path(input)))
    _check_folder(found.folder)
    refused = [job for job, _ in found.refused]
    scans = [file for job in (*found.jobs, *refused) for path in job.case.images for file in files_of(path)]
    with protected(scans):
        outputs, existing = _settle(
            found, OutputFolder(found.folder, overwrite), skip=skip_existing, probabilities=probabilities
        )
        run = describe_run(
            model,
            {
                "input": str(input),
                "output": str(output),
                "device": str(options.device),
                "overlap": options.overlap,
                "tta": tta,
                "fast": fast,
                "aim": aim,
                "probabilities": probabilities,
                "part": f"{part[0]}/{part[1]}",
                "skip_existing": skip_existing,
                "overwrite": overwrite,
            },
        )
        if found.unused:
            run["unused"] = listed(found.unused, Path(input))
        known, _ = outputs.look()
        tally = Tally(run=outputs.add_run(run))
        for job, error in existing.refused:
            entry = {"run": tally.run, "output": str(job.output), "inputs": {}}
            tally.failures.append(record_failure(outputs, job, error, entry))
        segment_all(existing.todo, outputs, model, options, tally, workers=workers, progress=progress)
        return PredictionSummary(
            folder=found.folder,
            done=tuple(tally.done),
            skipped=tuple(job.case.id for job in existing.skipped),
            failures=tuple(tally.failures),
            flagged=tuple(tally.flagged),
            seconds=time.monotonic() - started,
            notes=(*notes, *sentences(tally.notes), *notes_on_skipped(existing, run, known, found.folder / VOLUMES)),
        )


def _check_loaded(model: Model, aim: str | None) -> None:
    """UserError where a model that is loaded already has its weights for another aim."""
    if aim is not None and aim != model.setting.aim:
        raise UserError.single(
            "The model was loaded for another aim.",
            where="aim",
            found=repr(aim),
            expected=f"{model.setting.aim!r}, as the model was loaded",
            mend=f"Load it by load_model(..., aim={aim!r}).",
        )


def _settle(found: Jobs, outputs: OutputFolder, *, skip: bool, probabilities: bool) -> tuple[OutputFolder, Existing]:
    """What is to be done, in a folder where all of it may be written. UserError that names every file in the way."""
    existing = Existing(todo=list(found.jobs))
    if skip:
        existing = sort_existing(found.jobs, outputs, outputs.look()[0])
        outputs = replace(outputs, replace=frozenset(existing.replace))
    existing.refused += found.refused
    names = [name for job in existing.todo for name in outputs_of(job, probabilities=probabilities)]
    if existing.todo or existing.refused:
        names += [VOLUMES, QUALITY, FAILURES]
    outputs.require_replaceable(names)
    return outputs, existing


def _check_folder(folder: Path) -> None:
    """Make the output folder; refuse, before the work, one that cannot be written. What a kill left is removed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        trial = folder / unfinished("trial")
        trial.write_bytes(b"")
        discard(trial)
    except OSError as error:
        raise UserError.single(
            "The output folder cannot be made, or nothing can be written into it.",
            where=str(folder),
            found=error.strerror or str(error),
            expected="a folder that can be written",
            mend="Name another output, or give yourself the right to write there.",
        ) from error
    for place in (folder, *(folder / name for name in (OVERLAYS, PROBABILITIES, ENTROPY))):
        sweep(place)
