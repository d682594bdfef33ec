"""NRRD headers: parsed here, within limits, so that no damaged file reaches a library in C++.

https://teem.sourceforge.net/nrrd/format.html. What is read agrees with SimpleITK, which tests compare.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from l2s_auto.io.gunzip import DamagedFile
from l2s_auto.io.nrrd_space import place
from l2s_auto.io.stored import Packing, StoredArray
from l2s_auto.io.text_header import Lines, beside, choice, integers, shown
from l2s_auto.io.world import Header

_MAGIC = re.compile(r"NRRD000[1-6]")
_INTS = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": ("longlong", "long long", "long long int", "signed long long", "signed long long int", "int64", "int64_t"),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
}
TYPES = {name: kind for kind, names in _INTS.items() for name in names} | {"float": "f4", "double": "f8"}
_ENCODINGS: dict[str, Packing] = {
    "raw": "raw", "gzip": "gzip", "gz": "gzip", "text": "text", "txt": "text", "ascii": "text",
    "hex": "hex",
}  # fmt: skip
_DOMAIN = ("", "domain", "space", "time", "???", "none")
_CHANNEL_KINDS = {
    "list": 0, "vector": 0, "point": 0, "covariant-vector": 0, "normal": 0, "stub": 1, "scalar": 1, "2-vector": 2,
    "3-color": 3, "rgb-color": 3, "hsv-color": 3, "xyz-color": 3, "3-vector": 3, "3-normal": 3, "4-color": 4,
    "rgba-color": 4, "4-vector": 4, "quaternion": 4,
}  # fmt: skip
_PLAIN = {
    "content", "number", "sample units", "min", "max", "old min", "old max", "axis maxs", "thicknesses", "labels",
    "measurement frame",
}  # fmt: skip
_USED = {
    "type", "dimension", "sizes", "encoding", "endian", "line skip", "byte skip", "data file", "spacings", "axis mins",
    "centerings", "kinds", "space", "space dimension", "space directions", "space origin", "units", "space units",
}  # fmt: skip
_NAMES = {form: name for name in _PLAIN | _USED for form in (name, name.replace(" ", ""))} | {"centers": "centerings"}
#: Fields that come after the one that says how many numbers they have.
_NEED_DIMENSION = {
    "sizes",
    "spacings",
    "axis mins",
    "axis maxs",
    "thicknesses",
    "centerings",
    "units",
    "labels",
    "kinds",
}
_NEED_SPACE = {"space directions", "space origin", "space units", "measurement frame"}


def read_header(path: Path) -> Header:
    """What a header says, with the place of the voxels. Raises DamagedFile or OSError."""
    with open(path, "rb") as file:
        fields, ended = _fields(Lines(file))
        if not ended and "data file" not in fields:
            raise DamagedFile("a header that does not end with an empty line")
        stored = _stored(path, file, fields)
    kinds = _kinds(fields, len(stored.shape))
    channel_axes = [axis for axis, kind in enumerate(kinds) if kind not in _DOMAIN]
    domain = [axis for axis in range(len(kinds)) if axis not in channel_axes]
    if len(channel_axes) > 1 or not 2 <= len(domain) <= 4:
        raise DamagedFile(f"{len(domain)} axes of space or time and {len(channel_axes)} of channels")
    affine, frame, notes = place(fields, len(kinds), domain)
    if channel_axes:
        return Header(stored, affine, channel_axes[0], notes, frame)
    return Header(replace(stored, shape=(1, *stored.shape)), affine, notes=notes, frame=frame)


def _fields(lines: Lines) -> tuple[dict[str, str], bool]:
    """Fields by their full names, and whether an empty line ends them; comments and key:=value are passed over."""
    magic = lines.next()
    if not _MAGIC.fullmatch(magic):
        raise DamagedFile(f"a file that begins with {shown(magic)}, but expected NRRD0004 or the like")
    fields: dict[str, str] = {}
    while line := lines.next_or_end():
        if line.startswith("#"):
            continue
        name, sign, value = line.partition(":")
        if not sign:
            raise DamagedFile(f"the header line {shown(line)}, but expected FIELD: VALUE")
        if value.startswith("=") or ":=" in name:
            continue
        known = _NAMES.get(name.lower())
        if known is None:
            raise DamagedFile(f"the unknown field {shown(name)}")
        if known in fields:
            raise DamagedFile(f"the field {known} twice")
        if known in _NEED_DIMENSION | _NEED_SPACE and "dimension" not in fields:
            raise DamagedFile(f"the field {known} before the field dimension")
        if known in _NEED_SPACE and not {"space", "space dimension"} & set(fields):
            raise DamagedFile(f"the field {known} before the space")
        fields[known] = value.strip()
    return fields, line == ""


def _required(fields: dict[str, str], name: str) -> str:
    if name not in fields:
        raise DamagedFile(f"a header without the field {name}")
    return fields[name]


def _stored(path: Path, file: BinaryIO, fields: dict[str, str]) -> StoredArray:
    (axes,) = integers(_required(fields, "dimension"), "dimension", least=2, most=5)
    shape = integers(_required(fields, "sizes"), "sizes", count=axes)
    dtype = np.dtype(choice(_required(fields, "type"), "type", TYPES))
    packing = _ENCODINGS.get(_required(fields, "encoding").lower())
    if packing is None:
        raise DamagedFile(f"encoding: {shown(fields['encoding'])}, but expected raw, gzip, text or hex")
    if dtype.itemsize > 1 and packing != "text":
        big = choice(_required(fields, "endian"), "endian", {"little": "", "big": "yes"})
        dtype = dtype.newbyteorder(">" if big else "<")
    (lines,) = integers(fields.get("line skip", "0"), "line skip", least=0, most=1000)
    (skip,) = integers(fields.get("byte skip", "0"), "byte skip", least=-1, most=1 << 48)
    data, offset = path, file.tell()
    if "data file" in fields:
        data, offset = beside(path, fields["data file"]), 0
    if lines:
        offset = _after_lines(data, offset, lines)
    stored = StoredArray(data, shape, dtype, offset, packing, skip=max(0, skip))
    if packing in ("text", "hex") and skip:
        raise DamagedFile(f"byte skip: {skip}, but expected 0 for text")
    if skip >= 0:
        return stored
    at = data.stat().st_size - stored.nbytes
    if packing != "raw" or at < offset:
        raise DamagedFile("byte skip: -1, but expected as many raw bytes as the header says")
    return StoredArray(data, shape, dtype, at)


def _after_lines(path: Path, offset: int, count: int) -> int:
    with open(path, "rb") as file:
        file.seek(offset)
        lines = Lines(file)
        for _ in range(count):
            lines.next()
        return file.tell()


def _kinds(fields: dict[str, str], axes: int) -> list[str]:
    kinds = fields.get("kinds", "??? " * axes).lower().split()
    if len(kinds) != axes:
        raise DamagedFile(f"kinds: {shown(fields['kinds'])}, but expected {axes}")
    sizes = fields["sizes"].split()
    for kind, size in zip(kinds, sizes, strict=True):
        if kind not in _DOMAIN and _CHANNEL_KINDS.get(kind, -1) not in (0, int(size)):
            raise DamagedFile(f"an axis of kind {shown(kind)} and size {size}, but expected space, time or channels")
    return kinds
