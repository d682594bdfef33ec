"""NRRD, MetaImage and DICOM by SimpleITK, imported only when such a file is read or written.

ITK's arrays are (Z, Y, X, C) and its world is LPS; here they are (C, X, Y, Z) and RAS+. Sheared axes are kept: these
formats store one direction a voxel axis, and SimpleITK refuses singular matrices only.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from l2s_auto.core.errors import UserError, some_of
from l2s_auto.io import ownership
from l2s_auto.io.atomic import atomic_path, unfinished

_READERS = {".mha": "MetaImageIO", ".mhd": "MetaImageIO", ".nrrd": "NrrdImageIO"}
#: Tags of DICOM: where a slice's first voxel lies, and its rows' and columns' directions.
_POSITION, _DIRECTIONS = "0020|0032", "0020|0037"
#: Share of the usual distance of neighbouring slices by which one may differ.
_UNEVEN = 0.05

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def _simple_itk() -> Any:
    import SimpleITK

    SimpleITK.ProcessObject.GlobalWarningDisplayOff()
    return SimpleITK


def is_dicom_file(path: Path) -> bool:
    """Whether the file has DICOM's mark after its preamble, or its suffix."""
    if not path.is_file() or path.name.startswith("."):
        return False
    if path.suffix.lower() == ".dcm":
        return True
    with open(path, "rb") as file:
        return file.read(132)[128:] == b"DICM"


def is_dicom_folder(path: Path) -> bool:
    """Whether a file directly in the folder is DICOM."""
    return path.is_dir() and any(is_dicom_file(file) for file in sorted(path.iterdir()))


def read_header(path: Path) -> tuple[tuple[int, int, int], int, np.ndarray]:
    """(X, Y, Z) shape, number of channels, affine; reads the header only (a DICOM folder is read whole)."""
    sitk = _simple_itk()
    if path.is_dir():
        data, affine = read(path, dtype=None)
        return data.shape[1:], data.shape[0], affine
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO(_reader_of(path))
    reader.ReadImageInformation()
    size = reader.GetSize()
    x, y, z = (*size, 1)[:3]
    channels = int(np.prod(size[3:])) * reader.GetNumberOfComponents()
    return (x, y, z), channels, _affine(reader.GetDirection(), reader.GetSpacing(), reader.GetOrigin())


def read(path: Path, *, dtype: type[np.floating] | None) -> tuple[np.ndarray, np.ndarray]:
    """(C, X, Y, Z) data in `dtype` (None = the file's) and affine of a file or of a folder with one DICOM series."""
    sitk = _simple_itk()
    image = _read_series(path) if path.is_dir() else sitk.ReadImage(str(path), imageIO=_reader_of(path))
    array = sitk.GetArrayFromImage(image)
    if image.GetNumberOfComponentsPerPixel() == 1:
        array = array[..., np.newaxis]
    array = array.T  # (C, X, Y[, Z[, T]])
    if array.ndim == 3:
        array = array[..., np.newaxis]
    elif array.ndim == 5:
        array = np.moveaxis(array, -1, 1).reshape((-1, *array.shape[1:4]))
    if array.dtype.kind not in "iuf" or array.ndim != 4:
        raise UserError.single(
            "A file cannot be used.",
            where=str(path),
            found=f"{image.GetDimension()} dimensions of {image.GetPixelIDTypeAsString()}",
            expected="a two- or three-dimensional volume of real numbers",
            mend="Save one three-dimensional volume a file.",
        )
    affine = _affine(image.GetDirection(), image.GetSpacing(), image.GetOrigin())
    return array if dtype is None else array.astype(dtype), affine


def _reader_of(path: Path) -> str:
    """ITK's name of what reads a file, which it would not find for suffixes in capitals; empty: it finds it itself."""
    return _READERS.get(path.suffix.lower(), "")


def _read_series(folder: Path) -> Any:
    sitk = _simple_itk()
    series = sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder))
    if len(series) != 1:
        raise UserError.single(
            "A folder cannot be read as one scan.",
            where=str(folder),
            found=f"{len(series)} DICOM series" + (f" ({', '.join(series)})" if series else ""),
            expected="exactly one DICOM series",
            mend="Put each series in a folder of its own.",
        )
    reader = sitk.ImageSeriesReader()
    names = reader.GetGDCMSeriesFileNames(str(folder), series[0])
    _require_whole(folder, [Path(name) for name in names])
    reader.SetFileNames(names)
    return reader.Execute()


def _require_whole(folder: Path, slices: Sequence[Path]) -> None:
    """UserError where files of the series cannot be read, or slices are missing, doubled or at uneven distances.

    ITK would leave out, or spread, what is there, and so stretch the patient.
    """
    sitk = _simple_itk()
    used = {path.name for path in slices}
    others = [path for path in sorted(folder.iterdir()) if path.name not in used and path.name.upper() != "DICOMDIR"]
    unread = [path.name for path in others if is_dicom_file(path)]
    found = f"{len(unread)} DICOM files that are no readable slices: {some_of(unread, most=3)}" if unread else ""
    places = []
    for path in slices:
        reader = sitk.ImageFileReader()
        reader.SetFileName(str(path))
        reader.ReadImageInformation()
        if not reader.HasMetaDataKey(_POSITION) or not reader.HasMetaDataKey(_DIRECTIONS):
            break
        directions = [float(number) for number in reader.GetMetaData(_DIRECTIONS).split("\\")]
        position = [float(number) for number in reader.GetMetaData(_POSITION).split("\\")]
        places.append(float(np.cross(directions[:3], directions[3:]) @ position))
    if not found and len(places) == len(slices) > 2:
        order = np.argsort(places, kind="stable")
        slices, steps = [slices[k] for k in order], np.diff(np.sort(places))
        usual = float(np.median(steps))
        far = [k for k, step in enumerate(steps) if abs(step - usual) > max(_UNEVEN * usual, 1e-3)]
        if far:
            pairs = [f"{steps[k]:.2f} mm from {slices[k].name} to {slices[k + 1].name}" for k in far]
            found = f"slices of {usual:.2f} mm distance, but {some_of(pairs, most=3)}: some are missing, or there twice"
    if found:
        raise UserError.single(
            "A DICOM series is not whole.",
            where=str(folder),
            found=found,
            expected="the slices of one volume at equal distances, and no other DICOM file",
            mend="Export the series again, or remove what does not belong to it.",
        )


def _affine(direction: tuple[float, ...], spacing: tuple[float, ...], origin: tuple[float, ...]) -> np.ndarray:
    """Voxel -> RAS+ mm. A missing third axis has a spacing of 1 mm; axes beyond the third are not spatial."""
    n = len(spacing)
    spatial = min(n, 3)
    lps = np.eye(4)
    lps[:spatial, :spatial] = (np.reshape(direction, (n, n)) * np.asarray(spacing))[:spatial, :spatial]
    lps[:spatial, 3] = origin[:spatial]
    return LPS_TO_RAS @ lps


def write(path: Path, data: np.ndarray, affine: np.ndarray) -> None:
    """Write (C, X, Y, Z) in its own type; the file appears whole or not at all."""
    sitk = _simple_itk()
    array = data[0].T if len(data) == 1 else data.T
    image = sitk.GetImageFromArray(np.ascontiguousarray(array), isVector=len(data) > 1)
    lps = LPS_TO_RAS @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    if path.suffix.lower() == ".mhd":
        _write_pair(image, path)
        return
    with atomic_path(path) as temporary:
        sitk.WriteImage(image, str(temporary), useCompression=True)


def _write_pair(image: Any, path: Path) -> None:
    """A .mhd names its .raw inside, so both are written under their own names elsewhere, then moved, header last."""
    sitk = _simple_itk()
    path.parent.mkdir(parents=True, exist_ok=True)
    for target in (path, path.with_suffix(".raw")):
        ownership.check(target)
    folder = Path(tempfile.mkdtemp(prefix=unfinished(), dir=path.parent))
    try:
        sitk.WriteImage(image, str(folder / path.name))
        for file in sorted(folder.iterdir(), key=lambda file: file.name == path.name):
            ownership.replace(file, path.parent / file.name)
    finally:
        ownership.discard(folder)
