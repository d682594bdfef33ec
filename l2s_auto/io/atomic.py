"""Files that appear whole or not at all, also if the process is killed while it writes them."""

from __future__ import annotations

import os
import platform
import re
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from l2s_auto.io import ownership

#: How names of unfinished files begin: as all of them, then the machine and the process.
_UNFINISHED = re.compile(re.escape(ownership.UNFINISHED) + r"([0-9a-f]{8})-(\d+)-.+")
#: Bytes that the name of a file may have, on every common system.
_LONGEST_NAME, _LONGEST_SUFFIX = 255, 100


def unfinished(name: str = "") -> str:
    """Name of a file that this process has not finished; `sweep` removes it once the process is gone.

    The end of a name that would become too long stays, with its suffix, behind a checksum of the whole name.
    """
    start = f"{ownership.UNFINISHED}{_machine()}-{os.getpid()}-"
    encoded = os.fsencode(name)
    if len(start) + len(encoded) <= _LONGEST_NAME:
        return start + name
    kept = encoded[len(encoded) - (_LONGEST_NAME - len(start) - 9) :]
    return f"{start}{zlib.crc32(encoded):08x}-{kept.decode(errors='ignore')}"


def sweep(folder: Path) -> list[Path]:
    """Remove unfinished files and folders of processes of this machine that were killed while they wrote; returns them.

    What processes of other machines write into a shared folder stays, and so does everything on Windows, which does not
    tell whether a process is there.
    """
    removed: list[Path] = []
    if os.name == "nt" or not folder.is_dir():
        return removed
    for path in sorted(folder.iterdir()):
        found = _UNFINISHED.fullmatch(path.name)
        if found is None or found[1] != _machine() or _runs(int(found[2])):
            continue
        with suppress(OSError):  # of another user, or gone meanwhile
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            removed.append(path)
    return removed


def _machine() -> str:
    return f"{zlib.crc32(platform.node().encode()):08x}"


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # of another user
        return True
    return True


@contextmanager
def atomic_path(path: str | os.PathLike[str], *, durable: bool = True) -> Iterator[Path]:
    """Give a temporary path in the folder of `path`, with all its suffixes, that becomes `path` on success.

    The folder is made if it is missing. On an exception the temporary file is removed and an older file at `path`
    stays as it was. What a killed process leaves behind is not taken for data, and `sweep` removes it. UserError if
    `path` is a file of the input.

    durable  whether the file lasts through a power failure too, which takes a moment
    """
    target = Path(path)
    ownership.check(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    suffix = "".join(target.suffixes[-2:])
    if len(os.fsencode(suffix)) > _LONGEST_SUFFIX:
        suffix = target.suffix if len(os.fsencode(target.suffix)) <= _LONGEST_SUFFIX else ""
    descriptor, name = tempfile.mkstemp(prefix=unfinished(), suffix=suffix, dir=target.parent)
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        _use_default_permissions(temporary)
        if durable:
            _flush_to_disk(temporary)
        ownership.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    if durable and not target.parent.name.startswith(ownership.UNFINISHED):  # it gets another name later
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
