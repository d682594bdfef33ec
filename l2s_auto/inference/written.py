"""After a model is written: that its zip is whole."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path

from l2s_auto.core.errors import UserError, some_of


def check_zip(path: Path, members: Collection[str], *, target: Path) -> None:
    """Read a zip again that was just written: UserError, which names `target`, unless it holds exactly these members.

    Each has its checksum, and something in it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            found = archive.infolist()
            damaged = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        _refuse(target, str(error))
    names = [member.filename for member in found]
    if damaged is not None:
        _refuse(target, f"the damaged member {damaged!r}")
    if not names or sorted(names) != sorted(members):
        _refuse(target, some_of(sorted(set(names) ^ set(members))) or "members twice, or none at all")
    if empty := [member.filename for member in found if member.file_size == 0]:
        _refuse(target, f"nothing in {some_of(empty)}")


def _refuse(target: Path, found: str) -> None:
    raise UserError.single(
        "The export is not what it should be, and was removed.",
        where=str(target),
        found=found,
        expected="a zip with every file of the model",
        mend="Check the disk, and export the model again.",
    )
