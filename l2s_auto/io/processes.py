"""How worker processes are started, and what they have imported before they start."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import forkserver, resource_tracker, spawn, util
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext, ForkServerProcess, SpawnContext, SpawnProcess
from typing import Any

from l2s_auto.core.streams import safe_stream

Context = ForkServerContext | SpawnContext
#: `python -c` would import from the working folder. Python 3.10 has no option against it; there this comes first.
_OPTION = "-P"
_PREFIX = "import sys; sys.path[:] = [entry for entry in sys.path if entry]; "
_LOCK = threading.RLock()


@contextmanager
def clean_interpreters() -> Iterator[None]:
    """Have interpreters that multiprocessing starts meanwhile import nothing from the working folder.

    Ctrl-C does not reach them, nor what they start: it reaches all processes of a terminal, and the parent ends them.
    """

    def command_line(**given: Any) -> list[str]:
        return _without_working_folder(line(**given))

    def start(path: bytes, args: Sequence[Any], passfds: Sequence[int]) -> int:
        with _without_interrupts():
            return begin(path, _without_working_folder(args), passfds)

    with _LOCK:
        line, begin = spawn.get_command_line, util.spawnv_passfds
        spawn.get_command_line, util.spawnv_passfds = command_line, start
        try:
            yield
        finally:
            spawn.get_command_line, util.spawnv_passfds = line, begin


def _without_working_folder(arguments: Sequence[Any]) -> list[Any]:
    """The command line of an interpreter, for one that imports nothing from the working folder."""
    given = list(arguments)
    if "-c" not in given:
        return given
    program = given.index("-c") + 1
    if sys.version_info >= (3, 11):
        if _OPTION not in given[:program]:
            given.insert(1, _OPTION)
    elif not given[program].startswith(_PREFIX):
        given[program] = _PREFIX + given[program]
    return given


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Processes that are started meanwhile never receive SIGINT. One that comes to this thread waits."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _ForkServerProcess(ForkServerProcess):
    @staticmethod
    def _Popen(process_obj: Any) -> Any:
        with clean_interpreters():
            return ForkServerProcess._Popen(process_obj)


class _SpawnProcess(SpawnProcess):
    @staticmethod
    def _Popen(process_obj: Any) -> Any:
        with clean_interpreters():
            return SpawnProcess._Popen(process_obj)


class _ForkServer(ForkServerContext):
    Process = _ForkServerProcess


class _Spawn(SpawnContext):
    Process = _SpawnProcess


def process_context() -> Context:
    """A server that forks (Linux), or new interpreters; never a fork of this process, whose threads could hang it."""
    if sys.platform == "win32":
        return _Spawn()
    with clean_interpreters():
        resource_tracker.ensure_running()
    return _ForkServer() if sys.platform.startswith("linux") else _Spawn()


def warm_up(modules: Sequence[str]) -> None:
    """Have a server import what workers need, beside what this process does meanwhile. Only where there is one.

    Once the server runs, further calls change nothing. Modules that cannot be imported are left to the workers.
    """
    context = process_context()
    if context.get_start_method() != "forkserver":
        return
    context.set_forkserver_preload(list(modules))
    with clean_interpreters():
        forkserver.ensure_running()


def end_all() -> None:
    """End the server and the workers that are left, whatever they do: nobody waits for it."""
    for process in multiprocessing.active_children():
        process.kill()
    if (server := getattr(forkserver._forkserver, "_forkserver_pid", None)) is not None:
        with suppress(OSError):
            os.kill(server, signal.SIGKILL)


@contextmanager
def without_main() -> Iterator[None]:
    """Have processes that are started meanwhile not import the script that runs.

    Nothing that they do needs it, and a script that does not say `if __name__ == "__main__":` would begin again in
    each.
    """
    main = sys.modules["__main__"]
    kept: dict[str, Any] = {name: main.__dict__[name] for name in ("__file__", "__spec__") if name in main.__dict__}
    main.__dict__.pop("__file__", None)
    main.__spec__ = None
    try:
        yield
    finally:
        main.__dict__.update(kept)


def begin_worker() -> None:
    """Call it first in a worker: it ends with its parent, and what it prints can neither fail nor steer a terminal."""
    end_with_parent()
    sys.stdout, sys.stderr = safe_stream(sys.stdout), safe_stream(sys.stderr)


def end_with_parent() -> None:
    """Have this process end when the one that wants its work is gone, be it killed.

    It would otherwise wait for work for ever, or go on to write beside the next run.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
