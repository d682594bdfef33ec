"""One process at a time in a folder: a lock of the system, which ends with the process that holds it, killed or not."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from l2s_auto.core.errors import Offence, UserError

LOGGER = logging.getLogger("l2s_auto")


class Busy(UserError):
    """Another process is at work there."""


@contextmanager
def only_one(folder: Path, name: str = "", *, wait: bool = False) -> Iterator[None]:
    """Hold the folder, or what is called `name` in it, while the body runs.

    wait  until another process has ended what it does there, rather than raise Busy
    Where the file system has no locks nothing is held.
    """
    lock = FileLock(folder / f".lock{'-' if name else ''}{name}")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        if not wait:
            mend = "Wait until it has ended, end it, or choose another folder with -o."
            where = f"{folder}, {name}" if name else str(folder)
            raise Busy(
                "Another process is at work there.", [Offence(where, "a lock that it holds", "none", mend)]
            ) from error
        LOGGER.info("Waiting for another process, which is at work in %s", folder)
        lock.acquire()
    except (NotImplementedError, OSError) as error:
        LOGGER.warning("Warning: %s cannot be locked (%s); let no other process work there.", folder, error)
    try:
        yield
    finally:
        lock.release()
