"""FreeSurfer's .mgh, and .mgz, the same compressed. Lengths are mm, the world is the scanner's RAS+.

https://surfer.nmr.mgh.harvard.edu/fswiki/FsTutorial/MghFormat. The affine agrees with nibabel's, which tests compare.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from l2s_auto.io.geometry import corner_offset
from l2s_auto.io.gunzip import DamagedFile
from l2s_auto.io.notes import NO_ORIENTATION
from l2s_auto.io.stored import StoredArray, is_packed, of_wrong_name, read_start
from l2s_auto.io.text_header import MAX_EDGE, MAX_LENGTH
from l2s_auto.io.world import Header

TYPES = {0: "u1", 1: "i4", 3: "f4", 4: "i2", 10: "u2"}
_CODES = {np.dtype(kind): code for code, kind in TYPES.items() if code != 10}  # older programs do not know 10
_START, _FIELDS = 284, ">7ih15f"
#: Bytes of acquisition parameters, transforms and the history of commands that may follow the voxels.
_MOST_TAGS = 1 << 26
#: Used where goodRASFlag is 0: 1 mm, coronal slices from front to back, the centre at 0.
_DEFAULT = (1, 1, 1, -1, 0, 0, 0, 0, -1, 0, 1, 0, 0, 0, 0)
_ASSUMED = (
    f"{NO_ORIENTATION} and no voxel size (goodRASFlag is 0). Assumed: voxels of 1 x 1 x 1 mm, x runs from right to "
    "left, y from superior to inferior, z from posterior to anterior, as FreeSurfer does. Check left and right."
)
#: Bits of zlib's window, with the header of gzip.
_GZIP = 31
#: Of a voxel's edge: how far corners may lie apart for two affines to be the same.
_SAME_GRID = 0.01


@dataclass(frozen=True)
class _Fields:
    """What is used of a header: (X, Y, Z, frames), the type's code, and edges, directions and centre as 15 numbers."""

    shape: tuple[int, int, int, int]
    kind: int
    good: bool
    numbers: tuple[float, ...]

    @property
    def affine(self) -> np.ndarray:
        """(4, 4) voxel -> RAS+ mm"""
        numbers = self.numbers if self.good else _DEFAULT
        affine = np.eye(4)
        affine[:3, :3] = np.reshape(numbers[3:12], (3, 3)).T * numbers[:3]
        affine[:3, 3] = numbers[12:] - affine[:3, :3] @ (np.array(self.shape[:3]) / 2)
        return affine


def read_header(path: Path) -> Header:
    """What a header says, with the place of the voxels. Raises DamagedFile, EOFError or OSError."""
    packed = is_packed(path)
    fields = _fields(read_start(path, _START, packed=packed))
    notes = of_wrong_name(path, packed=packed, plain=".mgh", compressed=".mgz")
    dtype = np.dtype(TYPES[fields.kind]).newbyteorder(">")
    shape = (1, *fields.shape)
    if packed:
        stored = StoredArray(path, shape, dtype, 0, "gzip", skip=_START, more=_MOST_TAGS, foreign=True)
    else:
        stored = StoredArray(path, shape, dtype, _START, more=_MOST_TAGS)
    return Header(stored, fields.affine, notes=(*notes, *(() if fields.good else (_ASSUMED,))))


def _fields(block: bytes) -> _Fields:
    if len(block) < _START:
        raise DamagedFile(f"{len(block)} bytes, fewer than a header has")
    version, x, y, z, frames, kind, _, good, *numbers = struct.unpack_from(_FIELDS, block)
    if version != 1:
        raise DamagedFile(f"a file of version {version}, but expected the 1 of FreeSurfer's volumes")
    if kind not in TYPES:
        raise DamagedFile(f"voxels of type {kind}, but expected one of {', '.join(map(str, TYPES))}")
    shape = (x, y, z, max(frames, 1))
    if not all(1 <= n <= MAX_EDGE for n in shape):
        raise DamagedFile(f"a shape of {shape}, but expected extents from 1 to {MAX_EDGE}")
    if good > 0 and not (np.isfinite(numbers).all() and np.abs(numbers).max() <= MAX_LENGTH):
        raise DamagedFile(f"a geometry with numbers that are not finite, or beyond {MAX_LENGTH:g}")
    return _Fields(shape, kind, good > 0, tuple(numbers))


def write(path: Path, data: np.ndarray, affine: np.ndarray, *, like: Path | None) -> None:
    """Write (C, X, Y, Z); the geometry is that of the .mgh or .mgz `like` to the last bit where affines agree.

    Types that the format does not have become 32-bit integers.
    """
    if data.dtype not in _CODES:
        data = data.astype(np.int32)
    source = None if like is None else _fields(read_start(like, _START, packed=is_packed(like)))
    good, numbers = True, _numbers(affine, data.shape[1:])
    if source is not None and source.shape[:3] == data.shape[1:]:
        smallest = float(np.linalg.norm(affine[:3, :3], axis=0).min())
        if corner_offset(source.shape[:3], source.affine, affine)[0] <= _SAME_GRID * smallest:
            good, numbers = source.good, source.numbers
    shape = (*data.shape[1:], len(data))
    header = struct.pack(_FIELDS, 1, *shape, _CODES[data.dtype], 0, int(good), *numbers)
    codec = zlib.compressobj(wbits=_GZIP) if path.name.lower().endswith(".mgz") else None
    with open(path, "wb") as file:
        for piece in _pieces(header.ljust(_START, b"\0"), data):
            file.write(piece if codec is None else codec.compress(piece))
        if codec is not None:
            file.write(codec.flush())


def _pieces(header: bytes, data: np.ndarray) -> Iterator[bytes]:
    """The bytes of a file; voxels are big-endian, X fastest."""
    yield header
    big = data.dtype.newbyteorder(">")
    for channel in data:
        for plane in np.moveaxis(channel, 2, 0):
            yield np.ascontiguousarray(plane.T, dtype=big).tobytes()


def _numbers(affine: np.ndarray, shape: tuple[int, ...]) -> tuple[float, ...]:
    edges = np.linalg.norm(affine[:3, :3], axis=0)
    centre = affine[:3, :3] @ (np.array(shape) / 2) + affine[:3, 3]
    return (*edges, *(affine[:3, :3] / edges).T.ravel(), *centre)
