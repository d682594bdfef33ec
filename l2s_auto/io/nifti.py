"""NIfTI and Analyze: parsed by `nifti_header.py`; NIfTI is written by nibabel.

Arrays are (C, X, Y, Z); affines are voxel -> RAS+ mm.

The unit of the header (metre, millimetre, micrometre) is converted; one that is not given is taken for the millimetre.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from l2s_auto.core.types import Volume
from l2s_auto.io import gunzip
from l2s_auto.io.geometry import corner_offset
from l2s_auto.io.nifti_header import NiftiHeader, parse
from l2s_auto.io.stored import check_size, read_array

# Everything in the header that places the grid in space; copied bit by bit from the input to the output.
_GEOMETRY = (
    "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z",
    "srow_x", "srow_y", "srow_z", "xyzt_units",
)  # fmt: skip
#: Of a voxel's edge: how far corners may lie apart for two affines to be the same.
_SAME_GRID = 0.01


def errors() -> tuple[type[Exception], ...]:
    """What is raised for files that are damaged or of another kind."""
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError

    return (ImageFileError, HeaderDataError, EOFError, OSError, *gunzip.errors(), ValueError, OverflowError, TypeError)


def read_header(path: Path) -> tuple[tuple[int, int, int], int, np.ndarray]:
    """(X, Y, Z) shape, number of channels, affine; reads the header only, and compares it with the file's size."""
    header = parse(path)
    check_size(header.stored)
    return header.shape, header.channels, header.placement.affine


def read(path: Path, *, dtype: type[np.floating] | None, scaled: type[np.floating] = np.float64) -> Volume:
    """(C, X, Y, Z) data in `dtype` (None = the file's, or `scaled` where the header has a slope), affine and notes.

    The file holds what the header says, to the byte, and the checksum of a compressed one is verified.
    """
    header = parse(path)
    notes = list(header.notes)
    data = _scaled(read_array(header.stored, notes), header.scaling, dtype, scaled)
    data = np.moveaxis(data.reshape((*header.shape, header.channels), order="F"), -1, 0)
    return Volume(data, header.placement.affine, tuple(notes))


def _scaled(
    array: np.ndarray, scaling: tuple[float, float], dtype: type[np.floating] | None, scaled: type[np.floating]
) -> np.ndarray:
    """Slope and intercept applied as nibabel does; plane by plane, since nibabel computes in float64."""
    from nibabel.volumeutils import apply_read_scaling

    factors: Any = np.asanyarray(scaling[0]), np.asanyarray(scaling[1])
    if factors == (1, 0):
        return array if dtype is None else array.astype(dtype, order="F", copy=False)
    out = np.empty(array.shape, dtype or scaled, order="F")
    for index in range(array.shape[-1]):
        out[..., index] = apply_read_scaling(array[..., index], *factors)
    return out


def write(path: Path, data: np.ndarray, affine: np.ndarray, *, like: Path | None) -> None:
    """Write (C, X, Y, Z) in its own type, on the grid of the NIfTI file `like` to the last bit where affines agree.

    affine  in mm, whatever the unit of `like`: its unit and its numbers are kept
    """
    import nibabel

    source = None if like is None else parse(like)
    large = max(data.shape) > np.iinfo(np.int16).max
    second = source is not None and isinstance(source.raw, nibabel.Nifti2Header)
    image_class: Any = nibabel.Nifti2Image if large or second else nibabel.Nifti1Image
    header = image_class.header_class()
    array = data[0] if len(data) == 1 else np.moveaxis(data, 0, -1)
    if source is not None and source.axes == 2 and array.shape[2:] == (1,):
        array = array[..., 0]
    header.set_data_dtype(data.dtype)
    header.set_data_shape(array.shape)
    if source is not None and source.raw is not None and _same_grid(source, affine):
        for field in _GEOMETRY:
            header[field] = source.raw[field]
        handed, *edges = source.raw["pixdim"][:4]
        # As nibabel reads them, and as it would make them here with a message on the terminal.
        header["pixdim"][:4] = [handed if handed in (-1, 1) else 1, *np.abs(edges)]
    else:
        _set_affine(header, affine)
    image = image_class(array, None, header)
    # Without an affine nibabel leaves the header's own forms as they are.
    image.to_filename(path)


def _same_grid(source: NiftiHeader, affine: np.ndarray) -> bool:
    smallest = float(np.linalg.norm(affine[:3, :3], axis=0).min())
    return corner_offset(source.shape, source.placement.affine, affine)[0] <= _SAME_GRID * smallest


def write_planes(path: Path, volumes: Iterable[np.ndarray], shape: tuple[int, ...], affine: np.ndarray) -> None:
    """Write (X, Y, Z, K) float32, of which the K volumes come one after the other; memory is that of one."""
    import nibabel
    from nibabel.openers import Opener

    kind: Any = nibabel.Nifti2Header if max(shape) > np.iinfo(np.int16).max else nibabel.Nifti1Header
    header = kind()
    header.set_data_dtype(np.float32)
    header.set_data_shape(shape)
    _set_affine(header, affine)
    header.set_data_offset(kind.single_vox_offset)
    count = 0
    with Opener(str(path), "wb") as file:
        header.write_to(file)  # with the four bytes that say that no extensions follow
        for volume in volumes:
            assert volume.shape == shape[:3], f"a volume of {volume.shape}, not {shape[:3]}"
            for plane in np.moveaxis(volume, 2, 0):
                file.write(np.ascontiguousarray(plane.T, dtype="<f4").tobytes())
            count += 1
    assert count == shape[3], f"{count} volumes, not {shape[3]}"


def _set_affine(header: Any, affine: np.ndarray) -> None:
    """Scanner coordinates in millimetres; the quaternion form too, where it can express the affine."""
    header.set_sform(affine, code="scanner")
    header.set_qform(affine, code="scanner", strip_shears=True)
    edges = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.allclose(header.get_qform()[:3, :3] / edges, affine[:3, :3] / edges, rtol=0, atol=1e-4):
        header["qform_code"] = 0
    header.set_xyzt_units("mm")
