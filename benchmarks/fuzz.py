"""Damaged and hostile input by the thousand: what happens to the commands that read it.

    OMP_NUM_THREADS=1 python benchmarks/fuzz.py --count 5000 --json results.json

Kinds of mutants: scans (NIfTI, Analyze, MGH, MetaImage, NRRD, DICOM slices and frames) in folders with a sound one,
documents of a model (plan, recipe, calibration, history, metrics), zips of a model, datasets (descriptions, splits,
scans, label maps), and lists of options. Processes that are used again and again run the commands. Handled wrongly
is: an error of the program's own, a process that dies, more than a minute, more than 3 GB, a failure without a row, a
result of damaged data, part of a result, a result on a grid other than that which another reader finds, a sound scan
that is not segmented, a file where none belongs, a payload that ran.

`--kinds` names some of the kinds, `--count` is over all of them, equally shared.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path

import torch
from fuzzing.judge import JUDGES, Bench, judge, make_scan
from fuzzing.options import options as draw_options
from inference import Scan, make_plan, write_run

from common import finish, machine, parser
from l2s_auto.core.component import Component
from l2s_auto.inference.export import export_model
from l2s_auto.networks import build_network

LONGEST, MOST_MEMORY = 60.0, 3e9
JUDGES["options"] = (draw_options, 1)
SHAPE, SPACING, PATCH = (14, 15, 16), (1.0, 1.0, 1.0), (16, 16, 16)


def make_bench(place: Path) -> Bench:
    """A small run with everything that a run has, its zip, a scan and a dataset."""
    plan = make_plan("fuzz", Scan(SHAPE, SPACING, SPACING, PATCH, None))
    torch.manual_seed(0)
    network = build_network(Component(name="unet"), channels=1, classes=3, topology=plan.topology)
    run = write_run(place / "run", plan, network, 3)
    fold = run / "fold_0"
    label = {"excess": 0.1, "error": 0.05, "cases": 4, "smallest": 10.0, "largest": 900.0, "pieces": 2, "single": 0.9}
    write(fold / "calibration.json", {"labels": {"1": label, "2": label}})
    scores = {"dice": 0.8, "hd95_mm": 1.5, "nsd_1mm": 0.9, "volume_error": 0.1}
    labels = {"label 1": scores, "label 2": scores}
    write(fold / "validation" / "metrics.json",
          {"mean": scores, "labels": labels, "cases": [{"case": "c0", "labels": labels}], "notes": []})  # fmt: skip
    line = {"iteration": 10, "seconds": 1.5, "loss_synth": 0.5, "loss_real": None, "theta": {"noise": 0.1},
            "theta_gradient": None, "val_dice": 0.5}  # fmt: skip
    (fold / "history.jsonl").write_text("".join(json.dumps({**line, "iteration": n}) + "\n" for n in (10, 20, 30)))
    data = place / "data"
    for number in range(3):
        make_scan(data / "imagesTr" / f"c{number}_0000.nii.gz", number)
        make_labels(data / "labelsTr" / f"c{number}.nii.gz")
    names = {"background": 0, "first": 1, "second": 2, "both": [1, 2]}
    description = {"channel_names": {"0": "MRI"}, "labels": names, "numTraining": 3, "file_ending": ".nii.gz"}
    write(data / "dataset.json", description)
    write(data / "labels.json", names)
    write(data / "splits.json", [{"train": ["c0", "c1"], "val": ["c2"]}, {"train": ["c1", "c2"], "val": ["c0"]}])
    return Bench(run, export_model(run, place / "model.zip"), make_scan(place / "scan" / "s.nii.gz"), data)


def make_labels(path: Path) -> None:
    import nibabel as nib
    import numpy as np

    labels = np.zeros(SHAPE, np.uint8)
    labels[3:8, 3:8, 3:8], labels[8:12, 4:9, 4:9] = 1, 2
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(labels, np.eye(4)), path)


def write(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


@dataclass
class Worker:
    """A process that judges mutants, and what it is at."""

    process: multiprocessing.process.BaseProcess
    pipe: Connection
    job: tuple[str, str] = ("", "")
    since: float = 0.0


def serve(pipe: Connection, bench: Bench) -> None:
    """Judge what is asked for, until the pipe is closed."""
    os.setsid()  # a group of its own, which can be ended with all that it has started
    torch.set_num_threads(1)
    with suppress(EOFError):
        while True:
            kind, seed = pipe.recv()
            try:
                verdict = judge(kind, seed, bench)
                pipe.send((verdict.counts, verdict.wrong))
            except Exception as error:
                pipe.send(({}, [f"{kind} {seed}: the judge failed: {type(error).__name__}: {error}"]))


def start(bench: Bench) -> Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, bench))
    process.start()
    theirs.close()
    return Worker(process, ours)


def memory(worker: Worker) -> int:
    """Bytes in memory of a worker and all that it has started, shared pages counted once (PSS)."""
    total = 0
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError, IndexError):
            group = int((place / "stat").read_text().rpartition(")")[2].split()[2])
            if group == worker.process.pid:
                text = (place / "smaps_rollup").read_text()
                total += 1024 * int(text.partition("\nPss:")[2].split()[0])
    return total


def end(worker: Worker) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(worker.process.pid or 0, signal.SIGKILL)
    worker.process.kill()
    worker.process.join()


def run_all(jobs: list[tuple[str, str]], bench: Bench, processes: int) -> tuple[dict[str, Counter], list[str], float]:
    """Outcomes by kind, what was handled wrongly, and the most memory that a worker took."""
    counts: dict[str, Counter] = {kind: Counter() for kind, _ in jobs}
    wrong: list[str] = []
    waiting, most = iter(jobs), 0.0
    workers = [start(bench) for _ in range(processes)]
    done, looked = 0, 0.0

    def give(worker: Worker) -> bool:
        job = next(waiting, None)
        if job is not None:
            worker.job, worker.since = job, time.monotonic()
            worker.pipe.send(job)
        else:
            worker.pipe.close()
        return job is not None

    busy = [worker for worker in workers if give(worker)]
    while busy:
        ready = wait([worker.pipe for worker in busy], timeout=0.25)
        look, looked = (time.monotonic() - looked > 0.25), time.monotonic()
        for worker in list(busy):
            kind, seed = worker.job
            held = memory(worker) if look else 0
            most = max(most, held)
            fault = ""
            if worker.pipe in ready:
                try:
                    found, amiss = worker.pipe.recv()
                    counts[kind].update(found)
                    wrong += [f"{line}  (seed {seed})" for line in amiss]
                    print(*wrong[len(wrong) - len(amiss) :], sep="\n", end="\n" if amiss else "", flush=True)
                except EOFError:
                    fault = f"the process died with {worker.process.exitcode}"
            elif time.monotonic() - worker.since > LONGEST:
                fault = f"more than {LONGEST:.0f} s"
            elif held > MOST_MEMORY:
                fault = f"{held / 1e9:.1f} GB"
            else:
                continue
            if fault:
                wrong.append(f"{kind}: {fault}  (seed {seed})")
                end(worker)
                busy.remove(worker)
                worker = start(bench)
                busy.append(worker)
            done += 1
            if done % 200 == 0:
                print(f"{done} of {len(jobs)} calls, {len(wrong)} handled wrongly", flush=True)
            if not give(worker):
                busy.remove(worker)
    for worker in workers:
        worker.process.join(10)
        end(worker)
    return counts, wrong, most


def main() -> None:
    options = parser(__doc__.splitlines()[0])
    options.add_argument("--count", type=int, default=5000, help="of mutants, over all kinds")
    options.add_argument("--kinds", nargs="+", default=sorted(JUDGES), choices=sorted(JUDGES))
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--only", help="one seed of a result, such as 0-plan-17, to look at again in this process")
    options.add_argument("--processes", type=int, default=2)
    args = options.parse_args()
    each = -(-args.count // len(args.kinds))
    jobs = [(kind, f"{args.seed}-{kind}-{n}") for kind in args.kinds for n in range(-(-each // JUDGES[kind][1]))]
    with tempfile.TemporaryDirectory() as folder:
        bench = make_bench(Path(folder))
        if args.only:
            print(judge(args.only.split("-")[1], args.only, bench))
            return
        started = time.monotonic()
        counts, wrong, most = run_all(jobs, bench, args.processes)
    figures = {
        "machine": machine("cpu"),
        "seed": args.seed,
        "mutants": {kind: sum(counts[kind].values()) for kind in counts},
        "outcomes": {kind: dict(sorted(found.items())) for kind, found in counts.items()},
        "seconds": round(time.monotonic() - started),
        "largest_memory_gb": round(most / 1e9, 2),
        "wrong": wrong,
    }
    finish(figures, args.json)


if __name__ == "__main__":
    main()
