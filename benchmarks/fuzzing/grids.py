"""What other readers say of the grid of a file: (shape, 4 x 4 affine to RAS mm), or None.

nibabel reads NIfTI, Analyze and MGH, SimpleITK NRRD and MetaImage, and NIfTI where nibabel refuses it, pydicom DICOM.
Only units are converted here: SimpleITK does so for NIfTI alone, nibabel for nothing.
"""

from __future__ import annotations

import gzip
import io
import logging
import re
import tempfile
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from fuzzing.dicom_grids import dicom_grid
from l2s_auto.io.isolated import call_isolated

Grid = tuple[tuple[int, ...], np.ndarray]
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
logging.getLogger("nibabel.global").disabled = True  # it tells of each header that it mends
#: Millimetres of the units in which mutants are written.
UNITS = {"meter": 1e3, "mm": 1.0, "micron": 1e-3, "m": 1e3, "cm": 10.0, "um": 1e-3, "millimeter": 1.0, "unknown": 1.0}
#: Seconds that a library may take; it runs in a process of its own, which a damaged file may crash.
SECONDS = 20.0


def grid_of(path: Path) -> Grid | None:
    """None where no other reader says what the grid of the file is."""
    name = path.name
    try:
        if path.is_dir() or path.suffix == ".dcm":
            return dicom_grid(path)
        if name.endswith((".mha", ".mhd", ".nrrd", ".nhdr")):
            found = call_isolated(_by_simple_itk, path, seconds=SECONDS)
            return None if found is None else _scaled(found, _unit_of_text(path))
        if name.endswith((".mgz", ".mgh")):
            content = _content(path)
            if content[28:30] != b"\0\1":  # without a geometry; nibabel's directions are not FreeSurfer's
                return None
            header = nib.freesurfer.mghformat.MGHHeader.from_fileobj(io.BytesIO(content))
            return _extents(header.get_data_shape()), header.get_best_affine()
        return _nifti(path)
    except Exception:  # whatever a library says of a file that it cannot read
        return None


def _content(path: Path) -> bytes:
    content = path.read_bytes()
    return gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content


def _extents(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple((*(int(n) for n in shape), 1, 1, 1)[:3])


def _scaled(grid: Grid, factor: float | None) -> Grid | None:
    return None if factor is None else (grid[0], np.diag([factor, factor, factor, 1.0]) @ grid[1])


def _by_simple_itk(path: Path) -> Grid | None:
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    n = min(reader.GetDimension(), 3)
    size = reader.GetDimension()
    directions = np.reshape(reader.GetDirection(), (size, size))[:n, :n] * reader.GetSpacing()[:n]
    lps = np.eye(4)
    lps[:n, :n], lps[:n, 3] = directions, reader.GetOrigin()[:n]
    return _extents(reader.GetSize()[:n]), LPS @ lps


def _unit_of_text(path: Path) -> float | None:
    """mm of the unit in a header of text; 1 where it gives none, None where that is not clear."""
    header = path.read_bytes()[:20_000].split(b"\n\n")[0].split(b"ElementDataFile")[0].decode("latin-1")
    lines = re.findall(r"(?mi)^(?:DistanceUnits\s*[=:]|space ?units:|units:)(.*)$", header)
    found = {word.strip('"') for line in lines for word in line.split()}
    if not found:
        return 1.0
    return UNITS.get(found.pop()) if len(found) == 1 else None


def _nifti(path: Path) -> Grid | None:
    """By nibabel; by SimpleITK where nibabel finds no affine, or none that can be inverted."""
    content = _content(path)
    kinds: tuple[Any, ...] = (nib.Nifti1Image, nib.Nifti2Image)
    if path.name.endswith((".hdr", ".hdr.gz")):
        kinds = (nib.Nifti1Pair, nib.Nifti2Pair, nib.Spm99AnalyzeImage)
    kind = next(one.header_class for one in kinds if one.header_class.may_contain_header(content))
    header = kind.from_fileobj(io.BytesIO(content))
    shape = _extents(header.get_data_shape())
    factor = UNITS[header.get_xyzt_units()[0]] if "xyzt_units" in header else 1.0
    try:
        affine = np.asarray(header.get_best_affine(), dtype=float)
        edges = np.linalg.norm(affine[:3, :3], axis=0)
        if np.isfinite(affine).all() and abs(np.linalg.det(affine[:3, :3] / edges)) > 1e-6:
            return _scaled((shape, affine), factor)
    except (ValueError, nib.spatialimages.HeaderDataError):
        pass
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / ("a.nii" if kinds[0] is nib.Nifti1Image else "a.hdr")
        copy.write_bytes(content)
        return call_isolated(_by_simple_itk, copy, seconds=SECONDS)


def _placed(directions: np.ndarray, origin: np.ndarray) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = directions, origin
    return LPS @ affine


def same(first: Grid, second: Grid) -> bool:
    """Whether all corners of two grids lie within a hundredth of a voxel's edge, or 1e-4 of their distance from 0."""
    if tuple((*first[0], 1)[:3]) != tuple((*second[0], 1)[:3]):
        return False
    corners = np.array(np.meshgrid(*((0, max(n - 1, 0)) for n in (*first[0], 1)[:3]))).reshape(3, -1)
    corners = np.vstack([corners, np.ones(corners.shape[1])])
    here, there = first[1] @ corners, second[1] @ corners
    edge = np.linalg.norm(first[1][:3, :3], axis=0).min()
    return bool(np.allclose(here, there, rtol=1e-4, atol=0.01 * edge))
