"""A signal ends a command with 130, whenever it comes, and nothing of it is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.inference.tiny_models import blocks, write_run, write_scan

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="signals, and processes in /proc")
ROOT = Path(__file__).resolve().parents[2]
#: A command whose modules load for a while, and swallow a KeyboardInterrupt; then it works, in workers too.
SCRIPT = """
import sys, threading, time
from l2s_auto.cli import plan_and_train
from l2s_auto.commands.runner import run_command
from l2s_auto.commands.start import command
from l2s_auto.core.interrupts import check_interrupt, loading_done

def fail():
    raise OSError("handle is closed")

def sleep(path):
    open(path, "w").close()
    time.sleep(60)

def swallow(text):
    print(text, flush=True)
    try:
        time.sleep(60)
    except BaseException:
        pass

@command("l2s_test")
def test(arguments=None):
    def body():
        from l2s_auto.io.parallel import map_cases
        if sys.argv[1] == "loading":
            swallow("ready")
            print("swallowed", flush=True)
        loading_done()
        if sys.argv[1] == "failing":
            threading._register_atexit(fail)
            swallow("ready")
        if sys.argv[1] == "working":
            swallow("ready")
            check_interrupt()
            print("swallowed", flush=True)
        if sys.argv[1] == "workers":
            map_cases(sleep, sys.argv[2:], name=str, workers=2)
    return run_command(body, command="l2s_test", leaves=True)

if __name__ == "__main__":
    sys.exit(test())
"""


def start(script: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(script), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )


def left_of(session: int) -> list[str]:
    """Processes of a session that still run."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            state = (folder / "stat").read_text().rpartition(")")[2].split() if folder.name.isdigit() else None
        except OSError:  # it has ended
            continue
        if state is not None and int(state[3]) == session and state[0] != "Z":
            found.append(folder.name)
    return found


def ended(process: subprocess.Popen[str], number: signal.Signals, *, group: bool) -> tuple[str, str]:
    """What a process that ends with 130 after a signal has printed; no traceback, and no process is left."""
    (os.killpg if group else os.kill)(process.pid, number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, (out, err)
    assert "Traceback" not in out + err and "Exception ignored" not in err, err
    end = time.monotonic() + 10
    while left_of(process.pid) and time.monotonic() < end:
        time.sleep(0.02)
    assert not left_of(process.pid)
    return out, err


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "l2s_test"
    path.write_text(SCRIPT, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("number", "group"), [(signal.SIGINT, False), (signal.SIGINT, True), (signal.SIGTERM, True), (signal.SIGHUP, False)]
)
@pytest.mark.parametrize("phase", ["loading", "working"])
def test_a_signal_is_never_swallowed(script, phase, number, group):
    process = start(script, phase)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    out, err = ended(process, number, group=group)
    assert out == "" and err.startswith("l2s_test: interrupted.")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_all_processes_ends_workers_silently(script, tmp_path, number):
    notes = [tmp_path / "a", tmp_path / "b"]
    process = start(script, "workers", *map(str, notes))
    end = time.monotonic() + 60
    while not all(note.exists() for note in notes) and time.monotonic() < end:
        time.sleep(0.02)
    _, err = ended(process, number, group=True)
    assert err == "l2s_test: interrupted.\n"


def test_threads_that_fail_to_end_say_nothing_more(script):
    """As those of a pool that the signal broke: what Python calls while they end may find its pipe closed."""
    process = start(script, "failing")
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    assert ended(process, signal.SIGINT, group=True) == ("", "l2s_test: interrupted.\n")


def test_signals_at_any_moment_of_a_prediction(tmp_path):
    """From the moment that the command is loaded; before, Python handles signals as it does."""
    run = write_run(tmp_path / "run")
    for number in range(40):
        write_scan(tmp_path / "in" / f"c{number}.nii.gz", blocks())
    script = tmp_path / "l2s_predict"
    script.write_text("import sys\nfrom l2s_auto.cli import predict\nprint('x', flush=True)\nsys.exit(predict())\n")
    for count, delay in enumerate((0.0, 0.2, 0.5, 0.9)):
        out = tmp_path / f"out{count}"
        process = start(script, "-i", str(tmp_path / "in"), "-o", str(out), "-m", str(run), "--device", "cpu")
        assert process.stdout is not None and process.stdout.readline() == "x\n"
        time.sleep(delay)
        ended(process, (signal.SIGINT, signal.SIGTERM)[count % 2], group=count % 2 == 0)
        assert len(list(out.glob("c*.nii.gz"))) < 40


def test_ignored_signals_stay_ignored(script):
    """`nohup`, and a job in the background of a script."""
    process = subprocess.Popen(
        ["bash", "-c", f"trap '' INT; exec {sys.executable} {script} working"],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert process.poll() is None
    process.terminate()
    assert process.wait(timeout=30) == 130
