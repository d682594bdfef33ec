"""DICOM: one way for a folder of slices, for one slice and for a file of many frames.

Compressed voxels are decoded by GDCM, which may crash. Only the process of `io/isolated.py` calls these functions.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from l2s_auto.core.types import Volume
from l2s_auto.io import dicom_file as tags
from l2s_auto.io.dicom_file import DicomFile
from l2s_auto.io.dicom_frames import Frame, frames_of, shared_position
from l2s_auto.io.dicom_grid import Grid, grid_of, refuse
from l2s_auto.io.dicom_select import selected
from l2s_auto.io.dicom_series import scan_in, scan_of
from l2s_auto.io.dicom_voxels import is_inverted, read_voxels
from l2s_auto.io.gunzip import DamagedFile
from l2s_auto.io.isolated import memory_limit
from l2s_auto.io.world import lps_affine

#: Bytes that reading may take, and times the bytes of the voxels.
_MEMORY, _MEMORY_FACTOR = 1 << 31, 4

Header = tuple[tuple[int, int, int], int, np.ndarray]


def read_header(path: Path) -> Header:
    """(X, Y, Z) shape, number of channels, affine; voxels are not decoded."""
    with memory_limit(_MEMORY):
        _, grid = _scan(path)
    columns, rows = grid.frames[0].size
    return (columns, rows, len(grid.frames)), 1, lps_affine(grid.columns, grid.origin)


def read(path: Path) -> Volume:
    """(1, X, Y, Z) data, affine and notes of a file, a folder with one DICOM series, or a selected series."""
    with memory_limit(_MEMORY):
        files, grid = _scan(path)
    with memory_limit(_MEMORY + _MEMORY_FACTOR * sum(file.size().nbytes for file in files)):
        data = read_voxels(files, grid.frames)
    return Volume(data[np.newaxis], lps_affine(grid.columns, grid.origin), grid.notes)


def _scan(path: Path) -> tuple[list[DicomFile], Grid]:
    if path.is_dir() or selected(path) is not None:
        files, notes = scan_in(path)
    else:
        file, notes = scan_of(path)
        files = [file]
    frames = [frame for index in range(len(files)) for frame in _frames(path, files, index)]
    nuclear = len(files) == 1 and files[0].data.text(tags.MODALITY) == "NM"
    if nuclear:
        frames = _by_slice_vector(path, files[0], frames)
    start = shared_position(files[0]) if len(files) == 1 else None
    grid = grid_of(path, frames, start=start, signed=nuclear)
    if any(file.data.items(tags.MODALITY_LUT) for file in files):
        notes = (*notes, "its values are stored ones: its table of values (Modality LUT) is not used")
    if any(map(is_inverted, files)):
        notes = (*notes, "low values are shown bright (MONOCHROME1); they are inverted, so that bright is high")
    image_types = {file.data.text(tags.IMAGE_TYPE).upper() for file in files}
    if all("LOCALIZER" in kind for kind in image_types):
        notes = (*notes, "it is a localizer (ImageType)")
    return files, Grid(grid.frames, grid.columns, grid.origin, (*notes, *grid.notes))


def _frames(path: Path, files: list[DicomFile], index: int) -> list[Frame]:
    file = files[index]
    name = file.path.name if len(files) > 1 else ""
    try:
        frames = frames_of(file, index=index, name=name)
    except DamagedFile as error:
        if not name:
            raise
        raise DamagedFile(f"{name}: {error}") from None
    if any(frame.slope == 0 for frame in frames):
        refuse(
            path,
            f"RescaleSlope 0 of {file.path.name}, which makes all values equal",
            expected="a slope other than 0",
            mend="Export the series again.",
        )
    return frames


def _by_slice_vector(path: Path, file: DicomFile, frames: list[Frame]) -> list[Frame]:
    """Frames of nuclear medicine in the order of their slice numbers (PS3.3 of the standard, C.8.4.9)."""
    value = file.data.values.get(tags.SLICE_VECTOR, b"")
    if len(value) != 2 * len(frames):
        return frames
    numbers = np.frombuffer(value, f"{file.data.order}u2").tolist()
    if sorted(numbers) != list(range(1, len(frames) + 1)):
        refuse(path, f"frames of {len(set(numbers))} slices (SliceVector), but {len(frames)} frames")
    return [frame for _, frame in sorted(zip(numbers, frames, strict=True), key=lambda pair: pair[0])]
