"""Zips that are damaged, or made to take the machine: one error, and nothing left behind."""

from __future__ import annotations

import random
import struct
import zipfile
import zlib
from pathlib import Path

import pytest

from l2s_auto.core.errors import UserError
from l2s_auto.inference.export import export_model, import_model
from l2s_auto.inference.load import load_model
from tests.inference.tiny_models import write_run


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> bytes:
    folder = tmp_path_factory.mktemp("good")
    return export_model(write_run(folder / "run"), folder / "model.zip").read_bytes()


def refused(path: Path, match: str = "") -> UserError:
    """The error of both ways in; nothing is left behind."""
    before = sorted(path.parent.iterdir())
    with pytest.raises(UserError, match=match) as error:
        load_model(path)
    with pytest.raises(UserError, match=match):
        import_model(path, path.parent / "imported")
    assert sorted(path.parent.iterdir()) == before
    assert len(str(error.value)) < 30_000
    return error.value


def with_more(good: bytes, path: Path, members: dict[str, bytes], kind: int = zipfile.ZIP_DEFLATED) -> Path:
    path.write_bytes(good)
    with zipfile.ZipFile(path, "a", kind) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_a_small_zip_may_not_unpack_to_much_in_all(good, tmp_path):
    noise = random.Random(0).randbytes(12_000)
    members = {f"fold_{n}/calibration.json": bytes(1 << 20) + noise for n in range(60)}
    refused(with_more(good, tmp_path / "m.zip", members), "bytes that unpack to")


@pytest.mark.parametrize(
    ("members", "kind", "match"),
    [
        ({"fold_1/weights.safetensors": bytes(1 << 24)}, zipfile.ZIP_DEFLATED, "packed into"),
        ({"fold_1/calibration.json": bytes((1 << 24) + 1)}, zipfile.ZIP_STORED, "bytes, of a text"),
        ({f"fold_{n}/calibration.json": b"{}" for n in range(1001)}, zipfile.ZIP_STORED, "at most 1000"),
        ({"fold_1/calibration.json": b"{}"}, zipfile.ZIP_LZMA, "kind of compression"),
        ({"fold_1/calibration.json": b"{}"}, zipfile.ZIP_BZIP2, "kind of compression"),
        ({"FOLD_0/calibration.json": b"{}", "fold_A/calibration.json": b""}, zipfile.ZIP_STORED, "not part"),
        ({"fold_a/calibration.json": b"{}", "fold_A/calibration.json": b""}, zipfile.ZIP_STORED, "same name twice"),
        ({"\x1b[2J.json": b"{}"}, zipfile.ZIP_STORED, r"\\x1b\[2J"),
        ({f"fold_{'x' * 500}/calibration.json": b"{}"}, zipfile.ZIP_STORED, "not part"),
    ],
)
def test_members_that_no_export_writes(good, tmp_path, members, kind, match):
    refused(with_more(good, tmp_path / "m.zip", members, kind), match)


def test_members_that_share_their_bytes(tmp_path):
    data = bytes(900_000)
    packed = zlib.compress(data, wbits=-15)
    names = [b"plan.json", *(b"fold_%d/weights.safetensors" % n for n in range(300))]
    sizes = (zlib.crc32(data), len(packed), len(data))
    start = struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 8, 0, 0, *sizes, len(names[0]), 0) + names[0] + packed
    listed = b"".join(
        struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 8, 0, 0, *sizes, len(name), 0, 0, 0, 0, 0, 0) + name
        for name in names
    )
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, len(names), len(names), len(listed), len(start), 0)
    path = tmp_path / "m.zip"
    path.write_bytes(start + listed + end)
    assert len(refused(path, "another member's too").offences) == 50


def test_an_encrypted_member(good, tmp_path):
    content = bytearray(good)
    content[content.find(b"PK\1\2") + 8] |= 1
    (tmp_path / "m.zip").write_bytes(content)
    refused(tmp_path / "m.zip", "encrypted")


@pytest.mark.parametrize("kind", ["bytes", "cut", "listing", "inserted"])
def test_damage_of_any_kind_is_one_error_or_changes_nothing(good, tmp_path, kind):
    draw, path, whole = random.Random(kind), tmp_path / "m.zip", None
    path.write_bytes(good)
    whole, listing = load_model(path).hash, good.find(b"PK\1\2")
    for _ in range(40):
        content = bytearray(good)
        at = draw.randrange(listing if kind == "listing" else 0, len(content))
        if kind == "cut":
            del content[at:]
        elif kind == "inserted":
            content[at:at] = draw.randbytes(draw.randrange(1, 50))
        else:
            content[at] = draw.choice([0, 255, draw.randrange(256)])
        path.write_bytes(content)
        try:
            assert load_model(path).hash == whole
        except UserError as error:
            assert str(path) in str(error)
    assert [file.name for file in tmp_path.iterdir()] == ["m.zip"]


@pytest.mark.parametrize("sums", [b"\xff\xfe" * 999, b"a  plan.json\n" * 99_999, b"\x1b[2J  \x1b[2J\n", b""])
def test_a_list_of_hashes_of_another_kind(good, tmp_path, sums):
    path = tmp_path / "m.zip"
    (tmp_path / "good.zip").write_bytes(good)
    with zipfile.ZipFile(tmp_path / "good.zip") as source, zipfile.ZipFile(path, "w") as sink:
        for name in source.namelist():
            sink.writestr(name, sums if name == "SHA256SUMS.txt" else source.read(name))
    refused(path, "changed or damaged")
