"""DICOM files and folders: read in a process of its own, whose crash is an error about one scan."""

from __future__ import annotations

import os
from pathlib import Path

from l2s_auto.core.types import Volume
from l2s_auto.io import dicom_reader
from l2s_auto.io.dicom_select import dicom_files
from l2s_auto.io.isolated import call_isolated

#: Seconds that a scan may take, and more for each GB: a crashed or hanging reader is ended.
_SECONDS, _SECONDS_PER_GB = 60.0, 600.0


def read_header(path: Path) -> dicom_reader.Header:
    """(X, Y, Z) shape, number of channels, affine; voxels are not decoded."""
    return call_isolated(dicom_reader.read_header, path, seconds=_limit(path))


def read(path: Path) -> Volume:
    """(C, X, Y, Z) data in the file's type, affine and notes of a file, a folder of one series or a selected one."""
    return call_isolated(dicom_reader.read, path, seconds=_limit(path))


def _limit(path: Path) -> float:
    return _SECONDS + _SECONDS_PER_GB * sum(os.path.getsize(file) for file in dicom_files(path)) / 1e9
