"""What an exported model's zip holds, and opening one that may come from anywhere without trusting it."""

from __future__ import annotations

import re
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from l2s_auto.core.dial import DIAL, ENDS
from l2s_auto.core.errors import Offence, UserError, disk_is_full
from l2s_auto.io.content import hash_of

PLAN, RECIPE, WEIGHTS, CALIBRATION = "plan.json", "recipe.json", "weights.safetensors", "calibration.json"
LICENSE, README, SUMS = "LICENSE.txt", "README.txt", "SHA256SUMS.txt"
#: In a fold's folder: what it reached on the cases that it was validated on.
METRICS = "validation/metrics.json"
#: The folder of a cascade's first network, a model of its own.
LOW_RESOLUTION = "low_resolution"
_OF_A_MODEL = rf"({PLAN}|{RECIPE}|fold_\w{{1,64}}/({WEIGHTS}|{ENDS}|{DIAL}|{CALIBRATION}|{METRICS}))"
MEMBER = re.compile(rf"({LICENSE}|{README}|{SUMS}|({LOW_RESOLUTION}/)?{_OF_A_MODEL})".replace(".", r"\."), re.ASCII)
#: Bytes of a member that is no weights, at most.
MAX_TEXT = 1 << 24
#: Weights barely compress and texts compress tenfold. More than this, of one member of more than SMALL or of all
#: together, beyond what a few small files may take, is a decompression bomb.
HIGHEST_RATIO, HIGHEST_RATIO_IN_ALL = 100, 20
SMALL, SMALL_IN_ALL = 1 << 20, 1 << 25
MAX_MEMBERS = 1000
#: Members that a message names.
MAX_NAMED = 50
#: Bytes of a member's header in the zip, without its name.
_HEADER = 30


def extract_model(path: Path, target: Path) -> None:
    """Unpack a model's zip into the folder `target`. UserError, before anything is written, if it is not one.

    Only the names that an export writes are accepted, so a member can lie neither outside `target` nor over
    anything else; links, doubled names, members that share bytes and decompression bombs are refused. Files are checked
    by the zip's checksums, and by its own list of hashes, if it has one.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            _refuse_unsafe(path, members, ends=archive.start_dir)
            for member in members:
                destination = target / member.filename
                destination.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as source, destination.open("wb") as sink:
                    shutil.copyfileobj(source, sink, SMALL)
        _check_sums(path, target, [member.filename for member in members])
    except UserError:
        raise
    except PermissionError:
        raise
    except _UNREADABLE as error:
        if disk_is_full(error):
            raise
        raise UserError.single(
            "The zip cannot be read.",
            where=str(path),
            found=f"a damaged or encrypted archive ({error or type(error).__name__})",
            expected="a zip written by l2s_export",
            mend="Copy or export the model again.",
        ) from error


#: What the library raises for archives that are damaged in one way or another.
_UNREADABLE = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError),
    *(RuntimeError, NotImplementedError, ValueError, OverflowError, LookupError),
)


def sums_of(hashes: Mapping[str, str]) -> str:
    """Name of a member -> its SHA-256, as the text that `sha256sum -c` reads."""
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(hashes.items()))


def _check_sums(path: Path, target: Path, names: list[str]) -> None:
    """UserError that names every file of the zip that is not what its list of hashes says."""
    if SUMS not in names:
        return
    lines = (target / SUMS).read_text(encoding="utf-8", errors="replace").splitlines()[:MAX_MEMBERS]
    told = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    found = {name: hash_of(target / name) for name in names if name != SUMS}
    offences = [
        Offence(
            f"{path}, member {name!r}",
            "nothing" if name not in found else f"SHA-256 {found[name]}",
            f"SHA-256 {told[name]}" if name in told else f"a line in {SUMS}",
            "Copy or export the model again.",
        )
        for name in sorted({*told, *found})
        if told.get(name) != found.get(name)
    ]
    if offences:
        raise UserError("The zip has been changed or damaged.", offences)


def _refuse_unsafe(path: Path, members: list[zipfile.ZipInfo], *, ends: int) -> None:
    """Raise UserError that names every member that an export would not have written.

    ends  where the last member ends at the latest, in bytes of the file
    """
    if len(members) > MAX_MEMBERS:
        _refuse_all(path, f"{len(members)} members", f"at most {MAX_MEMBERS}")
    seen: set[str] = set()
    shared = _sharing(members, ends=ends)
    offences = []
    for member in members:
        found = "bytes that are another member's too" if member in shared else _offence_of(member, seen)
        seen.add(member.filename)
        if found:
            offences.append(
                Offence(
                    f"{path}, member {member.filename!r}",
                    found,
                    f"only {PLAN}, {RECIPE}, {LICENSE}, {README}, fold_K/{WEIGHTS}, fold_K/{ENDS}, fold_K/{DIAL}, "
                    f"and the like in {LOW_RESOLUTION}",
                    "Use a zip written by l2s_export, from a source that you trust.",
                )
            )
    if offences:
        more = f" {len(offences) - MAX_NAMED} more members are wrong." if len(offences) > MAX_NAMED else ""
        raise UserError(f"The zip is not a model, or it is not safe to open.{more}", offences[:MAX_NAMED])
    if PLAN not in seen:
        raise UserError.single(
            "The zip is not a model.",
            where=str(path),
            found=f"no {PLAN}",
            expected="a zip written by l2s_export",
            mend="Export the model again, or name another.",
        )
    packed, unpacked = path.stat().st_size, sum(member.file_size for member in members)
    allowed = SMALL_IN_ALL + HIGHEST_RATIO_IN_ALL * packed
    if unpacked > allowed:
        _refuse_all(path, f"{packed:,} bytes that unpack to {unpacked:,}", f"at most {allowed:,}")


def _refuse_all(path: Path, found: str, expected: str) -> NoReturn:
    raise UserError.single(
        "The zip is not a model, or it is not safe to open.",
        where=str(path),
        found=found,
        expected=expected,
        mend="Use a zip written by l2s_export, from a source that you trust.",
    )


def _sharing(members: list[zipfile.ZipInfo], *, ends: int) -> list[zipfile.ZipInfo]:
    """Members whose bytes reach into the next one's: a small file can unpack to any size by that."""
    ordered = sorted(members, key=lambda member: member.header_offset)
    limits = [*(member.header_offset for member in ordered[1:]), ends]
    return [
        member
        for member, limit in zip(ordered, limits, strict=False)
        if member.header_offset + _HEADER + len(member.orig_filename) + member.compress_size > limit
    ]


def _offence_of(member: zipfile.ZipInfo, seen: set[str]) -> str | None:
    """What is wrong with a member, or None."""
    if stat.S_ISLNK(member.external_attr >> 16):
        return "a link"
    if not MEMBER.fullmatch(member.filename) or member.filename != member.orig_filename:
        return "a name that is not part of a model"
    if member.filename.casefold() in {name.casefold() for name in seen}:
        return "the same name twice"
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "a kind of compression that an export does not use"
    if member.file_size > SMALL and member.file_size > HIGHEST_RATIO * max(1, member.compress_size):
        return f"{member.file_size} bytes packed into {member.compress_size}"
    if member.file_size > MAX_TEXT and not member.filename.endswith((WEIGHTS, ENDS)):
        return f"{member.file_size} bytes, of a text"
    return None
