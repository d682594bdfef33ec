"""What may be replaced or deleted: every write and every delete of the program passes here.

A command names the files that it reads with `protected`; none of them is ever written to, by whatever name. Whether
another file is one that the program wrote is for the caller to know, by a hash (`inference/outputs.py`) or by the mark
of the folder (`io/places.py`).
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from l2s_auto.core.errors import Offence, UserError

#: How names of unfinished files begin: a dot, so that they are not taken for data.
UNFINISHED = ".partial-"
Identity = tuple[int, int]
_protected: list[dict[Identity, Path]] = []
_written: dict[str, tuple[int, ...]] = {}
_guard = threading.Lock()


def _identity(path: Path) -> Identity | None:
    """Device and number of a file, which all its names and links have; None where there is no file."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino


@contextmanager
def protected(paths: Iterable[Path]) -> Iterator[None]:
    """While it is open, nothing replaces or deletes these files, nor the files of these folders (DICOM)."""
    known: dict[Identity, Path] = {}
    for path in paths:
        inside = [path]
        if os.path.isdir(path):
            with suppress(OSError):  # no right to read it
                inside += path.iterdir()
        known |= {found: one for one in inside if (found := _identity(one)) is not None}
    with _guard:
        _protected.append(known)
    try:
        yield
    finally:
        with _guard:
            _protected.remove(known)


def input_at(path: Path) -> Path | None:
    """The file of this call's input that has this name too, by a link or in another spelling; None if there is none."""
    found = _identity(path)
    if found is None:
        return None
    return next((known[found] for known in list(_protected) if found in known), None)


def check(path: Path) -> None:
    """UserError if a file of this call's input would be replaced or deleted."""
    source = input_at(path)
    if source is not None:
        raise UserError.single(
            "A file that is read would be replaced.",
            where=str(path),
            found=f"the input {source}" if source != path else "a file of the input",
            expected="another file",
            mend="Name another output.",
        )


def replace(source: Path, target: Path) -> None:
    """Give a finished file or folder its name. Links at that name are replaced themselves, not what they lead to."""
    check(target)
    os.replace(source, target)
    note_written(target)


def note_written(path: Path) -> None:
    """Remember that this process wrote a file, as it is now."""
    found = _state(path)
    if found is not None:
        with _guard:
            _written[os.path.abspath(path)] = found


def is_own(path: Path) -> bool:
    """Whether this process wrote the file, and nobody has changed it since."""
    known = _written.get(os.path.abspath(path))
    return known is not None and known == _state(path)


def _state(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def remove(path: Path) -> None:
    """Delete a file that the caller knows to be the program's own; nothing where there is none."""
    check(path)
    path.unlink(missing_ok=True)


def remove_empty(folder: Path) -> bool:
    """Delete a folder if there is nothing in it; whether it is gone."""
    try:
        folder.rmdir()
    except OSError:
        return False
    return True


def discard(path: Path) -> None:
    """Delete an unfinished file, or a folder of such."""
    assert any(part.startswith(UNFINISHED) for part in path.parts), f"{path} is not an unfinished file"
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def require_free(paths: Iterable[Path], *, overwrite: bool = False) -> None:
    """UserError that names every path at which something stands that this process did not write.

    overwrite  whether the user wishes to replace files; folders and files of the input are never replaced
    """
    offences = []
    for path in paths:
        found = what_is_at(path)
        if found is None or (found == "a file" and is_own(path) and input_at(path) is None):
            continue
        if overwrite and input_at(path) is None and found != "a folder":
            continue
        never = found == "a folder" or input_at(path) is not None
        mend = "Name another output." if never else "Name another output, or replace it with --overwrite."
        offences.append(Offence(str(path), found, "nothing", mend))
    if offences:
        raise UserError("Nothing is replaced without --overwrite.", offences)


def what_is_at(path: Path) -> str | None:
    """What stands at a path, in words; None if nothing does."""
    source = input_at(path)
    if source is not None:
        return f"the input {source}" if source != path else "a file of the input"
    if os.path.islink(path):
        return "a link"
    if os.path.isdir(path):
        return "a folder"
    return "a file" if os.path.lexists(path) else None
