"""Finds the scans to segment."""

from __future__ import annotations

import os
from pathlib import Path

from l2s_auto.core.errors import UserError
from l2s_auto.core.types import Case
from l2s_auto.io.case_files import channel_of, group_by_number, list_scans, require_distinct
from l2s_auto.io.folders import is_dicom_folder
from l2s_auto.io.volumes import SUFFIXES, case_name, volume_suffix


def find_scans(path: str | os.PathLike[str], channels: int) -> list[Case]:
    """Cases to segment, sorted by name: a file, a folder with one DICOM series, or a folder of such.

    With nnU-Net's channel numbers (CASE_0000, CASE_0001, …) or without. A case with too few or too many files is
    returned as it is: the check of each case belongs to the prediction, so that one bad case does not stop the others.
    Raises UserError if there is no scan at all, or if two files would be the same case.
    """
    path = Path(path)
    if os.path.isfile(path):
        return [_single(path, channels)]
    if is_dicom_folder(path):
        return [Case(id=case_name(path.resolve()), images=(path,))]
    scans = list_scans(path)
    if not scans:
        raise UserError.single(
            "There are no scans to segment.",
            where=str(path),
            found="no scan in this folder" if os.path.isdir(path) else "nothing",
            expected=f"a file, or a folder of files, that end with one of {', '.join(SUFFIXES)}, or a DICOM folder",
            mend="Correct the path of the input.",
        )
    require_distinct(scans)
    return [Case(id=name, images=files) for name, files in group_by_number(scans, channels=channels).items()]


def _single(path: Path, channels: int) -> Case:
    """The case of one file; with several channels, the files beside it that differ in the channel number only."""
    stem, number = channel_of(path)
    if channels > 1 and number is not None:
        suffix = volume_suffix(path)
        beside = list_scans(path.parent, ending=suffix)
        files = tuple(file for file in beside if channel_of(file)[0] == stem and channel_of(file)[1] is not None)
        return Case(id=stem, images=files)
    return Case(id=stem if number == 0 else case_name(path), images=(path,))
