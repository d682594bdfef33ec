"""An array in a file: where its bytes are, whether they can be there at all, and reading them into one array.

Nothing is allocated before the sizes in a header have been compared with the size of the file.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np

from l2s_auto.io.gunzip import MAX_RATIO, PIECE, DamagedFile, Unpacker
from l2s_auto.io.text_header import shown

Packing = Literal["raw", "gzip", "zlib", "text", "hex"]
#: Characters of a number that is written as text.
_LONGEST_WORD = 500
#: What is noted of a compressed file with something else at its end.
_FOREIGN = "Other data follow the end of the compressed data. They were ignored; the voxels are complete."


@dataclass(frozen=True)
class StoredArray:
    """Where the voxels of a volume are.

    path     file that holds them
    shape    the axis that is fastest in the file first
    dtype    with its byte order
    offset   bytes of the file before the data
    packing  gzip: streams that may follow each other; zlib: one stream of zlib or gzip; text: decimal numbers;
             hex: two hexadecimal digits a byte
    skip     unpacked bytes before the first voxel
    length   packed bytes; None: to the end of the file
    more     unpacked bytes that may follow the last voxel
    foreign  whether bytes of another kind may follow the gzip streams
    """

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype
    offset: int
    packing: Packing = "raw"
    skip: int = 0
    length: int | None = None
    more: int = 0
    foreign: bool = False

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def check_size(stored: StoredArray) -> None:
    """DamagedFile unless the file can hold what the header says; MemoryError for more than this machine has."""
    size = stored.path.stat().st_size
    present = size - stored.offset
    if stored.length is not None and stored.length != present:
        raise DamagedFile(f"{max(0, present)} bytes of compressed data, but the header says {stored.length}")
    needed = stored.skip + stored.nbytes
    if stored.packing == "raw" and not needed <= present <= needed + stored.more:
        kind = "fewer" if present < needed else "more"
        raise DamagedFile(f"{abs(present - needed)} bytes {kind} than the {needed} of voxels that the header says")
    if stored.packing in ("gzip", "zlib") and needed > MAX_RATIO * max(0, present):
        raise DamagedFile(f"the header says {needed} bytes of voxels, more than the file's {size} bytes can hold")
    if stored.packing == "hex" and 2 * needed > present:
        raise DamagedFile(f"the header says {needed} bytes of voxels, more than the file can hold")
    if stored.packing == "text" and 2 * math.prod(stored.shape) > present + 1:
        raise DamagedFile(f"the header says {math.prod(stored.shape)} numbers, more than the file can hold")
    memory = _physical_memory()
    if memory is not None and stored.nbytes > memory:
        raise MemoryError(f"{stored.nbytes / 1e9:.1f} GB of voxels")


def read_array(stored: StoredArray, notes: list[str] | None = None) -> np.ndarray:
    """The voxels, in Fortran order, in memory of their own; what was passed over is added to `notes`.

    Raises EOFError, DamagedFile, OSError or one of `gunzip.errors()` if they are not exactly what the header says.
    """
    check_size(stored)
    with open(stored.path, "rb") as file:
        file.seek(stored.offset)
        if stored.packing == "text":
            return _read_text(file, stored)
        array = np.empty(math.prod(stored.shape), dtype=stored.dtype)
        target = memoryview(array.view(np.uint8))  # type: ignore[arg-type]
        if stored.packing == "raw":
            file.seek(stored.skip, os.SEEK_CUR)
            done = _read_raw(file, target)
        elif stored.packing == "hex":
            done = _read_hex(file, target)
        else:
            members = stored.packing == "gzip"
            unpacker = Unpacker(file, members=members, length=stored.length, foreign=stored.foreign)
            unpacker.skip(stored.skip)
            done = unpacker.readinto(target)
            if done == len(target):
                unpacker.finish(more=stored.more)
            if unpacker.has_foreign and notes is not None:
                notes.append(_FOREIGN)
    if done != stored.nbytes:
        raise EOFError(f"{done} bytes of voxels, but the header says {stored.nbytes}")
    if not stored.dtype.isnative:
        array = array.byteswap(inplace=True).view(stored.dtype.newbyteorder("="))
    return array.reshape(stored.shape, order="F")


def read_start(path: Path, count: int, *, packed: bool) -> bytes:
    """The first bytes of a file, unpacked: `count`, or as many as there are."""
    with open(path, "rb") as file:
        if not packed:
            return file.read(count)
        start = bytearray(count)
        return bytes(start[: Unpacker(file, members=True, foreign=True).readinto(memoryview(start))])


def is_packed(path: Path) -> bool:
    """Whether a file begins as those of gzip do, whatever its name says."""
    with open(path, "rb") as file:
        return file.read(2) == b"\x1f\x8b"


def of_wrong_name(path: Path, *, packed: bool, plain: str, compressed: str) -> tuple[str, ...]:
    """A sentence where the end of a file's name says compressed and its content does not, or the reverse.

    plain, compressed  endings of the two
    """
    if packed == path.name.lower().endswith(compressed):
        return ()
    state, right = ("compressed", compressed) if packed else ("not compressed", plain)
    return (f"The file is {state}, but its name says otherwise: rename the file so that it ends with {right}.",)


def _read_raw(file: BinaryIO, target: memoryview) -> int:
    done = 0
    while done < len(target):
        count = file.readinto(target[done : done + 16 * PIECE])  # type: ignore[attr-defined]
        if not count:
            break
        done += count
    return done


def _read_hex(file: BinaryIO, target: memoryview) -> int:
    """Hexadecimal digits, white space anywhere between them."""
    done, waiting = 0, b""
    while piece := file.read(PIECE):
        digits = waiting + b"".join(piece.split())
        even = len(digits) - len(digits) % 2
        if (wrong := re.search(rb"[^0-9a-fA-F]", digits)) is not None:
            raise DamagedFile(f"{shown(wrong[0].decode('latin-1'))}, but expected hexadecimal digits")
        values, waiting = bytes.fromhex(digits[:even].decode()), digits[even:]
        if done + len(values) + len(waiting) > len(target):
            raise DamagedFile(f"more than the {len(target)} bytes of voxels that the header says")
        target[done : done + len(values)] = values
        done += len(values)
    return done


def _read_text(file: BinaryIO, stored: StoredArray) -> np.ndarray:
    """Decimal numbers between white space, a piece of the file at a time."""
    count = math.prod(stored.shape)
    array = np.empty(count, dtype=stored.dtype)
    convert = float if stored.dtype.kind == "f" else int
    done, begun = 0, b""
    while True:
        piece = file.read(PIECE)
        words = (begun + piece).split()
        begun = words.pop() if piece and words and not piece[-1:].isspace() else b""
        if len(begun) > _LONGEST_WORD:
            raise _no_number(begun)
        if done + len(words) > count:
            raise DamagedFile(f"more numbers than the {count} that the header says")
        array[done : done + len(words)] = np.fromiter(_numbers(words, convert), dtype=stored.dtype, count=len(words))
        done += len(words)
        if not piece:
            break
    if done < count:
        raise DamagedFile(f"{done} numbers, but the header says {count}")
    return array.reshape(stored.shape, order="F")


def _numbers(words: Iterable[bytes], convert: Callable[[bytes], float]) -> Iterator[float]:
    for word in words:
        try:
            if len(word) > _LONGEST_WORD or b"_" in word:  # Python would take 1_000 for a number
                raise ValueError
            yield convert(word)
        except ValueError:
            raise _no_number(word) from None


def _no_number(word: bytes) -> DamagedFile:
    return DamagedFile(f"{shown(word[:100].decode('latin-1'))}, but expected a number")


def _physical_memory() -> int | None:
    """Bytes of this machine; None where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
