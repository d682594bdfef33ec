"""Volumes and label maps in every format that is accepted: one way in, one way out.

Arrays are (C, X, Y, Z), or (X, Y, Z) for label maps, with the axes in the order of the file; affines are
voxel -> RAS+ mm. The same volume stored as NIfTI, NRRD or MetaImage reads back as the same array and affine.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import numpy as np

from l2s_auto.core.errors import UserError
from l2s_auto.core.types import Volume
from l2s_auto.io import dicom, itk, metaimage, nifti, nrrd
from l2s_auto.io.atomic import atomic_path
from l2s_auto.io.folders import files_in, is_closed, is_dicom_file, is_dicom_folder
from l2s_auto.io.labels import stored, whole_numbers
from l2s_auto.io.stored import check_size, read_array
from l2s_auto.io.unfetched import require_fetched
from l2s_auto.io.world import Header

NIFTI_SUFFIXES = (".nii.gz", ".nii")
ITK_SUFFIXES = (".nrrd", ".mha", ".mhd")
WRITABLE_SUFFIXES = NIFTI_SUFFIXES + ITK_SUFFIXES
#: Of headers that name the file of their voxels.
PAIRS = (".mhd",)
SUFFIXES = (*WRITABLE_SUFFIXES, ".dcm")

#: How Python has bytes of a file's name that are not UTF-8; no table, JSON file or terminal takes them.
_NOT_UTF8 = re.compile(r"[\udc80-\udcff]")

PathLike = str | os.PathLike[str]


def volume_suffix(path: PathLike) -> str:
    """The suffix of SUFFIXES that the name ends with (any case), in lower case; empty if there is none."""
    name = Path(path).name.lower()
    return next((suffix for suffix in SUFFIXES if name.endswith(suffix)), "")


def case_name(path: PathLike) -> str:
    """File name without its (double) suffix; a folder's name stays as it is. Bytes that are no UTF-8 become %FF."""
    name = Path(path).name
    stem = name[: len(name) - len(volume_suffix(path))]
    return _NOT_UTF8.sub(lambda byte: f"%{ord(byte[0]) - 0xDC00:02X}", stem)


def files_of_volume(path: PathLike) -> list[Path]:
    """The files that are written for a volume of that name: of a MetaImage header, that of its voxels too."""
    path = Path(path)
    return [path, path.with_suffix(".raw")] if volume_suffix(path) in PAIRS else [path]


def read_volume(path: PathLike) -> Volume:
    """A scan as float32. A DICOM series is given as its folder. Raises UserError if it cannot be read."""
    return _read(Path(path), dtype=np.float32)


def read_stored(path: PathLike) -> Volume:
    """A scan in the type that the file has, where nothing is scaled; floats as float32. Otherwise as `read_volume`."""
    volume = _read(Path(path), dtype=None, scaled=np.float32)
    if volume.data.dtype.kind != "f":
        return volume
    return replace(volume, data=volume.data.astype(np.float32, copy=False))


def read_label_map(path: PathLike) -> tuple[np.ndarray, np.ndarray]:
    """(X, Y, Z) int32 label values and affine.

    As `read_noted_label_map`, for those who do not need the notes.
    """
    labels, affine, _ = read_noted_label_map(path)
    return labels, affine


def read_noted_label_map(path: PathLike) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """(X, Y, Z) int32 label values, affine, and notes as in `Volume`.

    Floats that are whole numbers (within 1e-3) are accepted. Raises UserError for unreadable files, several
    channels, fractions, NaN and infinity.
    """
    volume = _read(Path(path), dtype=None)
    data = volume.data
    if len(data) != 1:
        raise UserError.single(
            "A label map cannot be used.",
            where=str(path),
            found=f"{len(data)} channels",
            expected="one value a voxel",
            mend="Save the labels as one volume of whole numbers.",
        )
    return whole_numbers(data[0], path=path), volume.affine, volume.notes


def read_grid(path: PathLike) -> tuple[tuple[int, int, int], np.ndarray]:
    """(X, Y, Z) shape and affine, from the header only where the format allows."""
    shape, _, affine = read_header(path)
    return shape, affine


def read_header(path: PathLike) -> tuple[tuple[int, int, int], int, np.ndarray]:
    """(X, Y, Z) shape, number of channels and affine, from the header only where the format allows.

    Raises UserError also where the file cannot hold as many voxels as its header says.
    """
    path = Path(path)
    _require_file(path)
    suffix = volume_suffix(path)
    with _explained(path):
        if suffix in NIFTI_SUFFIXES:
            shape, channels, affine = nifti.read_header(path)
        elif suffix in ITK_SUFFIXES:
            header = _itk_header(path)
            check_size(header.stored)
            shape, channels, affine = header.shape, header.channels, header.affine
        else:
            shape, channels, affine = dicom.read_header(path)
    _require_affine(path, affine)
    return shape, channels, affine


def channels_of(path: PathLike) -> int | None:
    """Channels that the header says; None where only reading tells (DICOM). Raises UserError as `read_header` does."""
    is_dicom = os.path.isdir(path) or volume_suffix(path) not in WRITABLE_SUFFIXES
    return None if is_dicom else read_header(path)[1]


def files_of(path: PathLike) -> list[Path]:
    """The files that hold a volume: itself, the other one of a pair, the files of a DICOM folder."""
    path = Path(path)
    if os.path.isdir(path):
        return files_in(path)
    if volume_suffix(path) in ITK_SUFFIXES and os.path.isfile(path):  # a pipe is never opened
        with suppress(*_reading_errors()):
            return list(dict.fromkeys((path, _itk_header(path).stored.path)))
    return [path]


def _read(path: Path, *, dtype: type[np.floating] | None, scaled: type[np.floating] = np.float64) -> Volume:
    """dtype: None for the file's; scaled: of voxels with a slope, where dtype is None"""
    _require_file(path)
    suffix = volume_suffix(path)
    with _explained(path):
        if suffix in NIFTI_SUFFIXES:
            volume = nifti.read(path, dtype=dtype, scaled=scaled)
        else:
            if suffix in ITK_SUFFIXES:
                header = _itk_header(path)
                volume = Volume(header.arrange(read_array(header.stored)), header.affine, header.notes)
            else:
                volume = dicom.read(path)
            if dtype is not None:
                volume = replace(volume, data=volume.data.astype(dtype, copy=False))
    _require_affine(path, volume.affine)
    return volume


def _itk_header(path: Path) -> Header:
    return (nrrd if volume_suffix(path) == ".nrrd" else metaimage).read_header(path)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn what damaged files raise into a UserError about the file."""
    try:
        yield
    except UserError:
        raise
    except MemoryError as error:
        raise UserError.single(
            "A file cannot be read.",
            where=str(path),
            found=f"more voxels than the memory holds ({error})" if str(error) else "more voxels than the memory holds",
            expected="a volume that fits into memory",
            mend="Check the size in its header, crop the volume, or use fewer --workers.",
        ) from error
    except _reading_errors() as error:
        _unreadable(path, error)


def _reading_errors() -> tuple[type[Exception], ...]:
    """What a damaged file can raise; SimpleITK raises RuntimeError for everything."""
    return (*nifti.errors(), RuntimeError)


def _require_file(path: Path) -> None:
    """UserError unless it is a file or folder that may be read; a pipe or a device is never opened."""
    suffix = volume_suffix(path)
    require_fetched(path)
    try:
        mode = path.stat().st_mode
    except PermissionError as error:
        _unreadable(path, error)
    except (OSError, ValueError):
        found, expected = ("a link to nothing" if os.path.islink(path) else "nothing"), "a file"
    else:
        if stat.S_ISDIR(mode):
            if not suffix and is_dicom_folder(path):
                return
            if is_closed(path):
                _unreadable(path, PermissionError())
            found, expected = "a folder", f"a {suffix} file" if suffix else "a file, or a folder with a DICOM series"
        elif not stat.S_ISREG(mode):
            found, expected = "neither a file nor a folder", "a file"
        elif path.stat().st_size == 0:
            found, expected = "an empty file (0 bytes)", "a volume"
        elif not suffix and not is_dicom_file(path):
            found, expected = f"the name {path.name}", f"a name that ends with one of {', '.join(SUFFIXES)}"
        else:
            return
    raise UserError.single(
        "A file cannot be read.",
        where=str(path),
        found=found,
        expected=expected,
        mend="Correct the path, or replace the file by a whole copy.",
    )


def _require_affine(path: Path, affine: np.ndarray) -> None:
    # Compared with the edges, so that a voxel may have any size: that of 1 nm has 1e-18 mm³.
    edges = np.linalg.norm(affine[:3, :3], axis=0)
    if np.isfinite(affine).all() and edges.min() > 0 and abs(np.linalg.det(affine[:3, :3] / edges)) > 1e-6:
        return
    rows = [[float(f"{x:.5g}") for x in row] for row in affine[:3]]
    raise UserError.single(
        "A file cannot be used.",
        where=str(path),
        found=f"the affine {rows}, which places voxels nowhere or on top of each other",
        expected="an affine that can be inverted",
        mend="Repair the header, for instance by converting the scan again.",
    )


def _unreadable(path: Path, error: Exception) -> NoReturn:
    if isinstance(error, PermissionError):
        raise UserError.single(
            "A file cannot be read.",
            where=str(path),
            found="no right to read it",
            expected="a file that you may read",
            mend="Give yourself the right, or copy the file.",
        ) from error
    lines = [line.strip(" -") for line in str(error).splitlines() if line.strip()]
    if isinstance(error, RuntimeError):  # SimpleITK's own call stack comes first, a stale errno may come last
        lines = [line for line in lines if not line.startswith("Reason:")][-1:]
    cause = "; ".join(lines) or type(error).__name__
    raise UserError.single(
        "A file cannot be read.",
        where=str(path),
        found=f"damaged or unreadable data ({cause})",
        expected=f"a whole {volume_suffix(path) or 'DICOM'} file",
        mend="Copy or convert the file again.",
    ) from error


def write_label_map(path: PathLike, labels: np.ndarray, affine: np.ndarray, like: PathLike | None = None) -> None:
    """Write (X, Y, Z) integer labels in the smallest integer type that holds them; atomic.

    `like` is the scan that was segmented: if both are NIfTI, its forms, their codes and its units are kept exactly.
    """
    assert labels.ndim == 3, f"labels must be (X, Y, Z), not {labels.shape}"
    _write(Path(path), stored(labels)[np.newaxis], affine, like=like)


def write_volume(path: PathLike, volume: Volume, like: PathLike | None = None) -> None:
    """Write a scan as float32, channels last where there are several; atomic. `like` as in write_label_map."""
    _write(Path(path), volume.data.astype(np.float32, copy=False), volume.affine, like=like)


def write_volumes(
    path: PathLike, volumes: Iterable[np.ndarray], shape: tuple[int, int, int, int], affine: np.ndarray
) -> None:
    """Write (X, Y, Z, K) float32 as NIfTI, one (X, Y, Z) volume after the other; atomic, in the memory of one."""
    with atomic_path(path) as temporary:
        nifti.write_planes(temporary, volumes, shape, affine)


def _write(path: Path, data: np.ndarray, affine: np.ndarray, *, like: PathLike | None) -> None:
    suffix = volume_suffix(path)
    if suffix not in WRITABLE_SUFFIXES:
        raise UserError.single(
            "This format cannot be written.",
            where=str(path),
            found=f"the name {path.name}",
            expected=f"a name that ends with one of {', '.join(WRITABLE_SUFFIXES)}",
            mend="Choose another name for the output.",
        )
    if suffix in ITK_SUFFIXES:
        itk.write(path, data, affine)
        return
    source = Path(like) if like is not None and volume_suffix(like) in NIFTI_SUFFIXES else None
    with atomic_path(path) as temporary:
        nifti.write(temporary, data, affine, like=source)
