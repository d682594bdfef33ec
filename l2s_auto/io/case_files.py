"""Which files belong to one case: names without suffix, nnU-Net's channel numbers, other files ignored."""

from __future__ import annotations

import os
import re
import unicodedata
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from l2s_auto.core.errors import Offence, UserError
from l2s_auto.io.folders import entries, is_closed, is_dicom_folder
from l2s_auto.io.volumes import PAIRS, case_name, files_of, volume_suffix

#: Bytes of a case's name: the names of its results, such as CASE.nii.gz, are no longer than file systems allow.
MAX_CASE = 248
_CHANNEL = re.compile(r"^(?P<stem>.+)_(?P<channel>\d{4})$")


def list_scans(folder: Path, *, ending: str = "") -> list[Path]:
    """Volumes of a folder, sorted: files of a known suffix (`ending`, if given) and folders with a DICOM series.

    Hidden files, side files such as JSON, and single DICOM slices are left out. A folder whose name has a volume's
    suffix is listed, and so is one without permission to look into it, so that reading it says what is wrong.
    `io/inventory.py` says what is left out.
    """
    if not os.path.isdir(folder):
        return []
    scans = []
    for path in entries(folder):
        suffix = volume_suffix(path)
        if path.name.startswith(".") or suffix == ".dcm":
            continue
        named = bool(suffix) and path.name.lower().endswith(ending.lower())
        if named or (not suffix and not ending and (is_dicom_folder(path) or is_closed(path))):
            scans.append(path)
    partners = {file for path in scans if volume_suffix(path) in PAIRS for file in files_of(path) if file != path}
    return [path for path in scans if path not in partners]


def pair_key(name: str) -> str:
    """What names are compared by: an `ü` may be stored as one character, or as `u` and dots (macOS)."""
    return unicodedata.normalize("NFC", name)


def case_id(name: str) -> str:
    """The name of a case as results and folders have it: one that is too long is cut, and ends with its checksum."""
    encoded = name.encode("utf-8", "surrogateescape")
    if len(encoded) <= MAX_CASE:
        return name
    kept = encoded[: MAX_CASE - 9].decode("utf-8", errors="ignore")
    return f"{kept}~{zlib.crc32(encoded):08x}"


def channel_of(path: Path) -> tuple[str, int | None]:
    """(name without the channel number, channel number or None): CASE_0001.nii.gz -> ("CASE", 1)."""
    return _split(case_name(path))


def _split(name: str) -> tuple[str, int | None]:
    match = _CHANNEL.match(name)
    return (match["stem"], int(match["channel"])) if match else (name, None)


def require_distinct(paths: Iterable[Path]) -> None:
    """Raise UserError if two files stand for the same volume, as a.nii.gz and a.nrrd do."""
    by_name: dict[str, list[Path]] = {}
    for path in paths:
        by_name.setdefault(pair_key(case_name(path)), []).append(path)
    offences = [
        Offence(
            where=str(same[0].parent),
            found=" and ".join(path.name for path in same),
            expected=f"one file for {name}",
            mend="Remove or rename the copies.",
        )
        for name, same in by_name.items()
        if len(same) > 1
    ]
    if offences:
        raise UserError("Several files stand for the same volume.", offences)


def group_by_label(
    images: Iterable[Path], label_names: Iterable[str], *, name: Callable[[Path], str] = case_name
) -> dict[str, tuple[Path, ...]]:
    """Case name -> image files in the order of their channels, for a dataset with label maps.

    The labels decide: an image of the same name is the whole case; with a channel number behind that name it is one
    of its channels. So `brain_0001` may well be a case. An image that fits no label loses its channel number only if
    the other images have one. `name` says what an image is called; a case has the name of its label map.
    """
    images, names = list(images), {pair_key(one): one for one in label_names}
    own = {path: _split(name(path)) for path in images}
    whole = {path: pair_key(name(path)) for path in images}
    stems = {path: pair_key(own[path][0]) for path in images}
    fitting = [path for path in images if whole[path] not in names and stems[path] in names]
    groups: dict[str, list[Path]] = {}
    for path in images:
        stem, channel = own[path]
        is_channel = channel is not None and whole[path] not in names and (stems[path] in names or bool(fitting))
        key, called = (stems[path], stem) if is_channel else (whole[path], name(path))
        groups.setdefault(names.get(key, called), []).append(path)
    return _ordered(groups)


def group_by_number(images: Iterable[Path], *, channels: int) -> dict[str, tuple[Path, ...]]:
    """Case name -> image files in the order of their channels, where there are no labels to decide.

    With several channels a number is a channel as soon as one file has number 0000. With one channel it is one only
    if every file has a number and every case its 0000, and if that does not make one single case of all the files.
    """
    images = list(images)
    numbered: dict[str, list[Path]] = {}
    for path in images:
        stem, channel = channel_of(path)
        numbered.setdefault(stem if channel is not None else case_name(path), []).append(path)
    with_zero = [name for name, files in numbered.items() if any(channel_of(file)[1] == 0 for file in files)]
    if channels > 1:
        use_numbers = bool(with_zero)
    else:
        use_numbers = len(with_zero) == len(numbered) and (len(numbered) > 1 or len(images) == 1)
    return _ordered(numbered if use_numbers else {case_name(path): [path] for path in images})


def _ordered(groups: Mapping[str, list[Path]]) -> dict[str, tuple[Path, ...]]:
    return {name: tuple(sorted(groups[name])) for name in sorted(groups)}
