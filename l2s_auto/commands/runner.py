"""From a command's function to its exit code: 0 done, 1 internal error, 2 wrong input, 130 interrupted."""

from __future__ import annotations

import atexit
import datetime
import errno
import os
import stat
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NoReturn

from l2s_auto import __version__
from l2s_auto.commands.advice import Advice, advised
from l2s_auto.commands.messages import messages_shown
from l2s_auto.commands.start import INTERRUPTED, end_at_once, end_workers, is_first_process
from l2s_auto.commands.streams import safe_streams
from l2s_auto.core.errors import ProcessLost, UserError, disk_is_full
from l2s_auto.core.folding import folded, is_path
from l2s_auto.core.interrupts import check_interrupt, end_at_signal, handled_signals, interrupted, only_note_signals
from l2s_auto.core.printable import printable, printable_lines

DONE, INTERNAL_ERROR, USER_ERROR = 0, 1, 2


def run_command(
    body: Callable[[], int | None], *, command: str, log: Path | None = None, advice: Advice = "", leaves: bool = False
) -> int:
    """Call `body` and return the exit code; a number that `body` returns is the exit code.

    log     file that a traceback is appended to; None, or where it cannot be written: `l2s_error.log` in the working
            folder, else in the folder for temporary files
    advice  what to do after an interruption, or where another process has ended, for the terminal; or what says it then
    leaves  whether the process ends with the command, instead of a return
    """
    with handled_signals(), safe_streams(), messages_shown():
        try:
            code = _call(body, command=command, log=log, advice=advice)
        except KeyboardInterrupt as second:  # while the first error was reported
            code = report(second, command=command, advice=advice)
        if leaves:
            leave(code)
        return code


def _call(body: Callable[[], int | None], *, command: str, log: Path | None, advice: Advice) -> int:
    try:
        code = body() or DONE
        check_interrupt()
        only_note_signals()
        return code
    except (Exception, KeyboardInterrupt) as error:
        return report(error, command=command, log=log, advice=advice)


def report(error: BaseException, *, command: str, log: Path | None = None, advice: Advice = "") -> int:
    """Say in one message why a command ends -> its exit code. What is said is not cut short by a signal."""
    stopped = isinstance(error, KeyboardInterrupt) or (interrupted() and not isinstance(error, ProcessLost))
    only_note_signals()
    if stopped:  # whatever it was that the interruption led to
        end_workers()
        if is_first_process():
            _say(f"{command}: interrupted. {advised(advice)}".rstrip())
        return INTERRUPTED
    if isinstance(error, UserError):
        _say(f"{command}: {error}", whole=_paths_of(error))
        return USER_ERROR
    if isinstance(error, ProcessLost):
        _log_traceback(error, log, command=command)
        sys.stderr.write(f"{command}: {error}. {advised(advice)}".rstrip() + "\n")  # one line of each process
        return INTERNAL_ERROR
    # Whatever else went wrong becomes a log entry and an exit code.
    if disk_is_full(error):
        full = "The disk is full, or a quota or a limit of file sizes is reached."
        _say(f"{command}: {full} Free some space, or choose another folder. {advised(advice)}".rstrip())
        return USER_ERROR
    if isinstance(error, PermissionError) or (isinstance(error, OSError) and error.errno == errno.EROFS):
        what = f"{error.strerror}: {error.filename}" if error.filename else str(error)
        _say(f"{command}: {what}. Give yourself the right to it, or name another place.")
        return USER_ERROR
    written = _log_traceback(error, log, command=command)
    line = f"{type(error).__name__}: {error}".splitlines()[0]
    sys.stderr.write(f"{command}: internal error ({line}). The full report is in {written}\n")  # in one line
    return INTERNAL_ERROR


def _paths_of(error: UserError) -> list[str]:
    """What names a place: options and fields are kept whole as paths are; what was found is where it is a path."""
    places = [one.where for one in error.offences]
    return [*places, *(one.found for one in error.offences if is_path(one.found))]


def _say(text: str, *, whole: Iterable[object] = ()) -> None:
    """A message, written at once: another process may write to the same terminal. Of a team each has one line.

    whole  what is not folded, such as paths
    """
    if "RANK" in os.environ:
        sys.stderr.write(f"{text}\n")
        return
    sys.stderr.write(f"{folded(text, whole=map(printable, whole))}\n")


def leave(code: int) -> NoReturn:
    """End the process with an exit code, once all is written and its threads have ended.

    Python would go on to take its libraries apart, which is a second of waiting for nothing. A signal ends the waiting.
    How the command ended has been said; what fails while its threads end changes nothing of that.
    """
    end_at_signal(partial(end_at_once, ""))
    # As the interpreter ends: pools are told to, other threads are waited for, then the functions of atexit run.
    for finish in (threading._shutdown, atexit._run_exitfuncs):  # type: ignore[attr-defined]
        with suppress(Exception):  # such as a pool that broke, and closes while it is told to
            finish()
    end_workers()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):  # nobody reads it any more
            stream.flush()
    os._exit(code)


def _log_traceback(error: BaseException, log: Path | None, *, command: str) -> Path | str:
    """Append an exception to the first file that can be written; return that file."""
    moment = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    line = " ".join([command, *sys.argv[1:]])
    version = f"l2s_auto {__version__}, Python {sys.version.split()[0]}"
    entry = f"{moment} {version}\n{line}\n{''.join(traceback.format_exception(error))}\n"
    fallback = "l2s_error.log"
    candidates = [Path(fallback).absolute()] if _working_folder() else []
    candidates.append(Path(tempfile.gettempdir()) / fallback)
    if log is not None and log.parent.is_dir():
        candidates.insert(0, log)
    for path in candidates:
        try:
            _append(path, printable_lines(entry))
            return path
        except OSError:
            continue
    sys.stderr.write(entry)
    return "the lines above (no log file can be written)"


def _working_folder() -> str:
    try:
        return os.getcwd()
    except OSError:  # it was deleted
        return ""


def _append(path: Path, text: str) -> None:
    """Append to a file; OSError for what is none, such as a link that somebody else put there."""
    no_link = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    number = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | no_link, 0o666)
    with open(number, "a", encoding="utf-8", errors="backslashreplace") as file:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        file.write(text)
