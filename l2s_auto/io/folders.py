"""What is in a folder, whatever is in it: entries that cannot be read, links to nothing and pipes stop nobody."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from l2s_auto.core.errors import UserError


def entries(folder: Path) -> list[Path]:
    """What is in the folder, sorted. UserError if it may not be listed."""
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise UserError.single(
            "A folder cannot be read.",
            where=str(folder),
            found=(error.strerror or str(error)).lower(),
            expected="a folder that you may list and enter",
            mend="Change its permissions, or copy what is in it.",
        ) from error


def files_in(folder: Path) -> list[Path]:
    """The ordinary files of a folder, sorted; empty if it may not be listed."""
    try:
        return sorted(path for path in folder.iterdir() if os.path.isfile(path))
    except OSError:
        return []


def require_no_pipe(path: Path) -> None:
    """OSError for what is neither a file nor a folder: opening a pipe never ends."""
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise OSError(errno.EINVAL, "neither a file nor a folder")


def require_file_or_nothing(path: Path) -> None:
    """UserError for what has the name of a file that is read where it is there, and is none: it is not passed over."""
    if not os.path.lexists(path) or os.path.isfile(path):
        return
    kind = "a folder" if os.path.isdir(path) else "a link to nothing" if os.path.islink(path) else "no ordinary file"
    raise UserError.single(
        "A file cannot be read.",
        where=str(path),
        found="no ordinary file (a pipe, or a device)" if kind == "no ordinary file" else kind,
        expected="an ordinary file, or nothing",
        mend="Replace it by a file, or rename it.",
    )


def is_closed(folder: Path) -> bool:
    """Whether it is a folder whose files cannot be listed or read."""
    try:
        with os.scandir(folder):
            os.stat(os.path.join(folder, "."))
    except PermissionError:
        return True
    except OSError:
        pass
    return False


def is_dicom_file(path: Path) -> bool:
    """Whether it is a file with DICOM's mark after its preamble, or its suffix; a CD's index (DICOMDIR) is none."""
    if not os.path.isfile(path) or path.name.startswith(".") or path.name.upper() == "DICOMDIR":
        return False
    if path.suffix.lower() == ".dcm":
        return True
    try:
        with open(path, "rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def may_be_dicom(path: Path) -> bool:
    """Whether it is a file without permission to read, whose name does not say that it is something else."""
    ordinary = bool(path.suffix) and not path.suffix[1:].isdigit() and path.suffix.lower() not in (".dcm", ".ima")
    if path.name.startswith(".") or ordinary:
        return False
    try:
        with open(path, "rb"):
            return False
    except PermissionError:
        return True
    except OSError:
        return False


def is_dicom_folder(folder: Path) -> bool:
    """Whether a file directly in the folder is DICOM."""
    return os.path.isdir(folder) and any(is_dicom_file(path) for path in files_in(folder))
