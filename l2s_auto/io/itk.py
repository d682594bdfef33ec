"""The formats of ITK, NRRD and MetaImage, written in Python: a header of text, then voxels, in one file or in two.

Sheared axes are kept: these formats store one direction a voxel axis. They are read by `nrrd.py` and `metaimage.py`.
"""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from l2s_auto.io import metaimage, nrrd, ownership
from l2s_auto.io.atomic import atomic_path, unfinished
from l2s_auto.io.world import LPS_IN_MM, Frame

#: Bits of zlib's window: with the header of gzip, or of zlib.
_GZIP, _ZLIB = 31, 15
_NRRD_TYPES = {"i1": "int8", "u1": "uint8", "i2": "int16", "u2": "uint16", "i4": "int32", "u4": "uint32",
               "i8": "int64", "u8": "uint64", "f4": "float", "f8": "double"}  # fmt: skip
_MET_TYPES = {kind: name for name, kind in reversed(metaimage.TYPES.items())}
#: Letters of MetaImage for where an axis comes from, by the RAS axis and the sign of its direction.
_FROM = (("L", "R"), ("P", "A"), ("I", "S"))


@dataclass(frozen=True)
class _Described:
    """A volume as its header describes it: kind without byte order, sizes with X first, steps as columns, origin."""

    kind: str
    channels: int
    sizes: tuple[int, ...]
    columns: np.ndarray
    origin: np.ndarray
    frame: Frame
    letters: str


def write(path: Path, data: np.ndarray, affine: np.ndarray, *, frame: Frame = LPS_IN_MM) -> None:
    """Write (C, X, Y, Z) in its own type; the file appears whole or not at all.

    affine  voxel -> RAS+ mm
    frame   coordinates of the header: its space (NRRD) and its unit
    """
    columns, origin = frame.columns_and_origin(affine)
    sizes = data.shape[1:]
    described = _Described(data.dtype.str[1:], len(data), sizes, columns, origin, frame, _letters(affine))
    kind, raw = path.suffix.lower(), path.with_suffix(".raw").name
    if kind in (".mhd", ".nhdr"):
        _write_pair(path, (_nrrd if kind == ".nhdr" else _metaimage)(described, data_file=raw), data)
        return
    packed: list[bytes] = []  # MetaImage's header says how many bytes they are
    _write_packed(data, _GZIP if kind == ".nrrd" else _ZLIB, packed.append)
    length = sum(map(len, packed))
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        file.write(_nrrd(described) if kind == ".nrrd" else _metaimage(described, packed=length))
        file.writelines(packed)


def _nrrd(volume: _Described, *, data_file: str | None = None) -> bytes:
    several = volume.channels > 1
    vectors = " ".join(f"({','.join(map(_number, column))})" for column in volume.columns.T)
    lines = [
        "NRRD0004",
        "# Complete NRRD file format specification at:",
        "# http://teem.sourceforge.net/nrrd/format.html",
        f"type: {_NRRD_TYPES[volume.kind]}",
        f"dimension: {3 + several}",
        f"space: {volume.frame.space}",
        f"sizes: {' '.join(map(str, (*([volume.channels] if several else []), *volume.sizes)))}",
        f"space directions: {'none ' * several}{vectors}",
        f"kinds: {'vector ' * several}domain domain domain",
        "endian: little",
        f"encoding: {'gzip' if data_file is None else 'raw'}",
        f"space origin: ({','.join(map(_number, volume.origin))})",
        *([" ".join(["space units:", *[f'"{volume.frame.unit}"'] * 3])] if volume.frame.unit else []),
    ]
    return _encoded([*lines, "" if data_file is None else f"data file: {data_file}"])


def _metaimage(volume: _Described, *, data_file: str | None = None, packed: int = 0) -> bytes:
    edges = np.linalg.norm(volume.columns, axis=0)
    lines = [
        "ObjectType = Image",
        "NDims = 3",
        "BinaryData = True",
        "BinaryDataByteOrderMSB = False",
        f"CompressedData = {data_file is None}",
        *([f"CompressedDataSize = {packed}"] if data_file is None else []),
        f"TransformMatrix = {' '.join(map(_number, (volume.columns / edges).T.ravel()))}",
        f"Offset = {' '.join(map(_number, volume.origin))}",
        "CenterOfRotation = 0 0 0",
        f"AnatomicalOrientation = {volume.letters}",
        *([f"DistanceUnits = {volume.frame.unit}"] if volume.frame.unit else []),
        f"ElementSpacing = {' '.join(map(_number, edges))}",
        f"DimSize = {' '.join(map(str, volume.sizes))}",
        *([f"ElementNumberOfChannels = {volume.channels}"] if volume.channels > 1 else []),
        f"ElementType = {_MET_TYPES[volume.kind]}",
        f"ElementDataFile = {'LOCAL' if data_file is None else data_file}",
    ]
    return _encoded(lines)


def _number(value: float) -> str:
    """All digits; ITK reads no -0 and prints none."""
    return repr(float(value) + 0.0)


def _letters(affine: np.ndarray) -> str:
    """Where each axis comes from, as MetaImage writes it: RAI for axes that run to left, posterior and superior."""
    axes = np.abs(affine[:3, :3]).argmax(axis=0)
    return "".join(_FROM[axis][int(affine[axis, k] < 0)] for k, axis in enumerate(axes))


def _encoded(lines: list[str]) -> bytes:
    """UTF-8, and the bytes of a file's name as they are."""
    return ("\n".join(lines) + "\n").encode("utf-8", errors="surrogateescape")


def _pieces(data: np.ndarray) -> Iterator[bytes]:
    """The bytes of (C, X, Y, Z) voxels, little-endian, channels fastest, then X: a plane at a time."""
    little = data.dtype.newbyteorder("<")
    for plane in np.moveaxis(data, 3, 0):
        yield np.ascontiguousarray(plane.T, dtype=little).tobytes()


def _write_packed(data: np.ndarray, bits: int, write: Callable[[bytes], object]) -> None:
    codec = zlib.compressobj(wbits=bits)
    for piece in _pieces(data):
        write(codec.compress(piece))
    write(codec.flush())


def _write_pair(path: Path, header: bytes, data: np.ndarray) -> None:
    """A header names its .raw inside, so both are written under their own names elsewhere, then moved, header last."""
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = path.with_suffix(".raw")
    for target in (path, raw):
        ownership.check(target)
    folder = Path(tempfile.mkdtemp(prefix=unfinished(), dir=path.parent))
    try:
        with open(folder / raw.name, "wb") as file:
            file.writelines(_pieces(data))
        (folder / path.name).write_bytes(header)
        for target in (raw, path):
            ownership.replace(folder / target.name, target)
    finally:
        ownership.discard(folder)


def frame_of(path: Path) -> Frame:
    """The coordinates of the header of an NRRD or MetaImage file."""
    reader = nrrd if path.suffix.lower() in (".nrrd", ".nhdr") else metaimage
    return reader.read_header(path).frame
