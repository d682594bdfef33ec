"""Mutants of the zip of a model."""

from __future__ import annotations

import json
import random
import struct
import zipfile
from pathlib import Path

from fuzzing.documents import mutated

NAMES = (
    "../x", "/tmp/x", "C:\\x", "fold_0/../../x", "fold_0/weights.safetensors/x", "plan.json/", "PLAN.JSON",
    "fold_x/plan.json",
    "low_resolution/low_resolution/plan.json", "x.py", "fold_0/\x00", "fold_0\\weights.safetensors", "", ".", "é.json",
    "fold_0/weights.safetensors", "plan.json", "recipe.json", "fold_1/weights.safetensors", "a" * 300,
    "fold_" + "a" * 300 + "/calibration.json",
)  # fmt: skip


def mutant(rng: random.Random, source: Path, target: Path) -> str:
    """Write a changed copy of a zip; returns what was changed."""
    way = rng.choice(
        ("bytes", "bytes", "bytes", "cut", "directory", "directory", "directory", "member", "member", "document",
        "document",
         "link", "bomb", "many", "comment", "prefix", "method", "nothing")
    )  # fmt: skip
    content = bytearray(source.read_bytes())
    if way == "bytes":
        for _ in range(rng.randrange(1, 30)):
            content[rng.randrange(len(content))] = rng.randrange(256)
    elif way == "cut":
        del content[rng.randrange(len(content)) :]
    elif way == "directory":  # the list of members at the end: names, sizes, offsets, flags
        start = content.rfind(b"PK\x01\x02", 0, content.rfind(b"PK\x01\x02"))
        for _ in range(rng.randrange(1, 5)):
            place = rng.randrange(start, len(content) - 4)
            struct.pack_into(
                "<I", content, place, rng.choice((0, 1, 0xFFFFFFFF, 0x7FFFFFFF, 65535, rng.randrange(2**32)))
            )
    elif way == "prefix":
        content[:0] = rng.randbytes(rng.randrange(1, 1000))
    if way in ("bytes", "cut", "directory", "prefix", "nothing"):
        target.write_bytes(content)
        return f"zip: {way}"
    with zipfile.ZipFile(source) as old:
        members = {name: old.read(name) for name in old.namelist()}
    change = way
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        if way == "document":
            names = [name for name in members if name.endswith(".json")]
            name = rng.choice(names)
            members[name], what = mutated(rng, json.loads(members[name]))
            members.pop("SHA256SUMS.txt", None)
            change = f"document {name} {what}"
        for name, data in members.items():
            new.writestr(name, data)
        if way == "member":
            name = rng.choice(NAMES)
            change += f" {name[:30]!r}"
            new.writestr(zipfile.ZipInfo(name) if name else zipfile.ZipInfo(" "), rng.randbytes(rng.randrange(2000)))
        elif way == "link":
            info = zipfile.ZipInfo("fold_1/weights.safetensors")
            info.external_attr = (0o120777 << 16) | 0x20
            new.writestr(info, "/etc/passwd")
        elif way == "bomb":
            for number in range(rng.choice((1, 40))):
                new.writestr(f"fold_{number + 1}/calibration.json", bytes(rng.choice((10**6, 5 * 10**7))))
        elif way == "many":
            for number in range(3000):
                new.writestr(f"fold_{number + 1}/calibration.json", "{}")
        elif way == "comment":
            new.comment = rng.randbytes(60_000)
        elif way == "method":
            new.writestr(
                "fold_1/calibration.json", "{}" * 1000, compress_type=rng.choice((zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
            )
    return f"zip: {change}"
