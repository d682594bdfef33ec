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
from l2s_auto.io.dicom_select import selected
from l2s_auto.io.volumes import files_of


def hash_of(path: Path) -> str:
    """SHA-256 of the files that hold a volume, one after the other: the two of a pair, those of a DICOM folder by name.

    Pipes and devices in a folder are not opened.
    """
    return _hash_of_files(files_of(path))


def hash_of_file(path: Path) -> str:
    """SHA-256 of the bytes of one file, whatever it is."""
    return _hash_of_files([path])


def _hash_of_files(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            while piece := stream.read(2**20):
                digest.update(piece)
    return digest.hexdigest()


@contextmanager
def as_hashed(paths: Iterable[Path], hashes: dict[str, str | None]) -> Iterator[None]:
    """Put the hashes of the files that the body reads into `hashes`; None for what cannot be read.

    UserError, after the body, if one of them was changed meanwhile, so that what was read may be something else.
    """
    there = [path for path in paths if _is_there(path)]  # others may never end
    states = {path: _state(path) for path in there}
    hashes |= {str(path): _hash_or_none(path) for path in there}
    yield
    changed = [
        Offence(str(path), "another content after it was read than before", "a file that stays as it is", "Try again.")
        for path, before in states.items()
        if _state(path) != before and _hash_or_none(path) != hashes[str(path)]
    ]
    if changed:
        raise UserError("A scan was changed while it was read.", changed)


def _is_there(path: Path) -> bool:
    return os.path.isfile(path) or os.path.isdir(path) or selected(path) is not None


def _state(path: Path) -> list[tuple[str, int, int, int, int]]:
    """What changes when a file of a volume is written to."""
    try:
        found = [(file.name, file.stat()) for file in files_of(path)]
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
        if other.images and os.path.isfile(other.images[0]):
            by_size.setdefault(other.images[0].stat().st_size, []).append(other)
    found = []
    for case in cases:
        alike = by_size.get(case.images[0].stat().st_size, []) if case.images and os.path.isfile(case.images[0]) else []
        if alike:
            own = known(case.images[0])
            found += [(case, other) for other in alike if own is not None and known(other.images[0]) == own]
    return found


def _hash_or_none(path: Path) -> str | None:
    try:
        return hash_of(path)
    except OSError:
        return None
