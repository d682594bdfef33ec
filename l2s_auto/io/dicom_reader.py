"""DICOM by GDCM, which is part of SimpleITK. Only the process of `io/isolated.py` calls these functions.

ITK's arrays are (Z, Y, X, C) and its world is LPS; here they are (C, X, Y, Z) and RAS+.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from l2s_auto.core.errors import UserError, some_of
from l2s_auto.core.types import Volume
from l2s_auto.io.dicom_header import DicomSize, read_size
from l2s_auto.io.folders import files_in, is_dicom_file, may_be_dicom
from l2s_auto.io.gunzip import DamagedFile
from l2s_auto.io.isolated import memory_limit
from l2s_auto.io.world import lps_affine

#: Tags of DICOM: where a slice's first voxel lies, its rows' and columns' directions, and their distances.
_POSITION, _DIRECTIONS, _SPACING = "0020|0032", "0020|0037", "0028|0030"
#: By how much directions (unit vectors) and distances (relative) of slices of one volume may differ.
_TURNED, _STRETCHED = 1e-3, 1e-3
#: By how much directions may differ from unit vectors at right angles, in their products.
_SKEWED = 1e-2
#: Fraction of the typical distance of neighbouring slices by which one may differ.
_UNEVEN = 0.05
#: Bytes that reading may take, and times the bytes of the voxels.
_MEMORY, _MEMORY_FACTOR = 1 << 31, 4

Header = tuple[tuple[int, int, int], int, np.ndarray]


def read_header(path: Path) -> Header:
    """(X, Y, Z) shape, number of channels, affine; a folder is read completely."""
    volume = read(path)
    x, y, z = volume.data.shape[1:]
    return (x, y, z), len(volume.data), volume.affine


def read(path: Path) -> Volume:
    """(C, X, Y, Z) data in the file's type, affine and notes of a file or of a folder with one DICOM series."""
    sizes = _sizes_in(path) if path.is_dir() else {path: read_size(path)}
    memory = _MEMORY + _MEMORY_FACTOR * sum(size.nbytes for size in sizes.values())
    with tempfile.TemporaryDirectory(prefix="l2s-dicom-") as checked, memory_limit(memory):
        for number, file in enumerate(sizes):
            _link(file.resolve(), Path(checked) / str(number))
        grid = None
        if path.is_dir():
            image, grid = _read_series(path, sizes, checked)
        else:
            image = _simple_itk().ReadImage(str(Path(checked) / "0"), imageIO="GDCMImageIO")
        array = _simple_itk().GetArrayFromImage(image)
    if image.GetNumberOfComponentsPerPixel() == 1:
        array = array[..., np.newaxis]
    array = array.T  # (C, X, Y[, Z])
    if array.ndim == 3:
        array = array[..., np.newaxis]
    if array.dtype.kind not in "iuf" or array.ndim != 4:
        raise UserError.single(
            "A file cannot be used.",
            where=str(path),
            found=f"{image.GetDimension()} dimensions of {image.GetPixelIDTypeAsString()}",
            expected="a two- or three-dimensional volume of real numbers",
            mend="Save one three-dimensional volume a file.",
        )
    first = next(iter(sizes.values()))
    expected = (first.columns, first.rows, sum(size.frames for size in sizes.values()))
    if array.shape[1:] != expected:
        raise DamagedFile(f"a volume of shape {array.shape[1:]}, but its header says {expected}")
    spacing, n = np.asarray(image.GetSpacing()), image.GetDimension()
    if grid is None:
        return Volume(array, lps_affine(np.reshape(image.GetDirection(), (n, n)) * spacing, image.GetOrigin()))
    return Volume(array, lps_affine(*grid))


def _simple_itk() -> Any:
    import SimpleITK

    SimpleITK.ProcessObject.GlobalWarningDisplayOff()
    return SimpleITK


def _sizes_in(folder: Path) -> dict[Path, DicomSize]:
    """Every DICOM file of a folder and what it says of its voxels. UserError where one cannot be read completely."""
    sizes, damaged = {}, []
    for path in files_in(folder):
        if path.name.upper() == "DICOMDIR" or not (is_dicom_file(path) or may_be_dicom(path)):
            continue
        try:
            sizes[path] = read_size(path)
        except (DamagedFile, EOFError, OSError) as error:
            damaged.append(f"{path.name} ({getattr(error, 'strerror', None) or error})")
    if damaged:
        _refuse(folder, f"{len(damaged)} DICOM files that are no readable slices: {some_of(damaged, most=3)}")
    return sizes


def _read_series(
    folder: Path, sizes: Mapping[Path, DicomSize], checked: str
) -> tuple[Any, tuple[np.ndarray, np.ndarray] | None]:
    """The image of the one series that the files of `sizes` belong to, and where it lies (`_grid`).

    checked  a folder of links to these files, named by their numbers: GDCM sees no other file, and no odd name
    """
    sitk = _simple_itk()
    series = sitk.ImageSeriesReader.GetGDCMSeriesIDs(checked)
    if len(series) != 1:
        raise UserError.single(
            "A folder cannot be read as one scan.",
            where=str(folder),
            found=f"{len(series)} DICOM series" + (f" ({', '.join(series)})" if series else ""),
            expected="exactly one DICOM series",
            mend="Put each series in a folder of its own.",
        )
    links = list(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(checked, series[0]))
    files = list(sizes)
    ordered = [files[int(Path(link).name)].name for link in links]
    if unread := [path.name for path in files if path.name not in ordered]:
        _refuse(folder, f"{len(unread)} DICOM files that are no readable slices: {some_of(unread, most=3)}")
    if len({(size.rows, size.columns, size.samples) for size in sizes.values()}) > 1:
        _refuse(folder, "slices of several sizes")
    if found := _misplaced(links, ordered):
        _refuse(folder, found)
    reader = sitk.ImageSeriesReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileNames(links)
    return reader.Execute(), _grid(links)


def _link(path: Path, name: Path) -> None:
    try:
        os.symlink(path, name)
    except OSError:  # Windows asks for a permission
        shutil.copyfile(path, name)


def _misplaced(files: Sequence[str], names: Sequence[str]) -> str:
    """What is wrong with where the slices lie; empty if nothing is, or if they have no positions."""
    planes = []
    for file, name in zip(files, names, strict=True):
        numbers = _numbers_of(file)
        if _POSITION not in numbers or _DIRECTIONS not in numbers:
            return ""
        if len(numbers[_DIRECTIONS]) != 6 or len(numbers[_POSITION]) != 3:
            return f"the position or the directions of {name}, which are not 3 and 6 numbers"
        planes.append(numbers)
    return _unlike(planes, names) or _uneven(planes, names)


def _numbers_of(file: str) -> dict[str, list[float]]:
    """What a slice says of its position, directions and distances; without what it does not say, or not in numbers."""
    reader = _simple_itk().ImageFileReader()
    reader.SetFileName(file)
    reader.SetImageIO("GDCMImageIO")
    reader.ReadImageInformation()
    found = {}
    for tag in (_POSITION, _DIRECTIONS, _SPACING):
        if reader.HasMetaDataKey(tag):
            found[tag] = [float(number) for number in reader.GetMetaData(tag).split("\\")]
    return found


def _unlike(planes: Sequence[Mapping[str, list[float]]], names: Sequence[str]) -> str:
    """A slice that is turned or scaled against the first; ITK would give all of them the first one's grid."""
    first = planes[0]
    for plane, name in zip(planes, names, strict=True):
        spacing = plane.get(_SPACING, [])
        same = len(spacing) == len(first.get(_SPACING, [])) and np.allclose(
            spacing, first.get(_SPACING, []), rtol=_STRETCHED, atol=0
        )
        if not same or not np.allclose(plane[_DIRECTIONS], first[_DIRECTIONS], rtol=0, atol=_TURNED):
            return f"{name} with other directions or another pixel spacing than {names[0]}"
    return ""


def _uneven(planes: Sequence[Mapping[str, list[float]]], names: Sequence[str]) -> str:
    """Neighbouring slices whose distance is not the typical one, or that lie beside the line of the others."""
    if len(planes) < 3:
        return ""
    places = [float(np.cross(plane[_DIRECTIONS][:3], plane[_DIRECTIONS][3:]) @ plane[_POSITION]) for plane in planes]
    order = np.argsort(places, kind="stable")
    names, steps = [names[k] for k in order], np.diff(np.array(places)[order])
    typical = float(np.median(steps))
    allowed = max(_UNEVEN * typical, 1e-3)
    far = [k for k, step in enumerate(steps) if not abs(step - typical) <= allowed]
    if pairs := [f"{steps[k]:.2f} mm from {names[k]} to {names[k + 1]}" for k in far]:
        return f"slices of {typical:.2f} mm distance, but {some_of(pairs, most=3)}: some are missing, or there twice"
    moves = np.diff([planes[k][_POSITION] for k in order], axis=0)
    beside = [k for k, move in enumerate(moves) if not np.linalg.norm(move - np.median(moves, axis=0)) <= allowed]
    pairs = [f"{names[k]} and {names[k + 1]}" for k in beside]
    return f"slices that are not in line with the others: {some_of(pairs, most=3)}" if pairs else ""


def _grid(links: Sequence[str]) -> tuple[np.ndarray, np.ndarray] | None:
    """(3, 3) steps of the axes and (3,) position of the first voxel in LPS mm; None where the slices do not say.

    From the tags themselves (PS3.3 of the standard, C.7.6.2.1.1): GDCM leaves them out for kinds of images that it does
    not know, and a tilted gantry makes the third axis lean against the slices, which ITK's grid cannot express.
    """
    first, last = (_numbers_of(links[k]) for k in (0, -1))
    if len(links) < 2 or not first.keys() >= {_POSITION, _DIRECTIONS, _SPACING} or _POSITION not in last:
        return None
    if [len(first[tag]) for tag in (_POSITION, _DIRECTIONS, _SPACING)] != [3, 6, 2] or len(last[_POSITION]) != 3:
        raise DamagedFile("a position, directions or a pixel spacing of another length than 3, 6 and 2 numbers")
    across, down = np.reshape(first[_DIRECTIONS], (2, 3))
    between_rows, between_columns = first[_SPACING]
    if not np.allclose([across @ across, down @ down, across @ down], [1, 1, 0], atol=_SKEWED):
        raise DamagedFile("directions of rows and columns that are no unit vectors at right angles")
    if not min(between_rows, between_columns) > 0:
        raise DamagedFile(f"a pixel spacing of {between_rows:g} and {between_columns:g} mm")
    origin = np.array(first[_POSITION])
    step = (np.array(last[_POSITION]) - origin) / (len(links) - 1)
    return np.stack([across * between_columns, down * between_rows, step], axis=1), origin


def _refuse(folder: Path, found: str) -> None:
    raise UserError.single(
        "A DICOM series is not whole.",
        where=str(folder),
        found=found,
        expected="the slices of one volume at equal distances, and no other DICOM file",
        mend="Export the series again, or remove what does not belong to it.",
    )
