"""Whether files hold the same, whatever they are called."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from l2s_auto.core.errors import Offence, UserError
from l2s_auto.core.types import Case

#: Bytes at the start of a file that its header is looked for in.
HEADER = 2**16
#: By suffix, how headers call the file that their voxels are in, and what parts the name from it.
_NAMED_BY = {".mhd": ("elementdatafile", "="), ".mha": ("elementdatafile", "="), ".nrrd": ("data file", ":")}


def hash_of(path: Path) -> str:
    """SHA-256 of a file, or of a folder's files in the order of their names (DICOM)."""
    files = sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            while piece := stream.read(2**20):
                digest.update(piece)
    return digest.hexdigest()


def hash_of_file(path: Path) -> str:
    """SHA-256 of the bytes of one file, whatever it is."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(2**20):
            digest.update(piece)
    return digest.hexdigest()


def parts_of(path: Path) -> list[Path]:
    """A volume's file, and the file of its voxels where the header names another (MetaImage, NRRD)."""
    key, mark = _NAMED_BY.get(path.suffix.lower(), ("", ""))
    if not key or not os.path.isfile(path):
        return [path]
    try:
        with path.open("rb") as file:
            lines = file.read(HEADER).decode("latin-1").splitlines()
    except OSError:
        return [path]
    found = [path]
    for name, _, value in (line.partition(mark) for line in lines):
        if name.strip().lower() in (key, key.replace(" ", "")) and value.strip():
            voxels = path.parent / value.strip()
            found += [voxels] if "\0" not in value and os.path.isfile(voxels) and not voxels.samefile(path) else []
            break
    return found


@contextmanager
def as_hashed(paths: Iterable[Path], hashes: dict[str, str | None]) -> Iterator[None]:
    """Put the hashes of the files that the body reads into `hashes`; None for what cannot be read.

    UserError, after the body, if one of them was changed meanwhile, so that what was read may be something else.
    """
    there = [path for path in paths if os.path.isfile(path) or os.path.isdir(path)]  # others may never end
    files = {file: _state(file) for path in there for file in parts_of(path)}
    hashes |= {str(file): _hash_or_none(file) for file in files}
    yield
    changed = [
        Offence(str(file), "another content after it was read than before", "a file that stays as it is", "Try again.")
        for file, before in files.items()
        if _state(file) != before and _hash_or_none(file) != hashes[str(file)]
    ]
    if changed:
        raise UserError("A scan was changed while it was read.", changed)


def _state(path: Path) -> list[tuple[str, int, int, int, int]]:
    """What changes when a file, or one in a folder, is written to."""
    try:
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        found = [(file.name, file.stat()) for file in files]
    except OSError:
        return []
    return [(name, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns) for name, stat in found]


def copies(cases: Sequence[Case], others: Sequence[Case]) -> list[tuple[Case, Case]]:
    """Pairs of a case and one of `others` whose first images are the same file, byte for byte.

    Only files of the same size are read, each once. Files that cannot be read are no copies.
    """
    known = functools.cache(_hash_or_none)
    by_size: dict[int, list[Case]] = {}
    for other in others:
        if other.images and other.images[0].is_file():
            by_size.setdefault(other.images[0].stat().st_size, []).append(other)
    found = []
    for case in cases:
        alike = by_size.get(case.images[0].stat().st_size, []) if case.images and case.images[0].is_file() else []
        if alike:
            own = known(case.images[0])
            found += [(case, other) for other in alike if own is not None and known(other.images[0]) == own]
    return found


def _hash_or_none(path: Path) -> str | None:
    try:
        return hash_of(path)
    except OSError:
        return None
