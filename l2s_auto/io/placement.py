"""Where the grid of a NIfTI or Analyze file lies: its two forms, which of them counts, and what has to be assumed.

The rules are those of nibabel, and where it refuses a header that the NIfTI library and ITK read, theirs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from l2s_auto.core.errors import UserError
from l2s_auto.io import units
from l2s_auto.io.geometry import corner_offset, is_invertible
from l2s_auto.io.notes import NO_ORIENTATION

#: b² + c² + d² of a quaternion, beyond which it is no rounding: the header is damaged.
_TOO_LONG = 1.01
#: Millimetres of the units that xyzt_units can give.
_FACTORS = {1: 1e3, 2: 1.0, 3: 1e-3}
AS_NIBABEL = (
    "Assumed: x runs from right to left, y from posterior to anterior, z from inferior to superior, as nibabel does. "
    "Check left and right."
)
_FLAT = "The header gives no thickness of its single slice. A thickness of 1 was assumed, in the unit of the header."
_NEGATIVE = "The header has a negative voxel size. Its absolute value was used, as nibabel does."
_CODES_ARE_0 = f"{NO_ORIENTATION} (qform_code and sform_code are 0). {AS_NIBABEL}"
_SFORM_IS_BAD = "The header's sform places all voxels at one point or nowhere. Its qform was used."
_QFORM_IS_BAD = "The header's qform is not valid. Its sform was used."
_THEY_DIFFER = (
    "The header's sform and qform place the scan differently. The sform was used, as nibabel does; other programs may "
    "use the qform."
)


@dataclass(frozen=True)
class Placement:
    """A grid in space.

    affine  (4, 4) voxel -> RAS+ mm
    notes   what was assumed, as in `Volume`
    """

    affine: np.ndarray
    notes: tuple[str, ...] = ()


def place(header: Any, shape: tuple[int, int, int], *, raw: Any, where: str) -> Placement:
    """The placement of nibabel's header of a NIfTI file.

    shape  (X, Y, Z)
    raw    the header as it is in the file; nibabel mends a voxel size of 0 to 1
    where  the file, for messages
    Raises UserError for a header without an sform whose qform is not valid, or that gives no voxel size.
    """
    code = int(header["xyzt_units"]) & 7
    factor = _FACTORS.get(code)
    unknown = f"The header's code for the unit of length, {code}, is unknown. Millimetres were assumed."
    notes = [] if factor is not None or code == 0 else [unknown]
    affine, more = _chosen(header, raw, shape, where=where)
    affine[:3] *= factor or 1.0
    edges = np.linalg.norm(affine[:3, :3], axis=0).tolist()
    doubted = units.doubts(edges, factor) if is_invertible(affine) else ()
    return Placement(affine, (*more, *notes, *doubted))


def _chosen(header: Any, raw: Any, shape: tuple[int, int, int], *, where: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """The affine in the header's own unit, and what was assumed."""
    has_sform, has_qform = int(header["sform_code"]) > 0, int(header["qform_code"]) > 0
    edges, assumed = _edges(raw, shape)
    qform = _qform(raw, edges) if has_qform and edges is not None else None
    if not has_sform:
        if edges is None or (has_qform and qform is None):
            _refuse(raw, where)
        if qform is not None:
            return qform, assumed
        return centred(edges, (np.array(shape) - 1) / 2), (_CODES_ARE_0, *assumed)
    sform = np.asarray(header.get_sform(), dtype=np.float64)
    if not is_invertible(sform):
        return (sform, ()) if qform is None else (qform, (_SFORM_IS_BAD, *assumed))
    if has_qform and qform is None:
        return sform, (_QFORM_IS_BAD,)
    if qform is not None and not assumed:
        smallest = np.linalg.norm(sform[:3, :3], axis=0).min()
        if corner_offset(shape, sform, qform)[0] > 0.5 * smallest:
            return sform, (_THEY_DIFFER,)
    return sform, ()


def centred(edges: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """(4, 4) affine of axes to left, anterior and superior; `centre` is the voxel that lies at 0."""
    affine = np.diag([-edges[0], edges[1], edges[2], 1.0])
    affine[:3, 3] = -affine[:3, :3] @ centre
    return affine


def _edges(raw: Any, shape: tuple[int, int, int]) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Of a voxel, None where the header gives none, and what was assumed; an axis of one voxel may lack its own."""
    edges, notes = np.array(raw["pixdim"][1:4], dtype=np.float64), []
    lacking = (edges == 0) & (np.array(shape) == 1)
    if lacking.any():
        edges[lacking] = 1.0
        notes.append(_FLAT)
    if (edges < 0).any():
        notes.append(_NEGATIVE)
    edges = np.abs(edges)
    return (edges if np.isfinite(edges).all() and edges.min() > 0 else None), tuple(notes)


def _qform(raw: Any, edges: np.ndarray) -> np.ndarray | None:
    """The affine of the quaternion, None where it is not valid; one that rounding made too long is shortened."""
    from nibabel.quaternions import quat2mat

    vector = np.array([raw[f"quatern_{axis}"] for axis in "bcd"], dtype=np.float64)
    origin = np.array([raw[f"qoffset_{axis}"] for axis in "xyz"], dtype=np.float64)
    square = float(vector @ vector)
    if not (np.isfinite([*vector, *origin]).all() and square <= _TOO_LONG):
        return None
    affine = np.eye(4)
    affine[:3, :3] = quat2mat([max(0.0, 1 - square) ** 0.5, *vector]) * edges  # which divides by the length
    if raw["pixdim"][0] < 0:
        affine[:3, 2] *= -1
    affine[:3, 3] = origin
    return affine


def _refuse(raw: Any, where: str) -> NoReturn:
    raise UserError.single(
        "A file cannot be used.",
        where=where,
        found=f"no sform, and no valid qform and voxel size ({_numbers(raw)})",
        expected="voxel sizes above 0 and a quaternion of length 1, or an sform",
        mend="Repair the header, for instance by converting the scan again.",
    )


def _numbers(header: Any) -> str:
    quaternion = ", ".join(f"{float(header[f'quatern_{axis}']):.6g}" for axis in "bcd")
    edges = ", ".join(f"{float(edge):.6g}" for edge in header["pixdim"][1:4])
    return f"quatern_b, c, d: {quaternion}; pixdim: {edges}"
