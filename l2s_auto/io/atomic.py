"""Files that appear whole or not at all, also if the process is killed while it writes them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(path: str | os.PathLike[str], *, durable: bool = True) -> Iterator[Path]:
    """Give a temporary path in the folder of `path`, with all its suffixes, that becomes `path` on success.

    The folder is made if it is missing. On an exception the temporary file is removed and an older file at `path`
    stays as it was. The name begins with a dot, so that what a killed process leaves behind is not taken for data.

    durable  whether the file lasts through a power failure too, which takes a moment
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    suffix = "".join(target.suffixes[-2:])
    descriptor, name = tempfile.mkstemp(prefix=".partial-", suffix=suffix, dir=target.parent)
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        _use_default_permissions(temporary)
        if durable:
            _flush_to_disk(temporary)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    if durable:
        _flush_folder(target.parent)


def _use_default_permissions(path: Path) -> None:
    """mkstemp makes files that only their owner can read; colleagues who share a folder need the usual mode."""
    mask = os.umask(0)
    os.umask(mask)
    os.chmod(path, 0o666 & ~mask)


def _flush_to_disk(path: Path) -> None:
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    """Make the renaming itself last through a power failure, where the system can (not on Windows)."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
