"""From a command's function to its exit code: 0 done, 1 internal error, 2 wrong input, 130 interrupted."""

from __future__ import annotations

import atexit
import datetime
import errno
import os
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

from l2s_auto import __version__
from l2s_auto.commands.streams import forgiving_streams
from l2s_auto.core.errors import ProcessLost, UserError, disk_is_full

DONE, INTERNAL_ERROR, USER_ERROR, INTERRUPTED = 0, 1, 2, 130


def run_command(
    body: Callable[[], int | None], *, command: str, log: Path | None = None, advice: str = "", leaves: bool = False
) -> int:
    """Call `body` and return the exit code; a number that `body` returns is the exit code.

    log     file that a traceback is appended to; None, or where it cannot be written: `l2s_error.log` in the working
            folder, else in the folder for temporary files
    advice  what to do after an interruption, or where another process has ended, for the terminal
    leaves  whether the process ends with the command, instead of a return
    """
    with _sigterm_restored(), forgiving_streams():
        code = _report(body, command=command, log=log, advice=advice)
        if leaves:
            leave(code)
        return code


def _report(body: Callable[[], int | None], *, command: str, log: Path | None, advice: str) -> int:
    """`run_command`, which leaves SIGTERM ignored: what is said at the end is not cut short."""
    try:
        with _terminate_as_interrupt():
            return body() or DONE
    except UserError as error:
        _say(f"{command}: {error}")
        return USER_ERROR
    except KeyboardInterrupt:
        if is_first_process():
            _say(f"{command}: interrupted. {advice}".rstrip())
        return INTERRUPTED
    except ProcessLost as error:
        _log_traceback(log, command=command)
        _say(f"{command}: {error}. {advice}".rstrip())
        return INTERNAL_ERROR
    except Exception as error:  # the outermost frame: whatever went wrong becomes a log entry and an exit code
        if disk_is_full(error):
            _say(f"{command}: The disk is full. Free some of it, or choose another folder. {advice}")
            return USER_ERROR
        if isinstance(error, PermissionError) or (isinstance(error, OSError) and error.errno == errno.EROFS):
            what = f"{error.strerror}: {error.filename}" if error.filename else str(error)
            _say(f"{command}: {what}. Give yourself the right to it, or name another place.")
            return USER_ERROR
        written = _log_traceback(log, command=command)
        line = f"{type(error).__name__}: {error}".splitlines()[0]
        _say(f"{command}: internal error ({line}). The full report is in {written}")
        return INTERNAL_ERROR


def _say(text: str) -> None:
    """A line, written at once: another process may write to the same terminal."""
    sys.stderr.write(f"{text}\n")


def is_first_process() -> bool:
    """Whether this process speaks for those that torchrun started with it; alone, it does."""
    return os.environ.get("RANK", "0") == "0"


def leave(code: int) -> NoReturn:
    """End the process with an exit code, once all is written and its threads have ended.

    Python would go on to take its libraries apart, which is a second of waiting for nothing.
    """
    # As the interpreter ends: pools are told to, other threads are waited for, then the functions of atexit run.
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # nobody reads it any more
            stream.flush()
    os._exit(code)


@contextmanager
def _terminate_as_interrupt() -> Iterator[None]:
    """A cluster's SIGTERM ends a command as Ctrl-C does; then it is ignored. Signals reach the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


@contextmanager
def _sigterm_restored() -> Iterator[None]:
    """Whatever SIGTERM did before, it does again afterwards."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if previous is None else previous)


def _log_traceback(log: Path | None, *, command: str) -> Path | str:
    """Append the exception that is being handled to the first file that can be written; return that file."""
    moment = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    line = " ".join([command, *sys.argv[1:]])
    entry = f"{moment} l2s_auto {__version__}, Python {sys.version.split()[0]}\n{line}\n{traceback.format_exc()}\n"
    fallback = "l2s_error.log"
    candidates = [Path.cwd() / fallback, Path(tempfile.gettempdir()) / fallback]
    if log is not None and log.parent.is_dir():
        candidates.insert(0, log)
    for path in candidates:
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(entry)
            return path
        except OSError:
            continue
    sys.stderr.write(entry)
    return f"the lines above (no log file can be written in {os.getcwd()})"
