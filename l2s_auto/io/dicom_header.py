"""The elements of a DICOM file that say how many voxels there are, and whether the file holds them all.

DICOM has no checksums, and GDCM fills up with zeros what is missing. So lengths are compared here: PS3.5 of the
standard, chapters 7 and 8 and annex A. https://dicom.nema.org/medical/dicom/current/output/html/part05.html
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Collection
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
_UNDEFINED = 0xFFFFFFFF
MAX_DEPTH, MAX_ELEMENTS, MAX_INFLATED = 32, 1_000_000, 1 << 30
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


def read_size(path: Path) -> DicomSize:
    """The size of a file that holds all voxels that it says, and whose elements all end within it.

    Raises DamagedFile, EOFError or OSError for another: GDCM would reserve gigabytes for an element that says so.
    """
    with open(path, "rb") as file:
        walker = _start(file)
        values: dict[int, bytes] = {}
        pixels: tuple[int, list[int], bytes] | None = None
        while walker.left():
            tag, vr, length = walker.element()
            if tag == _PIXELS:
                pixels = _pass_pixels(walker, length)
            elif tag in (_SAMPLES, _FRAMES, _ROWS, _COLUMNS, _BITS) and pixels is None:
                values[tag] = walker.read(length, most=64)
            else:
                walker.skip(vr, length)
    if pixels is None:
        raise DamagedFile("no voxels")
    size = _size(values, "<" if walker.little else ">")
    _check_pixels(size, walker.syntax, *pixels)
    return size


def _pass_pixels(walker: _Walker, length: int) -> tuple[int, list[int], bytes]:
    """(bytes that are not compressed, or -1, bytes of each compressed fragment, the last bytes of the last one)"""
    if length != _UNDEFINED:
        if walker.left() < length:
            raise EOFError(f"{walker.left()} of {length} bytes of voxels")
        walker.skip(b"", length)
        return length, [], b""
    walker.item()  # the table of offsets
    fragments, last = [], b""
    while (fragment := walker.item()) is not None:
        fragments.append(len(fragment))
        last = fragment[-64:]
    return -1, fragments, last


def _check_pixels(size: DicomSize, syntax: str, length: int, fragments: list[int], last: bytes) -> None:
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
        self._order, self._count = "<" if little else ">", 0
        at = file.tell()
        self._end = file.seek(0, io.SEEK_END)
        file.seek(at)

    def left(self) -> int:
        return self._end - self._file.tell()

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
        group, number = struct.unpack(f"{self._order}HH", self.read(4))
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

    def item(self) -> bytes | None:
        """The next item of compressed voxels; None at their end."""
        tag, _, length = self.element()
        if tag == _SEQUENCE_END:
            return None
        if tag != _ITEM or length == _UNDEFINED:
            raise DamagedFile("compressed voxels that are no items")
        return self.read(length)

    def _length(self, form: str, size: int) -> int:
        return int(struct.unpack(f"{self._order}{form}", self.read(size))[0])


def read_texts(path: Path, tags: Collection[int], *, most: int = 256) -> dict[int, str]:
    """Text of elements that stand before the voxels, for a list of what was found; what cannot be read is left out.

    tags  group and number, such as 0x0020000E (SeriesInstanceUID); sequences are passed over
    """
    found: dict[int, str] = {}
    try:
        with open(path, "rb") as file:
            walker = _start(file)
            while walker.left() and len(found) < len(tags):
                tag, vr, length = walker.element()
                if tag >= _PIXELS or tag > max(tags):
                    break
                if tag in tags and length <= most:
                    found[tag] = walker.read(length).decode("latin-1").strip(" \0")
                else:
                    walker.skip(vr, length)
    except (DamagedFile, EOFError, OSError, struct.error, zlib.error):
        pass
    return found
