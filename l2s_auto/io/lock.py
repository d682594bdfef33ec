"""One process at a time in a folder: a lock of the system, which ends with the process that holds it, killed or not."""

from __future__ import annotations

import logging
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from l2s_auto.core.errors import Offence, UserError
from l2s_auto.io import ownership

LOGGER = logging.getLogger("l2s_auto")
#: Seconds of waiting after which it is said what is waited for.
PATIENCE = 1.0
_without_locks: set[Path] = set()


class Busy(UserError):
    """Another process is at work there."""


@contextmanager
def only_one(folder: Path, name: str = "", *, wait: bool = False) -> Iterator[None]:
    """Hold the folder, or what is called `name` in it, while the body runs.

    wait  until another process has ended what it does there, rather than raise Busy
    Where the file system has no locks nothing is held, and a warning says so.
    """
    where = f"{folder}, {name}" if name else str(folder)
    lock = _acquired(folder / f".lock{'-' if name else ''}{name}", where, wait=wait)
    try:
        yield
    finally:
        if lock is not None:
            lock.release()


@contextmanager
def only_one_writer(path: Path) -> Iterator[None]:
    """Hold a file while the body reads and replaces it; others wait. The lock beside it goes away afterwards."""
    place = path.with_name(f".{path.name}.lock")
    lock = _acquired(place, str(path), wait=True)
    try:
        yield
    finally:
        if lock is not None:
            with suppress(OSError):  # Windows, where another process has opened it
                ownership.remove(place)  # while it is held: whoever waits sees that its file is gone, and makes another
            lock.release()


def _acquired(place: Path, where: str, *, wait: bool) -> FileLock | None:
    """The lock, held; None where the file system has none. Busy where another process holds it, unless one waits."""
    _require_ours(place)
    lock = FileLock(place, mode=0o666, fallback_to_soft=False)  # colleagues who share a folder lock it too
    try:
        try:
            lock.acquire(timeout=PATIENCE if wait else 0)
        except Timeout as error:
            if not wait:
                mend = "Wait until it has ended, end it, or choose another folder with -o."
                offence = Offence(where, "a lock that it holds", "none", mend)
                raise Busy("Another process is at work there.", [offence]) from error
            LOGGER.warning("Waiting for another process, which is at work in %s", where)
            lock.acquire()
    except (NotImplementedError, OSError) as error:
        if place.parent not in _without_locks:
            _without_locks.add(place.parent)
            LOGGER.warning("Warning: %s cannot be locked (%s); let no other process work there.", place.parent, error)
        return None
    return lock


def _require_ours(place: Path) -> None:
    """UserError for a file that has the name of a lock and is none: locks are empty."""
    try:
        found = place.lstat()  # one look: another process may take its lock away between two
    except FileNotFoundError:
        return
    if stat.S_ISREG(found.st_mode) and found.st_size == 0:
        return
    raise UserError.single(
        "A file has the name of a lock that is to be made.",
        where=str(place),
        found=ownership.what_is_at(place) or "something else",
        expected="nothing, or an empty file",
        mend="Move it, or choose another output folder.",
    )
