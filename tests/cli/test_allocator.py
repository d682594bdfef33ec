"""What is freed goes back to the system, or stays; in new processes: the allocator cannot be told to forget."""

import os
import platform
import subprocess
import sys

import pytest

from l2s_auto import cli
from l2s_auto.commands import runner

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a matter of glibc's")

PROGRAM = """
import sys
import numpy as np
from l2s_auto.core.allocator import spare_memory

def resident():
    line = next(line for line in open("/proc/self/status") if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024

if sys.argv[1] == "spare":
    assert spare_memory()
before = resident()
# A freed 30 MB block raises glibc's threshold, so that the blocks after it come from the heap.
del_me = np.ones(30_000_000, np.uint8)
del del_me
blocks = [np.ones(10_000_000, np.uint8) for _ in range(20)]
last = blocks[-1]
del blocks
print(resident() - before)
"""


def printed(program: str, choice: str) -> int:
    done = subprocess.run([sys.executable, "-c", program, choice], capture_output=True, text=True, check=True)
    return int(done.stdout)


@glibc
def test_freed_blocks_go_back_to_the_system():
    held = {choice: printed(PROGRAM, choice) for choice in ("spare", "default")}
    assert held["spare"] < 15e6, held
    assert held["default"] > 100e6, held


REUSE = """
import resource, sys
import numpy as np
from l2s_auto.core.allocator import keep_memory

if sys.argv[1] == "keep":
    assert keep_memory()
def cleared():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

np.ones(50_000_000, np.uint8)
before = cleared()
for _ in range(20):
    np.ones(50_000_000, np.uint8)
print(cleared() - before)
"""


@glibc
def test_kept_memory_is_used_again():
    pages = {choice: printed(REUSE, choice) for choice in ("keep", "default")}
    assert pages["keep"] < 100 and pages["default"] > 10 * pages["keep"], pages


WINDOWS = """
import resource, sys
import numpy as np
from l2s_auto.core.allocator import keep_blocks

def cleared(size):
    np.ones(size, np.uint8)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        np.ones(size, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

if sys.argv[1] == "keep":
    assert not keep_blocks(30_000_000) and keep_blocks(120_000_000)
print(cleared(120_000_000))
held = next(line for line in open("/proc/self/status") if line.startswith("VmRSS:")).split()[1]
np.ones(1_000_000_000, np.uint8)
now = next(line for line in open("/proc/self/status") if line.startswith("VmRSS:")).split()[1]
assert int(now) - int(held) < 100_000, "a whole volume goes back to the system"
"""


@glibc
def test_arrays_of_windows_are_kept_and_volumes_are_not():
    pages = {choice: printed(WINDOWS, choice) for choice in ("keep", "default")}
    assert pages["keep"] < 100 and pages["default"] > 10 * pages["keep"], pages


RESTART = """
import os, sys
import l2s_auto.core.allocator as allocator
{before}
first = os.environ.get("FIRST")
os.environ.setdefault("FIRST", str(os.getpid()))
allocator.start_without_cache()
print(first == str(os.getpid()), allocator.cache_is_on(), os.environ.get("GLIBC_TUNABLES"), *sys.argv[1:], sep=";")
"""


def restarted(before: str = "", *, script=None, stdin: str | None = None, **env: str) -> list[str]:
    program = RESTART.format(before=before)
    environment = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"} | env
    if script is not None:
        script.write_text(program, encoding="utf-8")
    arguments = [str(script)] if script is not None else ["-"] if stdin is not None else ["-c", program]
    done = subprocess.run(
        [sys.executable, *arguments, "a b", "--c=*"],
        input=None if stdin is None else program,
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    return done.stdout.strip().split(";")


OFF = "glibc.malloc.tcache_count=0"


@glibc
def test_a_program_starts_again_once_without_the_cache_and_is_the_same_process(tmp_path):
    for script in (None, tmp_path / "a script.py"):
        assert restarted(script=script) == ["True", "False", OFF, "a b", "--c=*"]
    assert restarted(GLIBC_TUNABLES=OFF)[:3] == ["False", "False", OFF]


@glibc
def test_tunables_that_were_set_stay():
    told = "glibc.malloc.arena_max=2"
    assert restarted(GLIBC_TUNABLES=told)[:3] == ["True", "False", f"{told}:{OFF}"]


@glibc
@pytest.mark.parametrize(
    "before",
    [
        "sys.settrace(lambda *_: None)",
        "allocator._is_glibc = lambda: False",
        "sys.executable = ''",
        "os.confstr = lambda name: None",
    ],
)
def test_a_program_that_cannot_start_again_goes_on_as_it_is(before):
    assert restarted(before)[:2] == ["False", "True"]


@glibc
def test_a_program_from_the_standard_input_goes_on_as_it_is():
    assert restarted(stdin="yes")[:2] == ["False", "True"]


@glibc
def test_a_start_that_fails_goes_on():
    assert restarted("sys.executable = '/nowhere/python'")[0] == "False"


def test_only_a_command_starts_again_not_a_call(monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr(cli, "start_without_cache", lambda: calls.append(1))
    missing = [str(tmp_path / "no dataset"), "--dry-run"]
    assert cli.plan_and_train(missing) == 2
    assert calls == []
    monkeypatch.setattr(sys, "argv", ["l2s_plan_and_train", *missing])
    monkeypatch.setattr(runner, "leave", lambda code: code, raising=False)
    assert cli.plan_and_train() == 2
    assert calls == [1]


ARENAS = """
import sys, threading
from l2s_auto.core.allocator import share_memory

if sys.argv[1] == "share":
    assert share_memory()
hold, done = threading.Barrier(5), threading.Barrier(5)

def work():
    kept = [bytes(1000) for _ in range(100)]
    hold.wait()
    done.wait()

threads = [threading.Thread(target=work) for _ in range(4)]
[thread.start() for thread in threads]
hold.wait()
# An arena of a thread is 64 MiB of addresses, most of which nobody may touch yet.
closed = [line.split()[0].split("-") for line in open("/proc/self/maps") if "---p" in line]
print(sum(60 << 20 < int(end, 16) - int(start, 16) <= 64 << 20 for start, end in closed))
done.wait()
"""


@glibc
def test_threads_share_one_place():
    found = {choice: printed(ARENAS, choice) for choice in ("share", "default")}
    assert found["share"] == 0 < found["default"], found
