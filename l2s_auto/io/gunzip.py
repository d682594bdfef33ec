"""Compressed data, unpacked piece by piece into memory of a known size; nothing is unpacked beyond it.

By ISA-L, which is two to three times as fast as zlib, where it is installed. Both verify the checksums of gzip (CRC-32
and length) and of zlib streams (Adler-32).
"""

from __future__ import annotations

import zlib
from typing import Any, BinaryIO

#: Bytes read and unpacked at a time: they stay in the processor's cache.
READ, PIECE = 1 << 17, 1 << 18
#: Bytes that deflate can make of one, at most.
MAX_RATIO = 1032
#: Bits of the window for zlib: the header tells gzip from zlib.
_ANY_HEADER = 47


class DamagedFile(ValueError):
    """Data that are not what the header of their file says."""


class Unpacker:
    """A gzip or zlib stream from the current position of a file on; at most what is asked for is unpacked.

    members  whether several gzip streams, one after the other, count as one, as the format allows
    length   packed bytes, if known; None: all to the end of the file
    foreign  whether bytes that are no gzip stream may follow the last one, as the programs of gzip allow;
             `has_foreign` tells afterwards whether there are any
    Reading raises EOFError for a stream that ends too early, and DamagedFile or one of `errors()` for a damaged one.
    """

    def __init__(
        self, file: BinaryIO, *, members: bool = False, length: int | None = None, foreign: bool = False
    ) -> None:
        self._file, self._members, self._left, self._foreign = file, members, length, foreign
        self.has_foreign = False
        self._waiting = b""
        self._codec = _codec()

    def readinto(self, target: memoryview) -> int:
        """Fill `target` as far as the data last -> the number of bytes."""
        done = 0
        while done < len(target):
            piece = self._next(min(PIECE, len(target) - done))
            if not piece:
                break
            target[done : done + len(piece)] = piece
            done += len(piece)
        return done

    def skip(self, count: int) -> None:
        """Unpack `count` bytes and forget them."""
        while count > 0:
            piece = self._next(min(PIECE, count))
            if not piece:
                raise EOFError("the compressed data end before the first voxel")
            count -= len(piece)

    def finish(self, *, more: int = 0) -> None:
        """DamagedFile unless the stream ends here, or after `more` bytes at most; verifies its checksum."""
        while piece := self._next(PIECE if more else 1):
            more -= len(piece)
            if more < 0:
                raise DamagedFile("the compressed data hold more than the header says")

    def _next(self, most: int) -> bytes:
        """At least one byte and at most `most`; empty at the end."""
        while True:
            if self._codec.eof and not self._next_member():
                return b""
            packed = self._waiting or self._packed()
            piece: bytes = self._codec.decompress(packed, most)  # it may hold more even where no input is left
            self._waiting = self._codec.unused_data if self._codec.eof else self._codec.unconsumed_tail
            if piece:
                return piece
            if not packed and not self._codec.eof:
                raise EOFError("the compressed data end too early")

    def _next_member(self) -> bool:
        """Whether another gzip stream follows; DamagedFile if something else does (zeros may fill up the file)."""
        if self.has_foreign:
            return False
        while self._members:
            self._waiting = self._waiting.lstrip(b"\0")
            if self._waiting:
                break
            self._waiting = self._packed()
            if not self._waiting:
                return False
        follows = self._waiting or self._packed()
        if not follows:
            return False
        if len(follows) < 2:
            follows += self._packed()
        if not self._members or follows[:2] != b"\x1f\x8b":
            if self._foreign:
                self.has_foreign = True
                return False
            raise DamagedFile("other data follow after the end of the compressed data")
        self._waiting, self._codec = follows, _codec()
        return True

    def _packed(self) -> bytes:
        packed = self._file.read(READ if self._left is None else min(READ, self._left))
        if self._left is not None:
            self._left -= len(packed)
        return packed


def errors() -> tuple[type[Exception], ...]:
    """What damaged streams raise in addition to EOFError and DamagedFile."""
    try:
        from isal import isal_zlib
    except ImportError:
        return (zlib.error,)
    own: type[Exception] = isal_zlib.error  # type: ignore[assignment]
    return (zlib.error, own)


def _codec() -> Any:
    try:
        from isal import isal_zlib
    except ImportError:
        return zlib.decompressobj(wbits=_ANY_HEADER)
    return isal_zlib.decompressobj(wbits=_ANY_HEADER)
