"""Calls in a process of their own, started once: a library that crashes there ends one call, and nothing else.

Libraries in C++ that read damaged files may end their process, or never return. Python cannot catch that.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

from l2s_auto.io.processes import end_with_parent, process_context, without_main

Result = TypeVar("Result")
#: Seconds for the process to start and to import what it needs, on a busy machine.
START = 120.0


class ProcessEnded(RuntimeError):
    """The process crashed, or was ended since it did not answer in time."""


def call_isolated(function: Callable[..., Result], *arguments: Any, seconds: float) -> Result:
    """function(*arguments) in the other process; one call at a time.

    function  importable by name; its result, or error, is pickled, large arrays without a copy
    Raises what the function raises, and ProcessEnded if it crashes or takes longer than `seconds`.
    """
    global _helper
    if multiprocessing.current_process().daemon:  # may have no process of its own: a crash ends this one alone
        return function(*arguments)
    with _lock:
        if _helper is None or _helper.owner != os.getpid() or not _helper.is_alive():
            _helper = _Helper()
        try:
            return _helper.call(function, arguments, seconds)
        finally:
            if not _helper.is_idle:
                _helper.kill()
                _helper = None


@contextmanager
def memory_limit(more: int) -> Iterator[None]:
    """Let this process take at most so many bytes more than it has now, where the system can do that (Linux)."""
    if resource is None or not sys.platform.startswith("linux"):
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    limit = pages * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


class _Helper:
    def __init__(self) -> None:
        self.owner = os.getpid()
        context = process_context()
        self._connection, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other,), daemon=True, name="l2s-reader")
        with without_main():
            self._process.start()
        other.close()
        self.is_idle, self._is_new = True, True

    def is_alive(self) -> bool:
        return self._process.is_alive()

    def call(self, function: Callable[..., Result], arguments: tuple[Any, ...], seconds: float) -> Result:
        self.is_idle = False
        if self._is_new:
            seconds, self._is_new = seconds + START, False
        try:
            self._connection.send((function, arguments))
            if not self._connection.poll(seconds):
                raise ProcessEnded(f"no answer within {seconds:.0f} seconds")
            result, error = _receive(self._connection)
        except (EOFError, OSError) as lost:
            self._process.join(5)
            raise ProcessEnded(_ending(self._process.exitcode)) from lost
        self.is_idle = True
        if error is not None:
            raise error
        return result

    def kill(self) -> None:
        self._process.kill()
        self._process.join(5)
        self._connection.close()


_helper: _Helper | None = None
_lock = threading.Lock()


def _ending(code: int | None) -> str:
    if code is not None and code < 0:
        names = {one.value: one.name for one in signal.Signals}
        return f"the library that reads it crashed ({names.get(-code, f'signal {-code}')})"
    return f"the library that reads it ended its process (exit code {code})"


def _serve(connection: Connection) -> None:
    """The other process: answer calls until this one's owner is gone."""
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the owner's to handle
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (1, 2):
        os.dup2(nowhere, stream)  # libraries print of damaged files what nobody can use
    while True:
        try:
            function, arguments = connection.recv()
        except EOFError:
            return
        result, error = None, None
        try:
            result = function(*arguments)
        except Exception as caught:
            error = caught
        _send(connection, (result, error))
        del result, error  # gigabytes, perhaps, until the next call


def _send(connection: Connection, value: object) -> None:
    buffers: list[pickle.PickleBuffer] = []
    text = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    raw = [buffer.raw() for buffer in buffers]
    connection.send((text, [part.nbytes for part in raw]))
    for part in raw:
        connection.send_bytes(part)


def _receive(connection: Connection) -> Any:
    text, sizes = connection.recv()
    buffers = [bytearray(size) for size in sizes]
    for buffer in buffers:
        connection.recv_bytes_into(buffer)
    return pickle.loads(text, buffers=buffers)
