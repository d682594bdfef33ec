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


POISONED = """
import sys, threading
from l2s_auto.io.parallel import map_cases
from l2s_auto.io.processes import warm_up

def work(name):
    import random, grp, secrets
    return "" in sys.path

if __name__ == "__main__":
    warm_up(["l2s_auto.io.parallel", "random"])
    print(map_cases(work, ["a", "b"], name=str, workers=2))
"""


@pytest.mark.parametrize("platform", [sys.platform, "darwin"])
def test_workers_import_nothing_from_the_working_folder(tmp_path: Path, platform: str) -> None:
    """Neither the server, nor the tracker of resources, nor the workers; `darwin`: with new interpreters."""
    folder, script = tmp_path / "scans", tmp_path / "program" / "script.py"
    folder.mkdir()
    script.parent.mkdir()
    script.write_text(POISONED)
    for name in set(sys.stdlib_module_names) | {"numpy", "l2s_auto", "torch", "sitecustomize"}:
        (folder / f"{name}.py").write_text(f"open({str(tmp_path / 'marks')!r}, 'a').write('{name} ')\n")
    begin = f"import sys; sys.path.pop(0); sys.platform = {platform!r}; import runpy; "
    option = ["-P"] if sys.version_info >= (3, 11) else ["-I"]
    begin = begin.replace("sys.path.pop(0); ", "") if option == ["-P"] else begin
    done = subprocess.run(
        [sys.executable, *option, "-c", f"{begin}runpy.run_path({str(script)!r}, run_name='__main__')"]
        if platform != sys.platform
        else [sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
    )
    assert not (tmp_path / "marks").exists(), (tmp_path / "marks").read_text()
    assert done.stdout == "[False, False]\n" and not done.stderr, done.stderr


def test_an_interpreter_of_before_3_11_begins_with_a_clean_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 0))
    (_, option, program) = processes._without_working_folder(["python", "-c", "main()"])
    assert option == "-c" and program.endswith("main()")
    sys_path = sys.path.copy()
    try:
        sys.path.insert(0, "")
        exec(program.removesuffix("main()"), {})
        assert "" not in sys.path
    finally:
        sys.path[:] = sys_path
    assert processes._without_working_folder(["python", "-c", program])[2] == program
    assert processes._without_working_folder(["program"]) == ["program"]
