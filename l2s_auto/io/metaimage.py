"""MetaImage headers (.mha, .mhd): parsed here, within limits, so that no damaged file reaches a library in C++.

https://itk.org/Wiki/ITK/MetaIO/Documentation. What is read agrees with SimpleITK, which tests compare; what it guesses
(a field that is there twice, surplus numbers, patterns and lists of files) is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from l2s_auto.io import units
from l2s_auto.io.gunzip import DamagedFile
from l2s_auto.io.notes import NO_ORIENTATION
from l2s_auto.io.stored import StoredArray
from l2s_auto.io.text_header import Lines, beside, choice, finite, integers, numbers, shown
from l2s_auto.io.world import AS_ITK, FLAT, LPS_IN_MM, NO_SPACING, Frame, Header, lps_affine

TYPES = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4", "MET_UINT": "u4",
    "MET_LONG": "i4", "MET_ULONG": "u4", "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8", "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}  # fmt: skip
_LINE = re.compile(r"\s*(?P<name>[^=:\s][^=:]*?)\s*[=:]\s*(?P<value>[^=:\s].*|)", re.DOTALL)
_BOOL = {"true": "yes", "t": "yes", "1": "yes", "false": "", "f": "", "0": ""}
#: Fields that say the same, of which a header may have one.
_SAME = (
    ("Offset", "Position", "Origin"),
    ("TransformMatrix", "Rotation", "Orientation"),
    ("BinaryDataByteOrderMSB", "ElementByteOrderMSB"),
)
_USED = {
    "ObjectType", "NDims", "DimSize", "ElementType", "ElementNumberOfChannels", "BinaryData", "CompressedData",
    "CompressedDataSize", "HeaderSize", "ElementSpacing", "ElementSize", "DistanceUnits",
    *(name for names in _SAME for name in names),
}  # fmt: skip


def read_header(path: Path) -> Header:
    """What a header says, with the place of the voxels. Raises DamagedFile or OSError."""
    with open(path, "rb") as file:
        fields = dict(_fields(Lines(file, open_end=True)))
        end = file.tell()
    if fields.get("ObjectType", "Image") != "Image":
        raise DamagedFile(f"ObjectType: {shown(fields['ObjectType'])}, but expected Image")
    for names in _SAME:
        if len(found := [name for name in names if name in fields]) > 1:
            raise DamagedFile(f"{' and '.join(found)}, of which one is expected")
    (axes,) = integers(_required(fields, "NDims"), "NDims", least=2, most=4)
    size = integers(_required(fields, "DimSize"), "DimSize", count=axes)
    (channels,) = integers(fields.get("ElementNumberOfChannels", "1"), "ElementNumberOfChannels", most=1 << 16)
    frame = _frame(fields)
    affine = _affine(fields, axes, frame.factor)
    return Header(
        stored=_stored(path, fields, (channels, *size), end),
        affine=affine,
        notes=_notes(fields, axes, affine, frame),
        frame=frame,
    )


def _frame(fields: dict[str, str]) -> Frame:
    """Its unit is the millimetre unless the header gives another one."""
    unit = fields.get("DistanceUnits", "")
    if units.is_none(unit):
        return LPS_IN_MM
    factor = units.millimetres(unit)
    if factor is None:
        raise DamagedFile(f"DistanceUnits: {shown(unit)}, but expected mm, cm, m, um or nm")
    return Frame(unit=units.readable(unit), factor=factor)


def _notes(fields: dict[str, str], axes: int, affine: np.ndarray, frame: Frame) -> tuple[str, ...]:
    notes = []
    if not set(_SAME[1]) & set(fields):
        notes.append(f"{NO_ORIENTATION} (TransformMatrix). {AS_ITK}")
        letters = fields.get("AnatomicalOrientation", "").upper()
        if letters not in ("RAI", "") and re.fullmatch("[LRAPIS]{3}", letters):  # RAI: what was assumed
            notes.append(f"The header's AnatomicalOrientation, {letters}, was not used, as in ITK.")
    if not {"ElementSpacing", "ElementSize"} & set(fields):
        notes.append(NO_SPACING)
    if axes == 2:
        notes.append(FLAT)
    if frame.unit:
        notes += units.doubts(np.linalg.norm(affine[:3, :axes], axis=0).tolist(), frame.factor)
    return tuple(notes)


def _fields(lines: Lines) -> Iterator[tuple[str, str]]:
    """Fields up to ElementDataFile, which is the last."""
    known = set()
    while True:
        line = lines.next()
        if (parts := _LINE.fullmatch(line)) is None:
            raise DamagedFile(f"the header line {shown(line)}, but expected NAME = VALUE")
        name, value = parts["name"], parts["value"]
        if name in known and (name in _USED or name == "ElementDataFile"):
            raise DamagedFile(f"the field {name} twice")
        known.add(name)
        yield name, value
        if name == "ElementDataFile":
            return


def _required(fields: dict[str, str], name: str) -> str:
    if name not in fields:
        raise DamagedFile(f"a header without the field {name}")
    return fields[name]


def _is_set(fields: dict[str, str], *names: str, default: bool = False) -> bool:
    value = next((fields[name] for name in names if name in fields), None)
    return default if value is None else bool(choice(value, names[0], _BOOL))


def _stored(path: Path, fields: dict[str, str], shape: tuple[int, ...], end: int) -> StoredArray:
    kind = _required(fields, "ElementType").removesuffix("_ARRAY")
    if kind not in TYPES:
        raise DamagedFile(f"ElementType: {shown(kind)}, but expected one of {', '.join(TYPES)}")
    big = _is_set(fields, "BinaryDataByteOrderMSB", "ElementByteOrderMSB")
    dtype = np.dtype(TYPES[kind]).newbyteorder(">" if big else "<")
    name = fields["ElementDataFile"]
    local = name.lower() == "local"
    data, offset = (path, end) if local else (beside(path, name), 0)
    if not _is_set(fields, "BinaryData", default=True):
        raise DamagedFile("voxels as text (BinaryData = False), but expected binary data")
    packed = _is_set(fields, "CompressedData")
    if packed and "CompressedDataSize" in fields:
        (length,) = integers(fields["CompressedDataSize"], "CompressedDataSize", most=1 << 48)
    else:
        length = None
    plain = StoredArray(data, shape, dtype, offset, "zlib" if packed else "raw", length=length)
    (skip,) = integers(fields.get("HeaderSize", "0"), "HeaderSize", least=-1, most=1 << 48)
    if skip == 0:
        return plain
    if packed or (local and skip > 0):
        raise DamagedFile(f"HeaderSize: {skip}, but expected 0")
    at = data.stat().st_size - plain.nbytes if skip < 0 else skip
    if at < offset:
        raise DamagedFile(f"fewer than the {plain.nbytes} bytes of voxels that the header says")
    return StoredArray(data, shape, dtype, at)


def _affine(fields: dict[str, str], axes: int, factor: float) -> np.ndarray:
    spacing = finite(numbers(fields.get("ElementSpacing", fields.get("ElementSize", "1 " * axes)), "ElementSpacing",
                             count=axes), "ElementSpacing")  # fmt: skip
    origin = next((fields[name] for name in _SAME[0] if name in fields), "0 " * axes)
    matrix = next((fields[name] for name in _SAME[1] if name in fields), None)
    directions = np.eye(axes)
    if matrix is not None:
        rows = finite(numbers(matrix, "TransformMatrix", count=axes * axes), "TransformMatrix")
        directions = np.reshape(rows, (axes, axes)).T
    place = np.array(finite(numbers(origin, "Offset", count=axes), "Offset"))
    return lps_affine(directions * spacing * factor, place * factor)
