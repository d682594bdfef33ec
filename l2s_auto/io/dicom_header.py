"""How many voxels a DICOM file has by its elements, and whether it holds them all.

DICOM has no checksums, and GDCM fills up with zeros what is missing. So lengths are compared here: PS3.5 of the
standard, chapters 7 and 8 and annex A. https://dicom.nema.org/medical/dicom/current/output/html/part05.html
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from l2s_auto.io.dicom_elements import UNDEFINED, DataSet, Walker, start
from l2s_auto.io.gunzip import DamagedFile

_JPEG = "1.2.840.10008.1.2.4."
_PIXELS, _SAMPLES, _FRAMES, _ROWS, _COLUMNS, _BITS = (
    0x7FE00010, 0x00280002, 0x00280008, 0x00280010, 0x00280011, 0x00280100,
)  # fmt: skip
_SIZES = frozenset((_SAMPLES, _FRAMES, _ROWS, _COLUMNS, _BITS))
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
        walker = start(file)
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
        return start(file).bytes_at(pixels.start, pixels.end - pixels.start)


def _pass_pixels(walker: Walker, vr: bytes, length: int) -> Pixels:
    begin = walker.tell()
    if length != UNDEFINED:
        if walker.left() < length:
            raise EOFError(f"{walker.left()} of {length} bytes of voxels")
        walker.skip(b"", length)
        return Pixels(begin, length, walker.tell(), vr=vr)
    walker.item()  # the table of offsets
    fragments, last = [], b""
    while (fragment := walker.item()) is not None:
        fragments.append(len(fragment))
        last = fragment[-64:]
    return Pixels(begin, -1, walker.tell(), tuple(fragments), last, vr)


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
