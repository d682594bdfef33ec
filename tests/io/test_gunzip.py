"""Gzip files, whole."""

import builtins
import gzip
from pathlib import Path

import pytest

from l2s_auto.io import gunzip


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


def test_what_was_packed_comes_back(library: str, tmp_path: Path) -> None:
    content = bytes(range(256)) * 5000
    for level in (1, 9):
        (tmp_path / "a.gz").write_bytes(gzip.compress(content, level))
        assert gunzip.unpacked(tmp_path / "a.gz") == content
    (tmp_path / "two.gz").write_bytes(gzip.compress(b"one ") + gzip.compress(b"two"))
    assert gunzip.unpacked(tmp_path / "two.gz") == b"one two"


def test_damage_is_found(library: str, tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(bytes(range(256)) * 5000))
    for damage in ("truncated", "flipped", "checksum", "not gzip"):
        broken = bytearray(packed)
        if damage == "truncated":
            broken = broken[: len(broken) // 2]
        elif damage == "flipped":
            broken[len(broken) // 2] ^= 0xFF
        elif damage == "checksum":
            broken[-6] ^= 0xFF
        else:
            broken = bytearray(b"no gzip file at all")
        (tmp_path / "a.gz").write_bytes(bytes(broken))
        with pytest.raises((OSError, EOFError, *gunzip.errors())):
            gunzip.unpacked(tmp_path / "a.gz")
