"""Volumes and label maps in every format that is accepted: one way in, one way out.

Arrays are (C, X, Y, Z), or (X, Y, Z) for label maps, with the axes in the order of the file; affines are
voxel -> RAS+ mm, whatever unit the file has. The same volume stored as NIfTI, NRRD, MetaImage or MGH reads back as the
same array and affine.
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
from l2s_auto.core.limits import MIN_SPACING, WIDEST
from l2s_auto.core.types import Volume
from l2s_auto.io import dicom, itk, metaimage, mgh, nifti, nrrd
from l2s_auto.io.atomic import atomic_path
from l2s_auto.io.dicom_select import Selected, dicom_files, selected
from l2s_auto.io.first_bytes import SUFFIXES_OF, content_of, name_for
from l2s_auto.io.folders import is_closed, is_dicom_file, is_dicom_folder, may_be_dicom
from l2s_auto.io.geometry import is_invertible
from l2s_auto.io.labels import stored, whole_numbers
from l2s_auto.io.partner import voxels_of
from l2s_auto.io.stored import check_size, read_array
from l2s_auto.io.unfetched import require_fetched
from l2s_auto.io.world import LPS_IN_MM, Header

NIFTI_SUFFIXES = (".nii.gz", ".nii")
ITK_SUFFIXES = (".nrrd", ".nhdr", ".mha", ".mhd")
MGH_SUFFIXES = (".mgz", ".mgh")
WRITABLE_SUFFIXES = NIFTI_SUFFIXES + ITK_SUFFIXES + MGH_SUFFIXES
#: Of headers of NIfTI and Analyze whose voxels are in an .img; they are only read.
HDR_SUFFIXES = (".hdr", ".hdr.gz")
#: Of headers whose voxels are in another file.
PAIRS = (".mhd", ".nhdr", *HDR_SUFFIXES)
SUFFIXES = (*WRITABLE_SUFFIXES, *HDR_SUFFIXES, ".dcm")
#: Of what is read by `nifti`, and by the parsers of `_header_of`.
_BY_NIFTI = NIFTI_SUFFIXES + HDR_SUFFIXES
_PARSED = ITK_SUFFIXES + MGH_SUFFIXES

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
    """The files that are written for a volume of that name: of a header without voxels, that of its voxels too."""
    path = Path(path)
    return [path, path.with_suffix(".raw")] if volume_suffix(path) in (".mhd", ".nhdr") else [path]


def read_volume(path: PathLike) -> Volume:
    """A scan as float32. Raises UserError if it cannot be read.

    A DICOM series is given as its folder, or, among others, as `io/dicom_select.py` has it.
    """
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
        if suffix in _BY_NIFTI:
            shape, channels, affine = nifti.read_header(path)
        elif suffix in _PARSED:
            header = _header_of(path)
            check_size(header.stored)
            shape, channels, affine = header.shape, header.channels, header.affine
        else:
            shape, channels, affine = dicom.read_header(path)
    _require_affine(path, shape, affine)
    return shape, channels, affine


def channels_of(path: PathLike) -> int | None:
    """Channels that the header says; None where only reading tells (DICOM). Raises UserError as `read_header` does."""
    is_dicom = os.path.isdir(path) or volume_suffix(path) not in (*_BY_NIFTI, *_PARSED)
    return None if is_dicom else read_header(path)[1]


def files_of(path: PathLike) -> list[Path]:
    """The files that hold a volume: itself, the other one of a pair, the files of a DICOM folder or series."""
    path = Path(path)
    if os.path.isdir(path) or selected(path) is not None:
        return dicom_files(path)
    if volume_suffix(path) in ITK_SUFFIXES and os.path.isfile(path):  # a pipe is never opened
        with suppress(*_reading_errors()):
            return list(dict.fromkeys((path, _header_of(path).stored.path)))
    if volume_suffix(path) in HDR_SUFFIXES and os.path.isfile(path):
        with suppress(*_reading_errors()):
            return [path, voxels_of(path)]
    return [path]


def _read(path: Path, *, dtype: type[np.floating] | None, scaled: type[np.floating] = np.float64) -> Volume:
    """dtype: None for the file's; scaled: of voxels with a slope, where dtype is None"""
    _require_file(path)
    suffix = volume_suffix(path)
    with _explained(path):
        if suffix in _BY_NIFTI:
            volume = nifti.read(path, dtype=dtype, scaled=scaled)
        else:
            if suffix in _PARSED:
                header = _header_of(path)
                notes = list(header.notes)
                volume = Volume(header.arrange(read_array(header.stored, notes)), header.affine, tuple(notes))
            else:
                volume = dicom.read(path)
            if dtype is not None:
                volume = replace(volume, data=volume.data.astype(dtype, copy=False))
    _require_affine(path, volume.data.shape[1:], volume.affine)
    return volume


def _header_of(path: Path) -> Header:
    suffix = volume_suffix(path)
    if suffix in MGH_SUFFIXES:
        return mgh.read_header(path)
    return (nrrd if suffix in (".nrrd", ".nhdr") else metaimage).read_header(path)


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
    if (series := selected(path)) is not None:
        _require_series(path, series)
        return
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
            if may_be_dicom(path):
                _unreadable(path, PermissionError())
            found, expected = f"the name {path.name}", f"a name that ends with one of {', '.join(SUFFIXES)}"
            if path.name.lower().endswith((".img", ".img.gz")):
                found, expected = "the voxels of a pair of files", "its header, whose name ends with .hdr"
        else:
            return
    mend = "Correct the path, or replace the file by a whole copy."
    if path.name.upper() == "DICOMDIR":
        found, expected, mend = "the table of contents of a CD", "a scan", f"Give the folder: {path.parent}"
    raise UserError.single("A file cannot be read.", where=str(path), found=found, expected=expected, mend=mend)


def _require_series(path: Path, series: Selected) -> None:
    """UserError if a folder has no file of a selected series."""
    if series.files():
        return
    raise UserError.single(
        "A file cannot be read.",
        where=str(path),
        found=f"no DICOM file of this series in {series.folder}",
        expected="the SeriesInstanceUID of a series in this folder",
        mend="Correct the UID. Prediction lists the series of a folder with several.",
    )


def _require_affine(path: Path, shape: tuple[int, ...], affine: np.ndarray) -> None:
    """UserError for an affine that cannot be inverted, and for voxels of an impossible size.

    Of an axis with a single voxel any size is good: for slices, some programs write 999.
    """
    if is_invertible(affine):
        edges = np.linalg.norm(affine[:3, :3], axis=0)
        if all(n == 1 or 0.999 * MIN_SPACING <= edge <= 1.001 * WIDEST for n, edge in zip(shape, edges, strict=True)):
            return
        raise UserError.single(
            "A file cannot be used.",
            where=str(path),
            found=f"voxels of {' x '.join(f'{edge:.4g}' for edge in edges)} mm",
            expected=f"edges from {MIN_SPACING:g} to {WIDEST:g} mm",
            mend=" ".join([*_on_units(path), "Correct the voxel size in the header, or its unit of length."]),
        )
    raise UserError.single(
        "A file cannot be used.",
        where=str(path),
        found=f"the affine {_rounded(affine)}, which places voxels nowhere or on top of each other",
        expected="an affine that can be inverted",
        mend="Repair the header, for instance by converting the scan again.",
    )


def _on_units(path: Path) -> list[str]:
    """What reading has to say of the unit of length in a header."""
    suffix = volume_suffix(path)
    notes = nifti.parse(path).notes if suffix in _BY_NIFTI else ()
    notes = _header_of(path).notes if suffix in _PARSED else notes
    return [note for note in notes if "so a voxel is" in note]


def _rounded(affine: np.ndarray) -> list[list[float]]:
    """Four digits of each number, whatever the unit."""
    return [[float(f"{value:.4g}") for value in row] for row in affine[:3]]


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
    content = content_of(path)
    if content and volume_suffix(path) and volume_suffix(path) not in SUFFIXES_OF[content]:
        raise UserError.single(
            "A file cannot be read.",
            where=str(path),
            found=f"{content} under a name that ends with {volume_suffix(path)}",
            expected=f"a name that ends with {name_for(content)}",
            mend="Rename the file.",
        ) from error
    raise UserError.single(
        "A file cannot be read.",
        where=str(path),
        found=f"damaged or unreadable data ({cause})",
        expected=f"a whole {volume_suffix(path) or 'DICOM'} file",
        mend="Copy or convert the file again.",
    ) from error


def write_label_map(path: PathLike, labels: np.ndarray, affine: np.ndarray, like: PathLike | None = None) -> None:
    """Write (X, Y, Z) integer labels in the smallest integer type that holds them; atomic.

    `like` is the scan that was segmented. If both are NIfTI, its forms, their codes and its unit are kept exactly; of
    NRRD its space and unit, of MetaImage its unit, of MGH its geometry. The affine is in mm all the same.
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
    source = None if like is None else Path(like)
    kind = "" if source is None else volume_suffix(source)
    if suffix in ITK_SUFFIXES:
        family = (".nrrd", ".nhdr") if suffix in (".nrrd", ".nhdr") else (".mha", ".mhd")
        itk.write(path, data, affine, frame=itk.frame_of(source) if source and kind in family else LPS_IN_MM)
        return
    with atomic_path(path) as temporary:
        if suffix in MGH_SUFFIXES:
            mgh.write(temporary, data, affine, like=source if kind in MGH_SUFFIXES else None)
        else:
            nifti.write(temporary, data, affine, like=source if kind in _BY_NIFTI else None)
