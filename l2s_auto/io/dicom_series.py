"""The files of a folder, series by series: which belong to the one scan that is read, and what else is there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from l2s_auto.core.errors import UserError, shortened, some_of
from l2s_auto.io import dicom_file as tags
from l2s_auto.io.dicom_file import DicomFile, read_file, series_of
from l2s_auto.io.dicom_grid import refuse
from l2s_auto.io.dicom_kinds import other_than_scan, unusable
from l2s_auto.io.dicom_select import dicom_files, selected, selector
from l2s_auto.io.folders import files_in, is_dicom_file, may_be_dicom
from l2s_auto.io.gunzip import DamagedFile

#: Files beside a slice that are looked at for more of its series, and series that a message lists.
_MAX_NEIGHBOURS, _MAX_LISTED = 5000, 8


def scan_in(folder: Path) -> tuple[list[DicomFile], tuple[str, ...]]:
    """The files of the one series of a folder, or of a selected series, and notes about DICOM files that are no images.

    UserError where a file is damaged, or where there are several series or none.
    """
    images: list[DicomFile] = []
    others: list[tuple[Path, str]] = []
    damaged = []
    for path in dicom_files(folder):
        if path.name.upper() == "DICOMDIR" or not (is_dicom_file(path) or may_be_dicom(path)):
            continue
        try:
            file = read_file(path)
            if kind := other_than_scan(file):
                others.append((path, kind))
                continue
            if not unusable(file)[0]:
                file.size()
            images.append(file)
        except (DamagedFile, EOFError, OSError) as error:
            damaged.append(f"{path.name} ({getattr(error, 'strerror', None) or error})")
    if damaged:
        refuse(folder, f"{len(damaged)} DICOM files that are no readable slices: {some_of(damaged, most=3)}")
    if not images:
        _refuse_kinds(folder, others)
    series: dict[str, list[DicomFile]] = {}
    for file in images:
        series.setdefault(file.data.text(tags.SERIES), []).append(file)
    if len(series) > 1:
        _refuse_several(folder, series)
    if len(patients := {file.data.text(tags.PATIENT): file.path.name for file in images}) > 1:
        refuse(folder, f"slices of {len(patients)} patients (PatientID) in one series: {some_of([*patients.values()])}")
    for file in images:
        require_usable(file, where=file.path)
    return images, (*_notes(folder, images), *_unused(others))


def _notes(path: Path, images: Sequence[DicomFile]) -> list[str]:
    """Of a selected series: what else may be part of it, and whether its files lie in several folders."""
    notes: list[str] = []
    if (series := selected(path)) is None:
        return notes
    if unknown := [one.name for one in series.unknown()]:
        what = f"{len(unknown)} file{'' if len(unknown) == 1 else 's'} of its folder cannot be read"
        notes.append(f"its first or last slices may be missing: {what} ({some_of(unknown, most=3)})")
    places = list(dict.fromkeys(file.path.parent.relative_to(series.folder).as_posix() for file in images))
    if len(places) > 1:
        notes.append(f"its slices lie in {len(places)} folders, and are read as one volume: {some_of(places, most=5)}")
    return notes


def _unused(others: Sequence[tuple[Path, str]]) -> tuple[str, ...]:
    return tuple(
        f"{len(paths)} files of its folder are not used, since each is {kind}: {some_of(paths, most=3)}"
        if len(paths := [path.name for path, other in others if other == kind]) > 1
        else f"{paths[0]} of its folder is not used, since it is {kind}"
        for kind in dict.fromkeys(kind for _, kind in others)
    )


def scan_of(path: Path) -> tuple[DicomFile, tuple[str, ...]]:
    """One file that is read alone, and a note if there is more of its series. UserError where it is no scan."""
    file = read_file(path)
    if kind := other_than_scan(file):
        _refuse_kinds(path, [(path, kind)])
    require_usable(file, where=path)
    if not (series := file.data.text(tags.SERIES)):
        return file, ()
    more = sum(_is_of(other, series) for other in files_in(path.parent)[:_MAX_NEIGHBOURS] if other.name != path.name)
    if not more:
        return file, ()
    part = "slice" if file.size().frames == 1 else "file"
    found = f"its folder holds {more} more {'files' if more > 1 else 'file'} of the same series"
    return file, (f"it is one {part} of a series: {found}, which are read together if the folder is given",)


def require_usable(file: DicomFile, *, where: Path) -> None:
    """UserError for an image that is no stack of slices with one value a voxel."""
    kind, mend = unusable(file)
    if kind:
        raise UserError.single(
            "A DICOM file is not a scan that can be used.",
            where=str(where),
            found=kind,
            expected="slices with one value a voxel",
            mend=mend,
        )


def _is_of(path: Path, series: str) -> bool:
    try:
        return is_dicom_file(path) and series_of(path) == series
    except (DamagedFile, EOFError, OSError):
        return False


def _refuse_kinds(where: Path, others: Sequence[tuple[Path, str]]) -> NoReturn:
    kinds = list(dict.fromkeys(kind for _, kind in others))
    raise UserError.single(
        "A DICOM file is not a scan that can be used.",
        where=str(where),
        found=some_of(kinds, most=5) or "no DICOM image",
        expected="a scan",
        mend="Choose the images. A segmentation is used once it is converted to a label map, for instance in NIfTI."
        if any("SEG" in kind or "RTSTRUCT" in kind for kind in kinds)
        else "Choose the images of the scan.",
    )


def _refuse_several(folder: Path, series: dict[str, list[DicomFile]]) -> NoReturn:
    labels = [_label(files) for files in series.values()]
    listed = [
        f"{label}{f', UID {shortened(uid, limit=64, quoted=False)}' * (labels.count(label) > 1)}, {_slices(files)}"
        for label, (uid, files) in zip(labels, series.items(), strict=True)
    ]
    mend = "Put each series into a folder of its own."
    if all(len(files) == 1 for files in series.values()):
        mend += " If they are the slices of one scan, export it again with one SeriesInstanceUID."
    else:
        mend += f" For prediction, one of them can be named by its UID: {selector(folder, next(iter(series)))}"
    raise UserError.single(
        "A folder cannot be read as one scan.",
        where=str(folder),
        found=f"{len(series)} DICOM series ({'; '.join(listed[:_MAX_LISTED])}"
        + (f"; and {len(listed) - _MAX_LISTED} more)" if len(listed) > _MAX_LISTED else ")"),
        expected="exactly one DICOM series",
        mend=mend,
    )


def _label(files: Sequence[DicomFile]) -> str:
    """Number, description and modality of a series, e.g. 'series 3 "T1" MR'."""
    data = files[0].data
    words = ["series", data.text(tags.SERIES_NUMBER) or "without number"]
    if description := data.text(tags.DESCRIPTION):
        words.append(f'"{shortened(description, limit=64, quoted=False)}"')
    if modality := data.text(tags.MODALITY):
        words.append(modality)
    return " ".join(words)


def _slices(files: Sequence[DicomFile]) -> str:
    count = sum(1 if unusable(file)[0] else file.size().frames for file in files)
    return f"{count} {'slices' if count > 1 else 'slice'}"
