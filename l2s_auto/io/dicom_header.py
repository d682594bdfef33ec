"""The elements of a DICOM file, how many voxels there are, and whether the file holds them all.

DICOM has no checksums, and GDCM fills up with zeros what is missing. So lengths are compared here: PS3.5 of the
standard, chapters 7 and 8 and annex A. https://dicom.nema.org/medical/dicom/current/output/html/part05.html
"""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from l2s_auto.io.gunzip import DamagedFile

DEFLATED, BIG_ENDIAN, IMPLICIT, RLE = (f"1.2.840.10008.1.2{end}" for end in (".1.99", ".2", "", ".5"))
_JPEG = "1.2.840.10008.1.2.4."
_LONG = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
_ITEM, _ITEM_END, _SEQUENCE_END, _PIXELS = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD, 0x7FE00010
_SYNTAX, _SAMPLES, _FRAMES, _ROWS, _COLUMNS, _BITS = (
    0x00020010, 0x00280002, 0x00280008, 0x00280010, 0x00280011, 0x00280100,
)  # fmt: skip
_SIZES = frozenset((_SAMPLES, _FRAMES, _ROWS, _COLUMNS, _BITS))
_UNDEFINED = 0xFFFFFFFF
MAX_DEPTH, MAX_ELEMENTS, MAX_INFLATED = 32, 1_000_000, 1 << 30
#: Bytes of a value that is looked at, far above what is met.
_MAX_VALUE = 1 << 17
#: Bytes of voxels that JPEG can make of one, far above what is met.
_MAX_RATIO = 10_000


@dataclass(frozen=True)
class DicomSize:
    """What a file says of its voxels."""

    rows: int
    columns: int
    frames: int
    samples: int
    bits: int

    @property
    def nbytes(self) -> int:
        return -(-self.rows * self.columns * self.frames * self.samples * self.bits // 8)


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


@dataclass(frozen=True)
class Pixels:
    """Where the voxels of a file are in its (inflated) stream.

    start      of the first voxel, or of the items that hold compressed voxels
    length     bytes that are not compressed, or -1
    end        the byte after them
    fragments  bytes of each compressed fragment
    last       the last bytes of the last fragment
    vr         type of value; empty where elements do not say it
    """

    start: int
    length: int
    end: int
    fragments: tuple[int, ...] = ()
    last: bytes = b""
    vr: bytes = b""


@dataclass(frozen=True)
class Elements:
    """What a file says; pixels is None where it holds no voxels."""

    data: DataSet
    pixels: Pixels | None
    syntax: str

    def size(self) -> DicomSize:
        """The size of the voxels. DamagedFile or EOFError unless the file holds all of them."""
        if self.pixels is None:
            raise DamagedFile("no voxels")
        size = _size(self.data.values, self.data.order)
        _check_pixels(size, self.syntax, self.pixels)
        return size


def read_size(path: Path) -> DicomSize:
    """The size of a file that holds all voxels that it says, and whose elements all end within it.

    Raises DamagedFile, EOFError or OSError for another: GDCM would reserve gigabytes for an element that says so.
    """
    return read_elements(path, values=frozenset(), sequences=frozenset()).size()


def read_elements(
    path: Path, *, values: frozenset[int], sequences: frozenset[int], until: int | None = None
) -> Elements:
    """The elements of a file with these tags, those of its size always, within these sequences too.

    until  a tag: those from there on are not looked at, and no voxels are found
    Raises DamagedFile, EOFError or OSError unless all elements end within the file.
    """
    with open(path, "rb") as file:
        walker = _start(file)
        data, pixels = DataSet({}, {}, walker.order), None
        while walker.left():
            tag, vr, length = walker.element()
            if until is not None and tag >= until:
                break
            if tag == _PIXELS:
                if pixels is not None:
                    raise DamagedFile("voxels twice")
                pixels = _pass_pixels(walker, vr, length)
            elif tag in _SIZES and pixels is None:
                data.values[tag] = walker.read(length, most=64)
            else:
                walker.take(data, tag, vr, length, values=values, sequences=sequences)
    return Elements(data, pixels, walker.syntax)


def read_bytes(path: Path, pixels: Pixels) -> bytes:
    """The bytes of the voxels, or of the items that hold them compressed."""
    with open(path, "rb") as file:
        return _start(file).bytes_at(pixels.start, pixels.end - pixels.start)


def _pass_pixels(walker: _Walker, vr: bytes, length: int) -> Pixels:
    start = walker.tell()
    if length != _UNDEFINED:
        if walker.left() < length:
            raise EOFError(f"{walker.left()} of {length} bytes of voxels")
        walker.skip(b"", length)
        return Pixels(start, length, walker.tell(), vr=vr)
    walker.item()  # the table of offsets
    fragments, last = [], b""
    while (fragment := walker.item()) is not None:
        fragments.append(len(fragment))
        last = fragment[-64:]
    return Pixels(start, -1, walker.tell(), tuple(fragments), last, vr)


def _check_pixels(size: DicomSize, syntax: str, pixels: Pixels) -> None:
    length, fragments, last = pixels.length, pixels.fragments, pixels.last
    if length >= 0:
        if length not in (size.nbytes, size.nbytes + size.nbytes % 2):
            raise DamagedFile(f"{length} bytes of voxels, but its header says {size.nbytes}")
        return
    if len(fragments) < size.frames:
        raise DamagedFile(f"{len(fragments)} compressed frames, but its header says {size.frames}")
    if size.nbytes > _MAX_RATIO * sum(fragments):
        raise DamagedFile(f"{sum(fragments)} bytes of compressed voxels, too few for the {size.nbytes} of its header")
    if syntax.startswith(_JPEG) and b"\xff\xd9" not in last:
        raise EOFError("compressed voxels end too early")


def _size(values: dict[int, bytes], order: str) -> DicomSize:
    def number(tag: int) -> int:
        value = values.get(tag, b"")
        if len(value) != 2:
            raise DamagedFile(f"the element ({tag >> 16:04X},{tag & 0xFFFF:04X}) of {len(value)} bytes, but expected 2")
        return int(struct.unpack(f"{order}H", value)[0])

    frames = values.get(_FRAMES, b"1").strip(b" \0") or b"1"
    if not frames.isdigit() or not 1 <= len(frames) <= 7 or int(frames) < 1:
        raise DamagedFile("a number of frames that is none")
    samples = number(_SAMPLES) if _SAMPLES in values else 1
    size = DicomSize(number(_ROWS), number(_COLUMNS), int(frames), samples, number(_BITS))
    if 0 in (size.rows, size.columns, size.samples) or size.bits not in (1, 8, 12, 16, 32, 64):
        raise DamagedFile(f"{size.rows} rows, {size.columns} columns, {size.samples} samples of {size.bits} bits")
    return size


def _start(file: BinaryIO) -> _Walker:
    """A walker at the first element after the group of the file's own description."""
    preamble = file.read(132)
    if preamble[128:] != b"DICM":  # as older software writes: a data set alone
        file.seek(0)
        return _without_syntax(file)
    walker = _Walker(file, explicit=True, syntax="")
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
    return _Walker(file, explicit=syntax != IMPLICIT, little=syntax != BIG_ENDIAN, syntax=syntax)


def _without_syntax(file: BinaryIO) -> _Walker:
    """A walker through elements of which no syntax is given: the first one shows it."""
    kind = file.peek(6)[4:6]  # type: ignore[attr-defined]
    return _Walker(file, explicit=kind.isalpha() and kind.isupper(), syntax="")


class _Walker:
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

    def read(self, count: int, *, most: int = _UNDEFINED) -> bytes:
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
        if length != _UNDEFINED:
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
            if size != _UNDEFINED:
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
        if length == _UNDEFINED:
            return None
        if length > self.left():
            raise EOFError("the file ends within an element")
        return self.tell() + length

    def item(self) -> bytes | None:
        """The next item of compressed voxels; None at their end."""
        tag, _, length = self.element()
        if tag == _SEQUENCE_END:
            return None
        if tag != _ITEM or length == _UNDEFINED:
            raise DamagedFile("compressed voxels that are no items")
        return self.read(length)

    def _length(self, form: str, size: int) -> int:
        return int(struct.unpack(f"{self.order}{form}", self.read(size))[0])
