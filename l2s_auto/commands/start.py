"""How a command starts: its import path, its streams and its signals, before it reads its options."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial, wraps
from typing import NoReturn

from l2s_auto.commands.streams import make_streams_safe, safe_streams
from l2s_auto.core.import_path import ignore_working_folder
from l2s_auto.core.interrupts import handle_signals, is_handling, restore_signals
from l2s_auto.core.streams import open_missing_streams

INTERRUPTED = 130
Arguments = Sequence[str] | None


def begin(name: str) -> None:
    """Make this process a command's; what was before does not come back."""
    open_missing_streams()
    make_streams_safe()
    handle_signals(partial(end_at_once, name))


def command(name: str) -> Callable[[Callable[[Arguments], int]], Callable[..., int]]:
    """Of a function that reads options and works: called without arguments, it is the command, and owns the process."""

    def decorate(function: Callable[[Arguments], int]) -> Callable[..., int]:
        @wraps(function)
        def run(arguments: Arguments = None) -> int:
            if arguments is not None:
                return function(arguments)
            from l2s_auto.commands import runner

            with _started(name):
                try:
                    return function(None)
                except SystemExit as end:  # of argparse, which has said all
                    runner.leave(end.code if isinstance(end.code, int) else int(end.code is not None))
                except BaseException as error:
                    runner.leave(runner.report(error, command=name))

        return run

    return decorate


@contextmanager
def _started(name: str) -> Iterator[None]:
    """`begin`, unless that was done; where the process goes on afterwards, as in a test, all is as it was."""
    if is_handling():
        yield
        return
    ignore_working_folder()
    open_missing_streams()
    with safe_streams():
        before = handle_signals(partial(end_at_once, name))
        try:
            yield
        finally:
            restore_signals(before)


def end_at_once(name: str) -> NoReturn:
    """End the process after a signal: there is nothing to save, or it is saved."""
    if is_first_process() and name:
        with suppress(OSError):
            os.write(2, f"{name}: interrupted.\n".encode())
    end_workers()
    os._exit(INTERRUPTED)


def end_workers() -> None:
    """End the processes that this one has started, without waiting for what they do."""
    if (processes := sys.modules.get("l2s_auto.io.processes")) is not None:
        with suppress(AttributeError):  # while it is imported
            processes.end_all()


def is_first_process() -> bool:
    """Whether this process speaks for those that torchrun started with it; alone, it does."""
    return os.environ.get("RANK", "0") == "0"
