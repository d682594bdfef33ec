"""A lock keeps others out while its holder lives, and no longer."""

import logging
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from filelock import FileLock

from l2s_auto.core.errors import UserError
from l2s_auto.io import lock
from l2s_auto.io.lock import Busy, only_one, only_one_writer

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


def test_a_file_system_without_locks_is_told_once(tmp_path, monkeypatch, caplog):
    def refuse(self, *given, **rest):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(FileLock, "acquire", refuse)
    for _ in range(3):
        with only_one_writer(tmp_path / "table.csv"):
            pass
    assert caplog.text.count("No locks available") == 1


@pytest.mark.parametrize("moment", [0, 4e9])
def test_a_lock_file_of_any_time_is_no_lock(tmp_path, moment):
    lock = tmp_path / ".table.csv.lock"
    lock.touch()
    os.utime(lock, (moment, moment))
    with only_one_writer(tmp_path / "table.csv"):
        assert lock.exists()
    assert not lock.exists()


def test_writers_take_turns_though_their_lock_files_come_and_go(tmp_path):
    path = tmp_path / "number"
    path.write_text("0", encoding="utf-8")

    def count(_: int) -> None:
        with only_one_writer(path):
            number = int(path.read_text(encoding="utf-8"))
            time.sleep(0.001)
            path.write_text(str(number + 1), encoding="utf-8")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(count, range(64)))
    assert path.read_text(encoding="utf-8") == "64" and [p.name for p in tmp_path.iterdir()] == ["number"]


def test_a_lock_file_that_goes_away_while_it_is_looked_at_is_no_failure(tmp_path, monkeypatch):
    (tmp_path / ".table.csv.lock").touch()
    looks = []
    whole = Path.stat

    def once(path, **options):  # what another process's end of its turn does between two looks
        found = whole(path, **options)
        if path.name == ".table.csv.lock" and not looks:
            looks.append(path)
            path.unlink()
        return found

    monkeypatch.setattr(Path, "stat", once)
    with only_one_writer(tmp_path / "table.csv"):
        pass
    assert looks and not list(tmp_path.iterdir())


WRITE = """
import sys, time
from pathlib import Path
from l2s_auto.io.lock import only_one_writer
with only_one_writer(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_what_is_waited_for_is_said_before_there_is_a_log_and_a_kill_frees_it(tmp_path):
    path = str(tmp_path / "table.csv")
    with subprocess.Popen([sys.executable, "-c", WRITE, path], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None and holder.stdout.readline().strip() == b"held"
        with subprocess.Popen([sys.executable, "-c", WRITE, path], stdout=-1, stderr=-1, text=True) as waiting:
            assert waiting.stdout is not None and waiting.stderr is not None
            assert path in waiting.stderr.readline()
            holder.kill()
            assert waiting.stdout.readline().strip() == "held"
            waiting.kill()
    with only_one_writer(tmp_path / "table.csv"):
        pass


def test_waiting_for_a_folder_is_said(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(lock, "PATIENCE", 0.05)
    entered = threading.Event()

    def second():
        with only_one(tmp_path, wait=True):
            entered.set()

    thread = threading.Thread(target=second)
    with caplog.at_level(logging.WARNING, logger="l2s_auto"), only_one(tmp_path):
        thread.start()
        thread.join(0.5)
        assert not entered.is_set() and f"Waiting for another process, which is at work in {tmp_path}" in caplog.text
    thread.join(10)
    assert entered.is_set()


def test_a_file_that_is_no_lock_is_not_taken_for_one(tmp_path):
    theirs = tmp_path / ".lock"
    theirs.write_text("my notes", encoding="utf-8")
    with pytest.raises(UserError, match="name of a lock"), only_one(tmp_path):
        pass
    assert theirs.read_text(encoding="utf-8") == "my notes"
    (tmp_path / ".a.lock").symlink_to(theirs)
    with pytest.raises(UserError, match="a link"), only_one_writer(tmp_path / "a"):
        pass
