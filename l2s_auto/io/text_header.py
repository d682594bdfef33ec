"""Headers that are lines of text (MetaImage, NRRD): read within limits, numbers checked before anything uses them."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import BinaryIO

from l2s_auto.io.gunzip import DamagedFile
from l2s_auto.io.partner import missing, require_one

#: Far above what is met: a series of thousands of frames has a few lines for each.
MAX_HEADER, MAX_LINES, MAX_LINE = 1 << 22, 50_000, 1 << 18
MAX_EDGE, MAX_LENGTH = 1 << 24, 1e12
_INTEGER = re.compile(r"[+-]?\d{1,18}")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?|[+-]?nan", re.IGNORECASE)


class Lines:
    """The lines of a header, one after the other; DamagedFile where a limit is exceeded or the file ends.

    open_end  whether the last line of the file may lack its newline
    """

    def __init__(self, file: BinaryIO, *, open_end: bool = False) -> None:
        self._file, self._open_end, self._count, self._bytes = file, open_end, 0, 0

    def next(self) -> str:
        """The next line, white space at its end removed. Bytes beyond ASCII are read as Latin-1."""
        line = self.next_or_end()
        if line is None:
            raise DamagedFile("a header that does not end")
        return line

    def next_or_end(self) -> str | None:
        """The next line, or None at the end of the file."""
        line = self._file.readline(MAX_LINE)
        if not line:
            return None
        self._count += 1
        self._bytes += len(line)
        if not line.endswith(b"\n") and not (self._open_end and len(line) < MAX_LINE):
            raise DamagedFile("a header line that is too long, or that does not end")
        if self._count > MAX_LINES or self._bytes > MAX_HEADER:
            raise DamagedFile(f"a header of more than {MAX_LINES} lines or {MAX_HEADER} bytes")
        return line.decode("latin-1").rstrip()


def integers(text: str, name: str, *, count: int = 1, least: int = 1, most: int = MAX_EDGE) -> tuple[int, ...]:
    """`count` integers from `least` to `most`."""
    words = text.split()
    if len(words) == count and all(_INTEGER.fullmatch(word) for word in words):
        values = tuple(int(word) for word in words)
        if all(least <= value <= most for value in values):
            return values
    raise DamagedFile(f"{name}: {shown(text)}, but expected {count} integer(s) from {least} to {most}")


def numbers(text: str, name: str, *, count: int) -> tuple[float, ...]:
    """`count` numbers; NaN is allowed, for axes that have none."""
    words = text.split()
    if len(words) == count and all(_NUMBER.fullmatch(word) for word in words):
        return tuple(float(word) for word in words)
    raise DamagedFile(f"{name}: {shown(text)}, but expected {count} number(s)")


def finite(values: tuple[float, ...], name: str) -> tuple[float, ...]:
    """The same numbers; DamagedFile unless all are finite and none is absurd."""
    if not all(math.isfinite(value) and abs(value) <= MAX_LENGTH for value in values):
        raise DamagedFile(f"{name} holds numbers that are not finite, or beyond {MAX_LENGTH:g}")
    return values


def choice(text: str, name: str, known: dict[str, str]) -> str:
    """known[text], in lower case."""
    if text.lower() not in known:
        raise DamagedFile(f"{name}: {shown(text)}, but expected one of {', '.join(dict.fromkeys(known))}")
    return known[text.lower()]


def beside(path: Path, name: str) -> Path:
    """The file of that name in the folder of `path`, `./` allowed before it. DamagedFile for all but a plain name.

    UserError if there is no such file, or if the voxels are in several.
    """
    require_one(path, name)
    name = name.removeprefix("./")
    if name in ("", ".", "..") or re.search(r"[/\\%\x00-\x1f]", name) or len(name) > 250 or name == path.name:
        last = re.split(r"[/\\]", name)[-1]
        there = f" ({shown(last)} is there)" if _is_there(path, last) else ""
        raise DamagedFile(
            f"its voxels are in {shown(name)}, but expected the name of another file in the same folder{there}"
        )
    other = path.with_name(name.encode("latin-1").decode("utf-8", errors="surrogateescape"))
    if not other.is_file():
        raise missing(path, other.name)
    return other


def _is_there(path: Path, name: str) -> bool:
    plain = name not in ("", ".", "..", path.name) and len(name) <= 250 and name.isprintable()
    return plain and path.with_name(name).is_file()


def shown(text: str) -> str:
    """A value for a message: short, without control characters."""
    return repr(text if len(text) <= 60 else text[:57] + "...")
