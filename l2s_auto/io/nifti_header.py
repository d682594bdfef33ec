"""Headers of NIfTI and Analyze files, single or in pairs: where the voxels are, their scaling, where the grid lies.

The bytes are taken apart by nibabel. A file is compressed or not by its content; a name that says otherwise is noted.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from l2s_auto.core.errors import UserError
from l2s_auto.io import analyze
from l2s_auto.io.gunzip import DamagedFile
from l2s_auto.io.partner import voxels_of
from l2s_auto.io.placement import Placement, place
from l2s_auto.io.stored import StoredArray, is_packed, of_wrong_name, read_start

#: Bytes of a header of NIfTI-2; NIfTI-1 has 348.
_LARGEST_HEADER = 540
_SILENT = logging.Logger("l2s_auto.silent", logging.CRITICAL + 1)
_BAD_INTERCEPT = "The header's intercept is not a number. 0 was used."


@dataclass(frozen=True)
class NiftiHeader:
    """A volume that has not been read.

    raw       nibabel's header, exactly as the file has it; None for Analyze, whose fields mean something else
    axes      how many the file has
    shape     (X, Y, Z)
    scaling   slope and intercept of the voxels
    """

    raw: Any
    axes: int
    shape: tuple[int, int, int]
    channels: int
    stored: StoredArray
    scaling: tuple[float, float]
    placement: Placement
    notes: tuple[str, ...]


def is_pair(path: Path) -> bool:
    """Whether the name is that of a header whose voxels are in an .img."""
    return path.name.lower().endswith((".hdr", ".hdr.gz"))


def parse(path: Path) -> NiftiHeader:
    """What a header says. Raises UserError, or what `nifti.errors()` names."""
    packed = is_packed(path)
    block = read_start(path, _LARGEST_HEADER, packed=packed)
    pair = is_pair(path)
    plain = ".hdr" if pair else ".nii"
    notes = of_wrong_name(path, packed=packed, plain=plain, compressed=f"{plain}.gz")
    raw = _nibabel_header(path, block, pair=pair)
    header = analyze.header(block) if raw is None else raw.copy()
    header.check_fix(logger=_SILENT)  # mended as nibabel does, which would tell the terminal
    dtype = header.get_data_dtype()
    if dtype.kind not in "iuf":
        raise UserError.single(
            "A file cannot be used.",
            where=str(path),
            found=f"voxels of type {dtype}",
            expected="real numbers",
            mend="Save one number a voxel (a channel a file for colour or complex images).",
        )
    full = _full_shape(header)
    shape, channels = _split_shape(path, full)
    stored, more = _stored(path, header, full, pair=pair, packed=packed)
    if raw is None:
        placement, scaling = analyze.placement(path, header, shape), analyze.scaling(header)
    else:
        placement, scaling, bad = place(header, shape, raw=raw, where=str(path)), *_scaling(header)
        more = (*more, *bad)
    return NiftiHeader(
        raw=raw,
        axes=len(full),
        shape=shape,
        channels=channels,
        stored=stored,
        scaling=scaling,
        placement=placement,
        notes=(*placement.notes, *notes, *more),
    )


def _nibabel_header(path: Path, block: bytes, *, pair: bool) -> Any:
    """nibabel's header, unchecked; None for Analyze."""
    import nibabel
    from nibabel.filebasedimages import ImageFileError

    for header_class in (nibabel.Nifti1Header, nibabel.Nifti2Header):
        size = header_class.template_dtype.itemsize
        if len(block) < size or not header_class.may_contain_header(block):
            continue
        header: Any = header_class(block[:size], check=False)
        single = header["magic"].item() == header.single_magic
        if single and pair:
            raise ImageFileError("the header of a single file under the name of a pair: rename it to .nii")
        if not single and not pair:
            raise ImageFileError("the header of a pair of files, whose voxels are in another one: rename it to .hdr")
        if pair:
            of_pair: Any = nibabel.Nifti1Pair if size == analyze.SIZE else nibabel.Nifti2Pair
            return of_pair.header_class(block[:size], check=False)
        return header
    if pair and analyze.may_be(block):
        return None
    kind = "an Analyze or NIfTI header" if pair else "a NIfTI file"
    raise ImageFileError(f"{path.name} is not {kind}")


def _full_shape(header: Any) -> tuple[int, ...]:
    """All extents; 0 for an axis behind the third stands for 1, as in the NIfTI library."""
    shape = tuple(int(n) for n in header.get_data_shape())
    return tuple(n or 1 if axis > 2 else n for axis, n in enumerate(shape))


def _stored(
    path: Path, header: Any, shape: tuple[int, ...], *, pair: bool, packed: bool
) -> tuple[StoredArray, tuple[str, ...]]:
    """Where the voxels are, and what was assumed of that."""
    start = float(header["vox_offset"])
    data, least = path, 0
    notes: tuple[str, ...] = ()
    if pair:
        data = voxels_of(path)
        packed = is_packed(data)
        notes = of_wrong_name(data, packed=packed, plain=".img", compressed=".img.gz")
    else:
        least = header.single_vox_offset
        start = start or float(least)  # 0 stands for the first byte that there can be
    if not start.is_integer() or not least <= start < 2**48:
        raise DamagedFile(f"voxels that begin at byte {start:g}")
    dtype = header.get_data_dtype()
    if packed:
        return StoredArray(data, shape, dtype, 0, "gzip", skip=int(start), foreign=True), notes
    return StoredArray(data, shape, dtype, int(start)), notes


def _scaling(header: Any) -> tuple[tuple[float, float], tuple[str, ...]]:
    """Slope and intercept; no scaling where the slope is 0 or no number, as nibabel and the NIfTI library have it."""
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0 or not np.isfinite(slope):
        return (1.0, 0.0), ()
    if not np.isfinite(intercept):
        return (slope, 0.0), (_BAD_INTERCEPT,)
    return (slope, intercept), ()


def _split_shape(path: Path, shape: tuple[int, ...]) -> tuple[tuple[int, int, int], int]:
    """File's shape -> (X, Y, Z), channels. Accepts (X, Y), (X, Y, Z), (X, Y, Z, C) and (X, Y, Z, 1, C)."""
    padded = tuple(shape) + (1,) * (5 - len(shape))
    x, y, z, fourth, fifth = padded[:5]
    if len(shape) < 2 or any(n > 1 for n in padded[5:]) or (fourth > 1 and fifth > 1) or min(shape) < 1:
        raise UserError.single(
            "A file cannot be used.",
            where=str(path),
            found=f"an array of shape {tuple(shape)}",
            expected="(X, Y), (X, Y, Z), (X, Y, Z, channels) or (X, Y, Z, 1, channels)",
            mend="Save one three-dimensional volume, with its channels last.",
        )
    return (x, y, z), fourth * fifth
