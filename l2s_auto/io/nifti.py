"""NIfTI by nibabel. Arrays are (C, X, Y, Z); affines are voxel -> RAS+ mm.

The numbers of the affine are taken as millimetres whatever unit the header declares, as other segmentation tools do.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from l2s_auto.core.errors import UserError
from l2s_auto.core.types import Volume
from l2s_auto.io import gunzip
from l2s_auto.io.gunzip import DamagedFile
from l2s_auto.io.stored import StoredArray, check_size, read_array, read_start

# Everything in the header that places the grid in space; copied bit by bit from the input to the output.
_GEOMETRY = (
    "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z",
    "srow_x", "srow_y", "srow_z", "xyzt_units",
)  # fmt: skip
_SAME_AFFINE = 1e-4
_GZIP = b"\x1f\x8b"
#: Bytes of a header of NIfTI-2; NIfTI-1 has 348.
_LARGEST_HEADER = 540


def errors() -> tuple[type[Exception], ...]:
    """What is raised for files that are damaged or of another kind."""
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError

    return (ImageFileError, HeaderDataError, EOFError, OSError, *gunzip.errors(), ValueError, OverflowError, TypeError)


def read_header(path: Path) -> tuple[tuple[int, int, int], int, np.ndarray]:
    """(X, Y, Z) shape, number of channels, affine; reads the header only, and compares it with the file's size."""
    header = _header(path)
    shape, channels = _split_shape(path, header.get_data_shape())
    check_size(_stored(path, header))
    return shape, channels, np.asarray(header.get_best_affine(), dtype=np.float64)


def read(path: Path, *, dtype: type[np.floating] | None, scaled: type[np.floating] = np.float64) -> Volume:
    """(C, X, Y, Z) data in `dtype` (None = the file's, or `scaled` where the header has a slope) and affine.

    The file holds what the header says, to the byte, and the checksum of a compressed one is verified.
    """
    header = _header(path)
    if header.get_data_dtype().kind not in "iuf":
        raise UserError.single(
            "A file cannot be used.",
            where=str(path),
            found=f"voxels of type {header.get_data_dtype()}",
            expected="real numbers",
            mend="Save one number a voxel (a channel a file for colour or complex images).",
        )
    shape, channels = _split_shape(path, header.get_data_shape())
    data = _scaled(read_array(_stored(path, header)), header, dtype, scaled)
    data = np.moveaxis(data.reshape((*shape, channels), order="F"), -1, 0)
    return Volume(data, np.asarray(header.get_best_affine(), dtype=np.float64))


def _header(path: Path) -> Any:
    """nibabel's header for what a file holds, by its first bytes. Extensions say nothing of voxels and stay unread."""
    import nibabel
    from nibabel.filebasedimages import ImageFileError

    with open(path, "rb") as file:
        packed = file.read(2) == _GZIP
    named = path.name.lower().endswith(".gz")
    block = read_start(path, _LARGEST_HEADER, packed=packed)
    for header_class in (nibabel.Nifti1Header, nibabel.Nifti2Header):
        size = header_class.template_dtype.itemsize
        if len(block) < size or not header_class.may_contain_header(block):
            continue
        if packed and not named:
            raise ImageFileError("compressed data under a name that does not end with .gz: rename the file")
        if named and not packed:
            raise ImageFileError("data that are not compressed under a name that ends with .gz: rename the file")
        header: Any = header_class(block[:size])
        if header["magic"].item() != header.single_magic:
            raise ImageFileError("the header of a pair of files, whose voxels are in another one")
        return header
    raise ImageFileError(f"{path.name} is not a NIfTI file")


def _stored(path: Path, header: Any) -> StoredArray:
    shape = tuple(int(n) for n in header.get_data_shape())
    start = float(header["vox_offset"])
    if not start.is_integer() or not header.single_vox_offset <= start < 2**48:
        raise DamagedFile(f"voxels that begin at byte {start:g}")
    if path.name.lower().endswith(".gz"):
        return StoredArray(path, shape, header.get_data_dtype(), 0, "gzip", skip=int(start))
    return StoredArray(path, shape, header.get_data_dtype(), int(start))


def _scaled(array: np.ndarray, header: Any, dtype: type[np.floating] | None, scaled: type[np.floating]) -> np.ndarray:
    """Slope and intercept applied as nibabel does; plane by plane, since nibabel computes in float64."""
    from nibabel.volumeutils import apply_read_scaling

    slope, intercept = header.get_slope_inter()
    factors: Any = np.asanyarray(1.0 if slope is None else slope), np.asanyarray(intercept or 0.0)
    if factors == (1, 0):
        return array if dtype is None else array.astype(dtype, order="F", copy=False)
    out = np.empty(array.shape, dtype or scaled, order="F")
    for index in range(array.shape[-1]):
        out[..., index] = apply_read_scaling(array[..., index], *factors)
    return out


def _split_shape(path: Path, shape: tuple[int, ...]) -> tuple[tuple[int, int, int], int]:
    """File's shape -> (X, Y, Z), channels. Accepts (X, Y), (X, Y, Z), (X, Y, Z, C) and (X, Y, Z, 1, C)."""
    padded = tuple(shape) + (1,) * (5 - len(shape))
    x, y, z, fourth, fifth = padded[:5]
    if len(shape) < 2 or any(n > 1 for n in padded[5:]) or (fourth > 1 and fifth > 1) or 0 in shape:
        raise UserError.single(
            "A file cannot be used.",
            where=str(path),
            found=f"an array of shape {tuple(shape)}",
            expected="(X, Y), (X, Y, Z), (X, Y, Z, channels) or (X, Y, Z, 1, channels)",
            mend="Save one three-dimensional volume, with its channels last.",
        )
    return (x, y, z), fourth * fifth


def write(path: Path, data: np.ndarray, affine: np.ndarray, *, like: Path | None) -> None:
    """Write (C, X, Y, Z) in its own type, on the grid of the NIfTI file `like` to the last bit where affines agree."""
    import nibabel

    source: Any = nibabel.load(like).header if like is not None else None
    large = max(data.shape) > np.iinfo(np.int16).max
    image_class: Any = nibabel.Nifti2Image
    if not large and not isinstance(source, nibabel.Nifti2Header):
        image_class = nibabel.Nifti1Image
    header = image_class.header_class()
    array = data[0] if len(data) == 1 else np.moveaxis(data, 0, -1)
    if source is not None and len(source.get_data_shape()) == 2 and array.shape[2:] == (1,):
        array = array[..., 0]
    header.set_data_dtype(data.dtype)
    header.set_data_shape(array.shape)
    if source is not None and np.allclose(source.get_best_affine(), affine, rtol=0, atol=_SAME_AFFINE):
        for field in _GEOMETRY:
            header[field] = source[field]
        header["pixdim"][:4] = source["pixdim"][:4]
    else:
        _set_affine(header, affine)
    image = image_class(array, None, header)
    # Without an affine nibabel leaves the header's own forms as they are.
    image.to_filename(path)


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
    if not np.allclose(header.get_qform(), affine, rtol=0, atol=_SAME_AFFINE):
        header["qform_code"] = 0
    header.set_xyzt_units("mm")
