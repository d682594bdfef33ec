"""Workers end with the process that wants their work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from l2s_auto.io import processes

PROGRAM = """
import os, sys, time
from pathlib import Path

from l2s_auto.io.parallel import map_cases
from l2s_auto.io.processes import warm_up


def work(path):
    Path(path).write_text(str(os.getpid()))
    time.sleep(60)


if __name__ == "__main__":
    warm_up(["l2s_auto.io.parallel", "no.such.module"])
    map_cases(work, sys.argv[1:], name=str, workers=2)
"""


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    if not Path("/proc/self/stat").exists():
        return True
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):  # it ended between the two looks, before or while it was read
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_workers_of_a_killed_process_are_gone(number: signal.Signals, tmp_path: Path) -> None:
    program, notes = tmp_path / "program.py", [tmp_path / "a", tmp_path / "b"]
    program.write_text(PROGRAM)
    running = subprocess.Popen([sys.executable, str(program), *map(str, notes)], stderr=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while not all(note.exists() and note.read_text() for note in notes) and time.monotonic() < end:
        time.sleep(0.05)
    workers = [int(note.read_text()) for note in notes]
    running.send_signal(number)
    running.wait()
    end = time.monotonic() + 20
    while any(map(alive, workers)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(map(alive, workers))


def test_a_process_without_parent_goes_on() -> None:
    processes.end_with_parent()


def test_where_there_is_no_server_nothing_is_warmed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert processes.process_context().get_start_method() == "spawn"
    processes.warm_up(["l2s_auto"])


SCRIPT = """
import os
from l2s_auto.io.parallel import map_cases

print(map_cases(os.path.basename, ["a/b", "c/d"], name=str, workers=2))
"""


def test_a_script_need_not_guard_its_main_part(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60)
    assert done.stdout == "['b', 'd']\n" and not done.stderr


def test_the_script_is_itself_again(monkeypatch: pytest.MonkeyPatch) -> None:
    main = sys.modules["__main__"]
    before = {name: main.__dict__.get(name) for name in ("__file__", "__spec__")}
    with processes.without_main():
        assert main.__spec__ is None and not hasattr(main, "__file__")
    assert {name: main.__dict__.get(name) for name in before} == before
