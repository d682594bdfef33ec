"""The elements of a DICOM file, one after the other, within limits (PS3.5 of the standard, chapter 7 and annex A)."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass
from typing import BinaryIO

from l2s_auto.io.gunzip import DamagedFile

DEFLATED, BIG_ENDIAN, IMPLICIT, RLE = (f"1.2.840.10008.1.2{end}" for end in (".1.99", ".2", "", ".5"))
UNDEFINED = 0xFFFFFFFF
MAX_DEPTH, MAX_ELEMENTS, MAX_INFLATED = 32, 1_000_000, 1 << 30
#: Bytes of a value that is looked at, far above what is met.
_MAX_VALUE = 1 << 17
_LONG = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
_ITEM, _ITEM_END, _SEQUENCE_END, _SYNTAX = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD, 0x00020010


@dataclass(frozen=True)
class DataSet:
    """The elements of a data set, or of an item of a sequence, that were asked for.

    values     tag -> its bytes
    sequences  tag -> its items
    order      "<" or ">": how binary numbers are stored
    """

    values: dict[int, bytes]
    sequences: dict[int, list[DataSet]]
    order: str = "<"

    def text(self, tag: int) -> str:
        """The value as text without padding; empty where there is none."""
        return self.values.get(tag, b"").strip(b" \0").decode("utf-8", errors="replace")

    def items(self, tag: int) -> list[DataSet]:
        return self.sequences.get(tag, [])


def start(file: BinaryIO) -> Walker:
    """A walker at the first element after the group of the file's own description."""
    preamble = file.read(132)
    if preamble[128:] != b"DICM":  # as older software writes: a data set alone
        file.seek(0)
        return _without_syntax(file)
    walker = Walker(file, explicit=True, syntax="")
    syntax = ""
    while file.peek(2)[:2] == b"\x02\x00":  # type: ignore[attr-defined]
        tag, vr, length = walker.element()
        if tag == _SYNTAX:
            syntax = walker.read(length, most=64).strip(b" \0").decode("ascii", errors="replace")
        else:
            walker.skip(vr, length)
    if not syntax:
        return _without_syntax(file)
    if syntax == DEFLATED:
        inflater = zlib.decompressobj(wbits=-15)
        file = io.BytesIO(inflater.decompress(file.read(), MAX_INFLATED))
        if not inflater.eof:
            raise DamagedFile("compressed elements that do not end")
    return Walker(file, explicit=syntax != IMPLICIT, little=syntax != BIG_ENDIAN, syntax=syntax)


def _without_syntax(file: BinaryIO) -> Walker:
    """A walker through elements of which no syntax is given: the first one shows it."""
    kind = file.peek(6)[4:6]  # type: ignore[attr-defined]
    return Walker(file, explicit=kind.isalpha() and kind.isupper(), syntax="")


class Walker:
    """Goes through the elements of a file; EOFError where it ends."""

    def __init__(self, file: BinaryIO, *, explicit: bool, syntax: str, little: bool = True) -> None:
        self._file, self._explicit, self.syntax, self.little = file, explicit, syntax, little
        self.order, self._count = "<" if little else ">", 0
        at = file.tell()
        self._end = file.seek(0, io.SEEK_END)
        file.seek(at)

    def left(self) -> int:
        return self._end - self._file.tell()

    def tell(self) -> int:
        return self._file.tell()

    def bytes_at(self, start: int, count: int) -> bytes:
        self._file.seek(start)
        return self.read(count)

    def read(self, count: int, *, most: int = UNDEFINED) -> bytes:
        if count > most:
            raise DamagedFile(f"an element of {count} bytes, but expected at most {most}")
        if count > self.left():
            raise EOFError("the file ends within an element")
        return self._file.read(count)

    def element(self, *, explicit: bool | None = None) -> tuple[int, bytes, int]:
        """(tag, type of value or b"", length) of the next element; its value comes next."""
        self._count += 1
        if self._count > MAX_ELEMENTS:
            raise DamagedFile(f"more than {MAX_ELEMENTS} elements")
        group, number = struct.unpack(f"{self.order}HH", self.read(4))
        tag = group << 16 | number
        if group == 0xFFFE or not (self._explicit if explicit is None else explicit):
            return tag, b"", self._length("I", 4)
        vr = self.read(2)
        if not (vr.isalpha() and vr.isupper()):
            raise DamagedFile(f"an element ({group:04X},{number:04X}) of an unknown type")
        if vr in _LONG:
            self.read(2)
            return tag, vr, self._length("I", 4)
        return tag, vr, self._length("H", 2)

    def skip(self, vr: bytes, length: int, *, explicit: bool | None = None, depth: int = 0) -> None:
        """Go past a value, a sequence included."""
        if length != UNDEFINED:
            if length > self.left():
                raise EOFError("the file ends within an element")
            self._file.seek(length, io.SEEK_CUR)
            return
        if depth > MAX_DEPTH:
            raise DamagedFile(f"sequences in each other, more than {MAX_DEPTH} deep")
        inside = False if vr == b"UN" else explicit
        while True:
            tag, _, size = self.element(explicit=inside)
            if tag == _SEQUENCE_END:
                return
            if tag != _ITEM:
                raise DamagedFile("a sequence that holds something else than items")
            if size != UNDEFINED:
                self.skip(b"", size)
                continue
            while True:
                tag, kind, size = self.element(explicit=inside)
                if tag == _ITEM_END:
                    break
                self.skip(kind, size, explicit=inside, depth=depth + 1)

    def take(
        self,
        into: DataSet,
        tag: int,
        vr: bytes,
        length: int,
        *,
        values: frozenset[int],
        sequences: frozenset[int],
        explicit: bool | None = None,
        depth: int = 0,
    ) -> None:
        """Go past a value, and keep it if its tag is one of those."""
        if tag in sequences:
            inside = False if vr == b"UN" else explicit
            into.sequences[tag] = self._items(length, values=values, sequences=sequences, explicit=inside, depth=depth)
        elif tag in values and length <= _MAX_VALUE:
            into.values[tag] = self.read(length)
        else:
            self.skip(vr, length, explicit=explicit, depth=depth)

    def _items(
        self, length: int, *, values: frozenset[int], sequences: frozenset[int], explicit: bool | None, depth: int
    ) -> list[DataSet]:
        """The items of a sequence, whose value comes next."""
        if depth > MAX_DEPTH:
            raise DamagedFile(f"sequences in each other, more than {MAX_DEPTH} deep")
        end = self._end_of(length)
        items: list[DataSet] = []
        while end is None or self.tell() < end:
            tag, _, size = self.element(explicit=explicit)
            if tag == _SEQUENCE_END and end is None:
                return items
            if tag != _ITEM:
                raise DamagedFile("a sequence that holds something else than items")
            item, item_end = DataSet({}, {}, self.order), self._end_of(size)
            while item_end is None or self.tell() < item_end:
                tag, vr, size = self.element(explicit=explicit)
                if tag == _ITEM_END and item_end is None:
                    break
                self.take(
                    item, tag, vr, size, values=values, sequences=sequences, explicit=explicit, depth=depth + 1
                )  # fmt: skip
            if item_end is not None and self.tell() != item_end:
                raise DamagedFile("an element that does not end within its item")
            items.append(item)
        if self.tell() != end:
            raise DamagedFile("an item that does not end within its sequence")
        return items

    def _end_of(self, length: int) -> int | None:
        """Where a value ends; None where a delimiter tells."""
        if length == UNDEFINED:
            return None
        if length > self.left():
            raise EOFError("the file ends within an element")
        return self.tell() + length

    def item(self) -> bytes | None:
        """The next item of compressed voxels; None at their end."""
        tag, _, length = self.element()
        if tag == _SEQUENCE_END:
            return None
        if tag != _ITEM or length == UNDEFINED:
            raise DamagedFile("compressed voxels that are no items")
        return self.read(length)

    def _length(self, form: str, size: int) -> int:
        return int(struct.unpack(f"{self.order}{form}", self.read(size))[0])
