"""What an exported model's zip holds, and opening one that may come from anywhere without trusting it."""

from __future__ import annotations

import re
import shutil
import stat
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

from l2s_auto.core.errors import Offence, UserError
from l2s_auto.io.content import hash_of

PLAN, RECIPE, WEIGHTS, CALIBRATION = "plan.json", "recipe.json", "weights.safetensors", "calibration.json"
LICENSE, README, SUMS = "LICENSE.txt", "README.txt", "SHA256SUMS.txt"
#: In a fold's folder: what it reached on the cases that it was validated on.
METRICS = "validation/metrics.json"
#: The folder of a cascade's first network, a model of its own.
LOW_RESOLUTION = "low_resolution"
_OF_A_MODEL = rf"({PLAN}|{RECIPE}|fold_\w+/({WEIGHTS}|{CALIBRATION}|{METRICS}))"
MEMBER = re.compile(rf"({LICENSE}|{README}|{SUMS}|({LOW_RESOLUTION}/)?{_OF_A_MODEL})".replace(".", r"\."), re.ASCII)
#: Weights barely compress and texts compress tenfold; more than this, in a large file, is a decompression bomb.
HIGHEST_RATIO = 100
SMALL = 1 << 20


def extract_model(path: Path, target: Path) -> None:
    """Unpack a model's zip into the folder `target`. UserError, before anything is written, if it is not one.

    Only the names that an export writes are accepted, so a member can lie neither outside `target` nor over
    anything else; links, doubled names and decompression bombs are refused. Files are checked by the zip's own list of
    hashes, if it has one.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            _refuse_unsafe(path, members)
            for member in members:
                destination = target / member.filename
                destination.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as source, destination.open("wb") as sink:
                    shutil.copyfileobj(source, sink, SMALL)
            _check_sums(path, target, [member.filename for member in members])
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise UserError.single(
            "The zip cannot be read.",
            where=str(path),
            found=f"a damaged or encrypted archive ({error})",
            expected="a zip written by l2s_export",
            mend="Copy or export the model again.",
        ) from error


def sums_of(hashes: Mapping[str, str]) -> str:
    """Name of a member -> its SHA-256, as the text that `sha256sum -c` reads."""
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(hashes.items()))


def _check_sums(path: Path, target: Path, names: list[str]) -> None:
    """UserError that names every file of the zip that is not what its list of hashes says."""
    if SUMS not in names:
        return
    lines = (target / SUMS).read_text(encoding="utf-8", errors="replace").splitlines()
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


def _refuse_unsafe(path: Path, members: list[zipfile.ZipInfo]) -> None:
    """Raise UserError that names every member that an export would not have written."""
    offences = []
    seen: set[str] = set()
    for member in members:
        found = _offence_of(member, seen)
        seen.add(member.filename)
        if found:
            offences.append(
                Offence(
                    f"{path}, member {member.filename!r}",
                    found,
                    f"only {PLAN}, {RECIPE}, {LICENSE}, {README}, fold_K/{WEIGHTS}, and the like in {LOW_RESOLUTION}",
                    "Use a zip written by l2s_export, from a source that you trust.",
                )
            )
    if offences:
        raise UserError("The zip is not a model, or it is not safe to open.", offences)
    if PLAN not in seen:
        raise UserError.single(
            "The zip is not a model.",
            where=str(path),
            found=f"no {PLAN}",
            expected="a zip written by l2s_export",
            mend="Export the model again, or name another.",
        )


def _offence_of(member: zipfile.ZipInfo, seen: set[str]) -> str | None:
    """What is wrong with a member, or None."""
    if stat.S_ISLNK(member.external_attr >> 16):
        return "a link"
    if not MEMBER.fullmatch(member.filename):
        return "a name that is not part of a model"
    if member.filename in seen:
        return "the same name twice"
    if member.file_size > SMALL and member.file_size > HIGHEST_RATIO * max(1, member.compress_size):
        return f"{member.file_size} bytes packed into {member.compress_size}"
    return None
