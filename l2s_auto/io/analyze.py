"""Analyze 7.5, the format before NIfTI: a pair of files that does not say how the scan lies.

What SPM keeps in fields of its own is read, as nibabel does: the origin, and the factor of the voxels.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from l2s_auto.io import units
from l2s_auto.io.notes import NO_ORIENTATION
from l2s_auto.io.placement import AS_NIBABEL, Placement, centred

SIZE = 348
_MAT = "SPM's .mat file beside it was not read: convert the scan to NIfTI if the orientation matters."


def may_be(block: bytes) -> bool:
    """Whether a block begins as a header of Analyze does."""
    from nibabel import Spm99AnalyzeImage

    return len(block) >= SIZE and bool(Spm99AnalyzeImage.header_class.may_contain_header(block))


def header(block: bytes) -> Any:
    """nibabel's header, unchecked."""
    from nibabel import Spm99AnalyzeImage

    return Spm99AnalyzeImage.header_class(block[:SIZE], check=False)


def placement(path: Path, header: Any, shape: tuple[int, int, int]) -> Placement:
    """x runs from right to left, as nibabel assumes; the origin is SPM's, where there is one, else the centre."""
    edges = np.abs(np.array(header["pixdim"][1:4], dtype=np.float64))
    if int(header["dim"][0]) < 3 and edges[2] == 0:
        edges[2] = 1.0
    text = bytes(header["vox_units"].item()).decode("latin-1")
    factor = None if units.is_none(text) else units.millimetres(text)
    extents = np.array(shape)
    origin = np.array(header["origin"][:3], dtype=np.float64)
    plausible = origin.any() and (origin > -extents).all() and (origin < 2 * extents).all()
    centre = origin - 1 if plausible else (extents - 1) / 2  # SPM counts from 1
    affine = centred(edges * (factor or 1.0), centre)
    notes = [f"{NO_ORIENTATION} (Analyze). {AS_NIBABEL}"]
    if (orient := int.from_bytes(header["orient"].tobytes()[:1], "little")) in range(1, 6):
        notes.append(
            f"The header's field orient ({orient}) says that slices lie otherwise. It was not used, as in nibabel."
        )
    if _has_mat(path):
        notes.append(_MAT)
    if edges.min() > 0 and np.isfinite(affine).all():
        notes += units.doubts((edges * (factor or 1.0)).tolist(), factor)
    return Placement(affine, tuple(notes))


def scaling(header: Any) -> tuple[float, float]:
    """Slope and intercept: SPM's factor where it is a number other than 0."""
    slope = float(header["scl_slope"])
    return (slope if np.isfinite(slope) and slope != 0 else 1.0), 0.0


def _has_mat(path: Path) -> bool:
    stem = re.sub(r"\.hdr(\.gz)?$", "", path.name, flags=re.IGNORECASE)
    return os.path.isfile(path.with_name(f"{stem}.mat"))
