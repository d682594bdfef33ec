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

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="signals"),
    pytest.mark.skipif(not torch.distributed.is_available(), reason="PyTorch without distributed training"),
]
PROGRAM = "import sys; from l2s_auto.cli import plan_and_train; sys.exit(plan_and_train(sys.argv[1:]))"
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--no-python")


def start(*arguments: str) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *TORCHRUN, sys.executable, "-c", PROGRAM, *arguments, "--device", "cpu"]
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
    assert said[0].endswith("go on with the same command and --resume.")


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
