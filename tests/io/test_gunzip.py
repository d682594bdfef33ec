"""Compressed data: all of it, no more than asked for, and damage is found."""

from __future__ import annotations

import builtins
import gzip
import io
import tracemalloc
import zlib

import pytest

from l2s_auto.io import gunzip
from l2s_auto.io.gunzip import DamagedFile, Unpacker

CONTENT = bytes(range(256)) * 5000


@pytest.fixture(params=["isal", "zlib"])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With and without ISA-L installed."""
    original = builtins.__import__

    def without(name: str, *rest: object, **named: object) -> object:
        if name.startswith("isal"):
            raise ImportError(name)
        return original(name, *rest, **named)  # type: ignore[arg-type]

    if request.param == "zlib":
        monkeypatch.setattr(builtins, "__import__", without)
    return str(request.param)


def unpacked(packed: bytes, size: int = len(CONTENT), **options: object) -> bytes:
    target = bytearray(size)
    unpacker = Unpacker(io.BytesIO(packed), **options)  # type: ignore[arg-type]
    done = unpacker.readinto(memoryview(target))
    unpacker.finish()
    return bytes(target[:done])


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
def test_what_was_packed_comes_back(library, pack):
    for level in (1, 9):
        assert unpacked(pack(CONTENT, level)) == CONTENT
    unpacker = Unpacker(io.BytesIO(pack(CONTENT)))
    unpacker.skip(300_000)
    target = bytearray(len(CONTENT) - 300_000)
    assert unpacker.readinto(memoryview(target)) == len(target) and bytes(target) == CONTENT[300_000:]
    unpacker.finish()


def test_streams_one_after_the_other(library):
    two = gzip.compress(CONTENT[:1000]) + gzip.compress(CONTENT[1000:])
    assert unpacked(two, members=True) == CONTENT
    assert unpacked(gzip.compress(CONTENT) + bytes(600), members=True) == CONTENT
    for more in (b"x", b"garbage", bytes(5) + b"y", b"\x1f"):
        with pytest.raises(DamagedFile, match="other data follow"):
            unpacked(gzip.compress(CONTENT) + more, members=True)
    for more in (gzip.compress(b""), bytes(4), b"x"):
        with pytest.raises(DamagedFile, match="other data follow"):
            unpacked(zlib.compress(CONTENT) + more)


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
def test_every_damage_is_found(library, pack):
    packed = pack(CONTENT)
    broken = [packed[:k] for k in (0, 1, 5, len(packed) // 2, len(packed) - 1)]
    for place in (2, len(packed) // 2, len(packed) - 5, len(packed) - 2, len(packed) - 1):
        changed = bytearray(packed)
        changed[place] ^= 0xFF
        broken.append(bytes(changed))
    zeroed = bytearray(packed)
    zeroed[len(packed) // 3 : len(packed) // 2] = bytes(len(packed) // 2 - len(packed) // 3)
    broken += [bytes(zeroed), b"no compressed data at all"]
    for content in broken:
        with pytest.raises((EOFError, DamagedFile, *gunzip.errors())):
            unpacked(content)


def test_no_more_is_unpacked_than_is_asked_for(library):
    """A file of 200 kB that would become 200 MB costs no more than what is wanted of it."""
    bomb = gzip.compress(bytes(200_000_000), 9)
    tracemalloc.start()
    with pytest.raises(DamagedFile, match="more than the header says"):
        unpacked(bomb, 1_000_000, members=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000
