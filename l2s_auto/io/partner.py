"""The other file of a volume in two files: found beside its header, or missed in words that help."""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path

from l2s_auto.core.errors import UserError, some_of

#: An .img may be compressed, and either may be written in capital letters.
_VOXELS = (".img", ".img.gz")
#: A list of files follows, or a pattern for their names and the numbers that go into it.
_SEVERAL = re.compile(r"LIST(\s+\d+)?|.*%\d*d\S*(\s+-?\d+){3,4}", re.DOTALL)


def voxels_of(header: Path) -> Path:
    """The .img of an .hdr. UserError if it is not in the same folder."""
    stem = re.sub(r"\.hdr(\.gz)?$", "", header.name, flags=re.IGNORECASE)
    for ending in (*_VOXELS, *(ending.upper() for ending in _VOXELS)):
        if (path := header.with_name(stem + ending)).is_file():
            return path
    raise missing(header, stem + _VOXELS[0])


def require_one(header: Path, name: str) -> None:
    """UserError where a header says that the voxels are in several files: a list, or a pattern for their names."""
    if _SEVERAL.fullmatch(name):
        raise UserError.single(
            "A file cannot be used.",
            where=str(header),
            found=f"voxels in several files ({name.split()[0][:60] if name.split() else name})",
            expected="the name of one file in the same folder",
            mend="Save the scan as one file, for instance .nrrd, .mha or .nii.gz.",
        )


def missing(header: Path, name: str) -> UserError:
    """The error about a header whose other file was not found; it names the path, and files of a similar name."""
    others = _similar(header, name)
    there = f" The folder has {some_of(others, most=3)}." if others else ""
    return UserError.single(
        "The file of the voxels is missing.",
        where=str(header),
        found=f"no such file in the same folder: {header.with_name(name)}",
        expected="the file that holds the voxels of this header",
        mend=f"Put it into this folder, or correct its name in the header.{there}",
    )


def _similar(header: Path, name: str) -> list[str]:
    """Files of the folder that may be the one that is missed: the same name in other letters, then close ones."""
    try:
        names = sorted(entry.name for entry in os.scandir(header.parent) if entry.name != header.name)
    except OSError:
        return []
    stem = name.partition(".")[0].lower()
    same = [other for other in names if other.partition(".")[0].lower() == stem]
    return list(dict.fromkeys([*same, *difflib.get_close_matches(name, names, n=3, cutoff=0.7)]))[:3]
