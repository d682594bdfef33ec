"""Run-length encoded DICOM voxels (PS3.5 of the standard, annex G), for those that GDCM does not decode.

It refuses single frames with an odd number of pixels, such as slices of 181 x 217.
"""

from __future__ import annotations

import struct

import numpy as np

from l2s_auto.io.gunzip import DamagedFile

_HEADER = 64


def decode_rle(items: bytes, *, frames: int, pixels: int, dtype: np.dtype) -> np.ndarray:
    """(frames * pixels,) voxels from the items of an element with compressed voxels, one item a frame.

    Raises DamagedFile where they are not exactly as many.
    """
    packed = _fragments(items)[1:]  # the first one is the table of offsets
    if len(packed) != frames:
        raise DamagedFile(f"{len(packed)} compressed frames, but its header says {frames}")
    return np.concatenate([_frame(one, pixels, dtype) for one in packed])


def _fragments(items: bytes) -> list[bytes]:
    found, at = [], 0
    while at + 8 <= len(items):
        group, element, length = struct.unpack_from("<HHI", items, at)
        if (group, element) != (0xFFFE, 0xE000):
            break
        found.append(items[at + 8 : at + 8 + length])
        at += 8 + length
    return found


def _frame(packed: bytes, pixels: int, dtype: np.dtype) -> np.ndarray:
    if len(packed) < _HEADER:
        raise DamagedFile("a run-length encoded frame without its header")
    count, *offsets = struct.unpack_from("<16I", packed)
    if count != dtype.itemsize:
        raise DamagedFile(f"{count} run-length encoded segments, but expected {dtype.itemsize}")
    ends = [*offsets[1:count], len(packed)]
    planes = [_unpack(packed[start:end], pixels) for start, end in zip(offsets[:count], ends, strict=True)]
    big = np.stack([np.frombuffer(plane, np.uint8) for plane in planes], axis=1)  # the highest byte comes first
    return np.ascontiguousarray(big).view(dtype.newbyteorder(">")).ravel().astype(dtype)


def _unpack(segment: bytes, count: int) -> bytes:
    found, at = bytearray(), 0
    while at < len(segment) and len(found) < count:
        head = segment[at]
        if head < 128:
            found += segment[at + 1 : at + 2 + head]
            at += 2 + head
        else:
            if head > 128:
                found += segment[at + 1 : at + 2] * (257 - head)
            at += 1 + (head > 128)
    if len(found) != count:
        raise DamagedFile(f"{len(found)} run-length encoded bytes, but expected {count}")
    return bytes(found)
