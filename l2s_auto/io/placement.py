"""Where the grid of a NIfTI or Analyze file lies: its two forms, which of them counts, and what has to be assumed.

The rules are those of nibabel, and where it refuses a header that the NIfTI library and ITK read, theirs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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
FLAT = "The header has two axes and no slice thickness. A thickness of 1 was assumed, in the unit of the header."
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


def place(header: Any, shape: tuple[int, int, int], *, where: str) -> Placement:
    """The placement of nibabel's header of a NIfTI file.

    shape  (X, Y, Z)
    where  the file, for messages
    Raises UserError for a header with a qform alone that is not valid.
    """
    code = int(header["xyzt_units"]) & 7
    factor = _FACTORS.get(code)
    unknown = f"The header's code for the unit of length, {code}, is unknown. Millimetres were assumed."
    notes = [] if factor is not None or code == 0 else [unknown]
    affine, more = _chosen(header, shape, where=where, factor=factor or 1.0)
    affine[:3] *= factor or 1.0
    edges = np.linalg.norm(affine[:3, :3], axis=0).tolist()
    doubted = units.doubts(edges, factor) if is_invertible(affine) else ()
    return Placement(affine, (*more, *notes, *doubted))


def _chosen(
    header: Any, shape: tuple[int, int, int], *, where: str, factor: float
) -> tuple[np.ndarray, tuple[str, ...]]:
    """The affine in the header's own unit, and what was assumed."""
    has_sform, has_qform = int(header["sform_code"]) > 0, int(header["qform_code"]) > 0
    if not has_sform and not has_qform:
        flat: tuple[str, ...] = (FLAT,) if int(header["dim"][0]) < 3 else ()
        return np.asarray(header.get_base_affine(), dtype=np.float64), (_CODES_ARE_0, *flat)
    sform = np.asarray(header.get_sform(), dtype=np.float64)
    qform, flat = _qform(header) if has_qform else (None, ())
    if not has_sform:
        if qform is None:
            raise UserError.single(
                "A file cannot be used.",
                where=where,
                found=f"a qform that is no rotation ({_numbers(header)})",
                expected="a quaternion of length 1 and voxel edges above 0, or an sform",
                mend="Repair the header, for instance by converting the scan again.",
            )
        return qform, flat
    if not is_invertible(sform):
        return (sform, ()) if qform is None else (qform, (_SFORM_IS_BAD, *flat))
    if has_qform and qform is None:
        return sform, (_QFORM_IS_BAD,)
    if qform is not None and not flat:
        smallest = np.linalg.norm(sform[:3, :3], axis=0).min()
        if corner_offset(shape, sform, qform)[0] > 0.5 * smallest:
            return sform, (_THEY_DIFFER,)
    return sform, ()


def _qform(header: Any) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """The affine of the quaternion, None where it is not valid; one that rounding made too long is shortened."""
    from nibabel.quaternions import quat2mat

    vector = np.array([header[f"quatern_{axis}"] for axis in "bcd"], dtype=np.float64)
    origin = np.array([header[f"qoffset_{axis}"] for axis in "xyz"], dtype=np.float64)
    edges = np.array(header["pixdim"][1:4], dtype=np.float64)
    square = float(vector @ vector)
    flat: tuple[str, ...] = ()
    if int(header["dim"][0]) < 3 and edges[2] == 0:
        edges[2], flat = 1.0, (FLAT,)
    if not (np.isfinite([*vector, *origin, *edges]).all() and square <= _TOO_LONG and edges.min() > 0):
        return None, ()
    affine = np.eye(4)
    affine[:3, :3] = quat2mat([max(0.0, 1 - square) ** 0.5, *vector]) * edges  # which divides by the length
    if header["pixdim"][0] < 0:
        affine[:3, 2] *= -1
    affine[:3, 3] = origin
    return (affine, flat) if is_invertible(affine) else (None, ())


def _numbers(header: Any) -> str:
    quaternion = ", ".join(f"{float(header[f'quatern_{axis}']):.6g}" for axis in "bcd")
    edges = ", ".join(f"{float(edge):.6g}" for edge in header["pixdim"][1:4])
    return f"quatern_b, c, d: {quaternion}; pixdim: {edges}"
