"""`torchrun` with two processes: one run folder, messages once, errors once, and an end at the same iteration."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from l2s_auto import cli
from l2s_auto.commands.together import part_of
from l2s_auto.training.team import Team

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="signals"),
    pytest.mark.skipif(not torch.distributed.is_available(), reason="PyTorch without distributed training"),
]
PROGRAM = "import sys; from l2s_auto.cli import {name}; sys.exit({name}(sys.argv[1:]))"
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--no-python")


def start(*arguments: str, name: str = "plan_and_train") -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    command = [
        sys.executable,
        *TORCHRUN,
        sys.executable,
        "-c",
        PROGRAM.format(name=name),
        *arguments,
        "--device",
        "cpu",
    ]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_processes_train_the_model_of_one(dataset, tmp_path):
    """Messages appear once, and the weights are those of one process but for rounding, which Adam makes larger."""
    both, one = tmp_path / "both", tmp_path / "one"
    options = ["--iterations", "4", "--hyper-every", "2"]
    process = start(str(dataset), "-o", str(both), *options)
    out, error = process.communicate(timeout=180)
    assert process.returncode == 0, error
    assert out.count("Report:") == out.count("Segment with:") == 1
    assert (both / "report.html").is_file() and (both / "fold_0" / "validation" / "metrics.json").is_file()
    assert cli.plan_and_train([str(dataset), "-o", str(one), *options, "--device", "cpu"]) == 0
    metrics = [json.loads((run / "fold_0" / "validation" / "metrics.json").read_text()) for run in (both, one)]
    assert [case["case"] for case in metrics[0]["cases"]] == [case["case"] for case in metrics[1]["cases"]]
    weights = [load_file(run / "fold_0" / "weights.safetensors") for run in (both, one)]
    for name, value in weights[1].items():
        torch.testing.assert_close(weights[0][name], value, rtol=0, atol=0.01)


def test_an_error_is_said_once(tmp_path):
    process = start(str(tmp_path / "nothing"))
    _, error = process.communicate(timeout=120)
    assert process.returncode != 0
    assert error.count("l2s_plan_and_train: ") == 1, error


def test_an_interrupted_team_resumes(dataset, tmp_path):
    run = tmp_path / "run"
    process = start(str(dataset), "-o", str(run), "--time-budget", "5m")
    weights = run / "fold_0" / "weights.safetensors"
    deadline = time.monotonic() + 120
    while not weights.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert weights.exists()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    done = json.loads((run / "fold_0" / "history.jsonl").read_text().splitlines()[-1])["iteration"]
    again = start(str(dataset), "-o", str(run), "--resume", "--time-budget", "5m", "--iterations", str(done + 5))
    out, error = again.communicate(timeout=180)
    assert again.returncode == 0, error
    assert f"goes on from iteration {done}" in out


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="children are found in /proc")
def test_a_killed_process_ends_the_team_with_advice(dataset, tmp_path):
    run = tmp_path / "run"
    process = start(str(dataset), "-o", str(run), "--time-budget", "5m")
    weights = run / "fold_0" / "weights.safetensors"
    deadline = time.monotonic() + 120
    while not weights.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert weights.exists()
    second = next(pid for pid in children(process.pid) if b"\0RANK=1\0" in Path(f"/proc/{pid}/environ").read_bytes())
    os.kill(second, signal.SIGKILL)
    _, error = process.communicate(timeout=60)
    assert process.returncode != 0
    said = [line for line in error.splitlines() if line.startswith("l2s_plan_and_train: ")]
    assert len(said) == 1, error
    # Whichever comes first: the message that does not arrive, or torchrun's signal.
    assert re.match("l2s_plan_and_train: (another process of the team ended|interrupted)", said[0])
    assert said[0].endswith("Go on with the same command and --resume.")


def test_two_processes_segment_a_folder(dataset, tmp_path):
    """Each scan once; what cannot be read fails alone; one summary, and an error that is said once."""
    run, out = tmp_path / "run", tmp_path / "out"
    assert cli.plan_and_train([str(dataset), "-o", str(run), "--iterations", "2", "--device", "cpu"]) == 0
    scans = dataset / "images"
    (scans / "broken.nii.gz").write_bytes(b"")
    predict = ("-i", str(scans), "-o", str(out), "-m", str(run))
    process = start(*predict, name="predict")
    said, error = process.communicate(timeout=120)
    assert process.returncode == 1
    assert said.count("Model:") == said.count("6 scans segmented") == 1, said
    assert error.count("1 scan failed") == 1, error
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    assert sorted(manifest["cases"]) == ["broken", *(f"scan {n}" for n in range(6))]
    assert sorted(one["options"]["part"] for one in manifest["runs"]) == ["1/2", "2/2"]
    assert len(list(out.glob("*.nii.gz"))) == 6
    process = start(*predict, "--overlap", "0.5", "--fast", "--tta", name="predict")
    _, error = process.communicate(timeout=120)
    assert process.returncode != 0 and error.count("l2s_predict: ") == 1, error


def test_a_single_scan_is_segmented_once(dataset, tmp_path):
    run, out = tmp_path / "run", tmp_path / "out.nii.gz"
    assert cli.plan_and_train([str(dataset), "-o", str(run), "--iterations", "2", "--device", "cpu"]) == 0
    one = ["-i", str(dataset / "images" / "scan 0.nii.gz"), "-o", str(out), "-m", str(run), "--device", "cpu"]
    assert cli.predict([*one, "--part", "2/2"]) == 0 and not out.exists()
    assert cli.predict([*one, "--part", "1/2"]) == 0 and out.exists()


@pytest.mark.parametrize(("jobs", "size"), [(1, 1), (1, 3), (2, 2), (3, 4)])
def test_the_parts_of_all_processes_of_all_jobs_are_all(jobs, size):
    parts = [part_of((job, jobs), Team(rank, size)) for job in range(1, jobs + 1) for rank in range(size)]
    assert sorted(parts) == [(n, jobs * size) for n in range(1, jobs * size + 1)]


def children(parent: int) -> list[int]:
    """Processes that `parent` started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            found.append(int(path.parent.name))
    return found
