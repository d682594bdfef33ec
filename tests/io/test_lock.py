"""A lock keeps others out while its holder lives, and no longer."""

import subprocess
import sys
import threading
from contextlib import ExitStack

import pytest
from filelock import FileLock

from l2s_auto.core.errors import UserError
from l2s_auto.io import lock
from l2s_auto.io.lock import Busy, only_one

HOLD = """
import sys, time
from pathlib import Path
from l2s_auto.io.lock import only_one
with only_one(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_one_at_a_time_and_the_next_when_it_has_ended(tmp_path):
    for _ in range(2):
        with only_one(tmp_path), pytest.raises(Busy, match="Another process is at work there"), only_one(tmp_path):
            pass
    assert issubclass(Busy, UserError)


def test_parts_of_a_folder_are_held_apart(tmp_path):
    with ExitStack() as held:
        for name in ("fold_0", "fold_1", ""):
            held.enter_context(only_one(tmp_path, name))
        with pytest.raises(Busy, match="fold_1"):
            held.enter_context(only_one(tmp_path, "fold_1"))


def test_it_waits_where_that_is_asked_for(tmp_path):
    order = []

    def second():
        with only_one(tmp_path, wait=True):
            order.append("second")

    thread = threading.Thread(target=second)
    with only_one(tmp_path):
        thread.start()
        thread.join(0.3)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]


def test_the_lock_of_a_killed_process_is_gone(tmp_path):
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None and holder.stdout.readline().strip() == b"held"
        with pytest.raises(Busy), only_one(tmp_path):
            pass
        holder.kill()
    with only_one(tmp_path):
        pass


def test_a_file_system_without_locks_is_borne(tmp_path, monkeypatch):
    def refuse(self, *given, **rest):
        raise NotImplementedError("no flock")

    said = []
    monkeypatch.setattr(FileLock, "acquire", refuse)
    monkeypatch.setattr(lock.LOGGER, "warning", lambda message, *given: said.append(message % given))
    with only_one(tmp_path):
        assert len(said) == 1 and "cannot be locked (no flock)" in said[0]
