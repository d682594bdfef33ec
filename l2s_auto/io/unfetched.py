"""Files that stand for content that is elsewhere: of git-annex and DataLad a link, of git-lfs a short text."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path

from l2s_auto.core.errors import UserError, some_of

_POINTER = re.compile(rb"\A(?:version https://git-lfs\.github\.com/|/annex/objects/)")
#: Bytes of such a text, at most.
_LONGEST = 4096


def is_unfetched(path: Path) -> bool:
    """Whether a file stands for one that git-annex, DataLad or git-lfs has not fetched."""
    return bool(_tool(path))


def require_fetched(path: Path) -> None:
    """UserError if the content of a file, or of files in a folder (DICOM), was not fetched."""
    files = _files(path) if os.path.isdir(path) else [path]
    missing = [file for file in files if _tool(file)]
    if not missing:
        return
    tool = _tool(missing[0])
    names = some_of([file.name for file in missing], most=3)
    raise UserError.single(
        "A file cannot be read.",
        where=str(path),
        found="a placeholder: the content is not fetched"
        + (f" of {len(missing)} files ({names})" if os.path.isdir(path) else ""),
        expected="the content of the file",
        mend=f"Fetch it, for instance with `{tool}`.",
    )


def _tool(path: Path) -> str:
    """The command that fetches the content of a file; empty if it is there."""
    try:
        if os.path.islink(path) and not os.path.exists(path):
            return f"git annex get {path.name}" if ".git/annex/" in _target(path) else ""
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode) or not 0 < found.st_size <= _LONGEST:
            return ""
        with open(path, "rb") as file:
            match = _POINTER.match(file.read(64))
    except (OSError, ValueError):
        return ""
    if match is None:
        return ""
    return f"git annex get {path.name}" if match[0].startswith(b"/annex") else "git lfs pull"


def _target(path: Path) -> str:
    return os.readlink(path).replace("\\", "/")


def _files(folder: Path) -> Iterable[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not os.path.isdir(path))
    except OSError:
        return []
