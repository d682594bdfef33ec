"""A folder that three jobs share, one of them killed at random moments: a rerun ends in the folder of a quiet run.

    OMP_NUM_THREADS=1 python benchmarks/kill.py --rounds 10 --json results.json

Each round starts `l2s_predict --part I/3` three times, kills one of them with SIGKILL after a random time, waits for
the others, and starts the killed one again with `--skip-existing`. Segmentations, overlays and tables then have to be
those of a run that nobody disturbed, byte for byte (tables line for line, in any order).
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from inference import Scan, make_plan, write_run

from common import finish, machine, parser
from l2s_auto.core.component import Component
from l2s_auto.networks import build_network

CASES, PARTS = 12, 3


def start(run: Path, scans: Path, output: Path, part: int, *more: str) -> subprocess.Popen:
    command = [str(Path(sys.executable).parent / "l2s_predict"), "-i", str(scans), "-o", str(output), "-m", str(run)]
    command += ["--device", "cpu", "--part", f"{part}/{PARTS}", *more]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def content(folder: Path) -> dict[str, object]:
    """What a user sees: segmentations and overlays as bytes, tables as sets of lines."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts):
            if path.suffix == ".csv":
                found[name] = frozenset(path.read_text(encoding="utf-8").splitlines())
            elif path.suffix == ".gz":
                found[name] = np.asanyarray(nib.load(path).dataobj).tobytes()
            elif path.suffix != ".json":
                found[name] = path.read_bytes()
    return found


def main() -> None:
    options = parser(__doc__.splitlines()[0])
    options.add_argument("--rounds", type=int, default=10)
    options.add_argument("--seed", type=int, default=0)
    args = options.parse_args()
    rng = random.Random(args.seed)
    plan = make_plan("kill", Scan((32, 40, 36), (1.0,) * 3, (1.0,) * 3, (32, 32, 32), None))
    torch.manual_seed(0)
    network = build_network(Component(name="unet"), channels=1, classes=3, topology=plan.topology)
    moments, wrong = [], []
    with tempfile.TemporaryDirectory() as place:
        run, scans = write_run(Path(place) / "run", plan, network, 3), Path(place) / "in"
        scans.mkdir()
        generator = np.random.default_rng(0)
        for number in range(CASES):
            data = generator.integers(0, 500, (32, 40, 36)).astype(np.int16)
            nib.save(nib.Nifti1Image(data, np.eye(4)), scans / f"s{number}.nii.gz")
        began = time.monotonic()
        for process in [start(run, scans, Path(place) / "quiet", part) for part in range(1, PARTS + 1)]:
            assert process.wait() == 0, "the quiet run failed"
        longest = time.monotonic() - began
        quiet = content(Path(place) / "quiet")
        for number in range(args.rounds):
            output = Path(place) / "killed"
            jobs = [start(run, scans, output, part) for part in range(1, PARTS + 1)]
            moment = rng.uniform(0.3 * longest, longest)
            time.sleep(moment)
            victim = rng.randrange(PARTS)
            jobs[victim].send_signal(signal.SIGKILL)
            codes = [job.wait() for job in jobs]
            again = start(run, scans, output, victim + 1, "--skip-existing").wait()
            found = content(output)
            moments.append(round(moment, 2))
            if again != 0 or any(code not in (0, -signal.SIGKILL) for code in codes) or found != quiet:
                differing = sorted(name for name in {*quiet, *found} if quiet.get(name) != found.get(name))
                wrong.append(f"round {number}: exit codes {codes}, then {again}; differing: {differing}")
            shutil.rmtree(output)
    for line in wrong:
        print(line)
    figures = {"machine": machine("cpu"), "cores": os.cpu_count(), "quiet_seconds": round(longest, 1)}
    finish({**figures, "killed_after_seconds": moments, "wrong": wrong}, args.json)


if __name__ == "__main__":
    main()
