"""Whose a folder is: the mark that the program leaves in its own, and folders of datasets, which it never writes to."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from l2s_auto.core.errors import UserError, some_of
from l2s_auto.io import ownership
from l2s_auto.io.atomic import atomic_path, unfinished

#: A hidden file that tells that the program made a folder, and for what.
MARK = ".l2s_auto.json"
#: Folders of a dataset, by their usual names.
DATASET_FOLDERS = ("imagesTr", "labelsTr", "imagesTs", "labelsTs", "imagesVal", "labelsVal", "images", "labels")
_LOWER = tuple(name.lower() for name in DATASET_FOLDERS)
#: How names of volumes end (`io/volumes.py` reads them).
_VOLUMES = (".nii", ".nii.gz", ".nrrd", ".mha", ".mhd", ".dcm")
#: What systems and people leave in folders that are empty otherwise.
_NOTHING = (".ds_store", "desktop.ini", "thumbs.db", "ehthumbs.db")


def mark(folder: Path, kind: str) -> None:
    """Note that the program made the folder. It is made if it is missing; a mark that is there stays."""
    folder.mkdir(parents=True, exist_ok=True)
    if kind_of(folder) is None:
        with atomic_path(folder / MARK) as temporary:
            temporary.write_text(json.dumps({"program": "l2s_auto", "kind": kind}) + "\n", encoding="utf-8")


def kind_of(folder: Path) -> str | None:
    """What the program made the folder for; None if it has no mark."""
    try:
        value = json.loads((folder / MARK).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or value.get("program") != "l2s_auto":
        return None
    kind = value.get("kind")
    return kind if isinstance(kind, str) else None


def contents(folder: Path) -> list[str]:
    """Names of what is in the folder; none where there is no folder, or nothing but hidden files and empty folders."""
    return sorted(path.name for path in _visible(folder)) if _holds_files(folder) else []


def _visible(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [path for path in folder.iterdir() if not path.name.startswith(".") and path.name.lower() not in _NOTHING]


def _holds_files(folder: Path) -> bool:
    return any(path.is_symlink() or not path.is_dir() or _holds_files(path) for path in _visible(folder))


def require_replaceable_folder(folder: Path, is_ours: Callable[[str], bool], *, overwrite: bool) -> None:
    """UserError unless the folder is missing or empty or, where the user wishes it, holds nothing but our own files.

    is_ours  whether a file of that name, below the folder, is one that is written there
    """
    if not os.path.lexists(folder):
        return
    found = "a link" if folder.is_symlink() else "a file" if not folder.is_dir() else None
    inside = [] if found else [path for path in folder.rglob("*") if not path.is_dir() or path.is_symlink()]
    names = [path.relative_to(folder).as_posix() for path in inside if path.name.lower() not in _NOTHING]
    if found is None and not names:
        return
    others = [name for name in sorted(names) if not is_ours(name)]
    if found is None and overwrite and not others:
        return
    hint = "Name another folder, or remove this one." if others or found else "Name another folder, or add --overwrite."
    raise UserError.single(
        "The model would overwrite something.",
        where=str(folder),
        found=found or f"a folder that is not empty: {some_of(others or names, most=5)}",
        expected="a new or empty folder",
        mend=hint,
    )


def replace_folder(made: Path, folder: Path) -> None:
    """Give a folder its name, in place of one that `require_replaceable_folder` has looked at."""
    before = folder.with_name(unfinished(folder.name))
    if folder.is_dir():
        ownership.replace(folder, before)
    ownership.replace(made, folder)
    ownership.discard(before)


def refuse_folder(folder: Path, *, kind: str, found: str | None = None, mend: str = "") -> None:
    """UserError for a folder that holds what the program did not make, naming some of it."""
    raise UserError.single(
        f"The folder holds what is not of {kind}; nothing of it is replaced or deleted.",
        where=f"-o {folder}",
        found=found or some_of(contents(folder), most=5),
        expected=f"a new or empty folder, or one of {kind}",
        mend=mend or "Choose another folder with -o, or write into this one with --overwrite.",
    )


def dataset_folder(path: Path) -> Path | None:
    """The folder of a dataset that a path is, or lies in; None if there is none.

    A folder is one by its name, such as labelsTr, where dataset.json or folders of images and of labels stand beside
    it; by a longer name, such as labelsTr_second_reader, only if it holds volumes that are no prediction's.
    """
    place = path.resolve()
    for folder in (place, *place.parents):
        name = folder.name.lower()
        named = name in _LOWER or (name.startswith(("images", "labels")) and _holds_data(folder))
        if named and _is_dataset(folder.parent):
            return folder
    return None


def _holds_data(folder: Path) -> bool:
    try:
        names = {path.name for path in folder.iterdir()}
    except OSError:
        return False
    return "manifest.json" not in names and any(name.lower().endswith(_VOLUMES) for name in names)


def _is_dataset(folder: Path) -> bool:
    try:
        if (folder / "dataset.json").is_file():
            return True
        names = {path.name.lower() for path in folder.iterdir() if path.name.lower() in _LOWER and path.is_dir()}
    except OSError:
        return False
    return all(any(name.startswith(kind) for name in names) for kind in ("images", "labels"))


def require_outside_of_datasets(path: Path, *, option: str = "-o") -> None:
    """UserError for an output in a dataset's folder of images or labels."""
    folder = dataset_folder(path)
    if folder is not None:
        raise UserError.single(
            "The output lies in a dataset, whose images and labels are never written to.",
            where=f"{option} {path}",
            found=f"the folder {folder} of the dataset {folder.parent}",
            expected="a place outside of the dataset's folders of images and labels",
            mend="Name another output.",
        )


def require_unicode(path: Path, *, option: str = "-o") -> None:
    """UserError for an output whose name libraries cannot take: bytes that are not UTF-8, or that the locale lacks."""
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError as error:
        raise UserError.single(
            "The name of the output cannot be used.",
            where=f"{option} {path}",
            found="bytes that are not text in the encoding of this system",
            expected="a path in UTF-8",
            mend="Choose another folder, or set a locale of UTF-8, for instance LC_ALL=C.UTF-8.",
        ) from error
