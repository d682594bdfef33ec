"""What readers other than the program's say of the grid of a file: (shape, 4 × 4 affine to RAS mm), or None."""

from __future__ import annotations

import gzip
import re
import struct
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from fuzzing.dicom_grids import dicom_grid

Grid = tuple[tuple[int, ...], np.ndarray]
#: Of NIfTI, what an affine may be told to lead to; others are errors of the header.
CODES = range(1, 6)
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def grid_of(path: Path) -> Grid | None:
    """None where the file does not say what its grid is, in the form that its writer gave it."""
    try:
        if path.is_dir() or path.suffix == ".dcm":
            return dicom_grid(path)
        if path.name.endswith((".mha", ".mhd")):
            return _metaimage(path)
        if path.name.endswith(".nrrd"):
            return _nrrd(path)
        return _nifti(path)
    except (
        ValueError,
        KeyError,
        IndexError,
        AttributeError,
        TypeError,
        OSError,
        EOFError,
        struct.error,
        StopIteration,
    ):
        return None


def _placed(directions: np.ndarray, origin: np.ndarray) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = directions, origin
    return LPS @ affine


def _header(path: Path, end: bytes) -> dict[str, str]:
    text = path.read_bytes().split(end)[0].decode("latin-1")
    pairs = (re.split(r"\s*[=:]\s*", line, maxsplit=1) for line in text.splitlines() if re.search("[=:]", line))
    return {key.strip(): value.strip() for key, value in pairs}


def _metaimage(path: Path) -> Grid:
    fields = _header(path, b"\nElementDataFile")
    spacing = np.array([float(x) for x in fields["ElementSpacing"].split()])
    matrix = np.array([float(x) for x in fields["TransformMatrix"].split()]).reshape(3, 3)
    shape = tuple(int(n) for n in fields["DimSize"].split())
    origin = np.array([float(x) for x in fields["Offset"].split()])
    return shape, _placed(matrix.T * spacing, origin)


def _nrrd(path: Path) -> Grid:
    fields = _header(path, b"\n\n")
    numbers = [float(x) for x in re.findall(r"[^(),\s]+", fields["space directions"])]
    origin = np.array([float(x) for x in re.findall(r"[^(),\s]+", fields["space origin"])])
    if fields["space"] != "left-posterior-superior":
        raise ValueError(fields["space"])
    return tuple(int(n) for n in fields["sizes"].split()), _placed(np.reshape(numbers, (3, 3)).T, origin)


def _nifti(path: Path) -> Grid:
    """By the header's bytes: the s-form where it has a code, else the q-form; without either nothing is claimed."""
    opened = gzip.open if path.read_bytes()[:2] == b"\x1f\x8b" else open
    with opened(path, "rb") as file:
        content = file.read(352)
    quaternion, sform = struct.unpack_from("<2h", content, 252)
    if struct.unpack_from("<i", content)[0] != 348 or not (quaternion in CODES or sform in CODES):
        raise ValueError("no orientation in a little-endian NIfTI-1")
    dim = struct.unpack_from("<8h", content, 40)
    shape = tuple((*dim[1 : 1 + dim[0]], 1, 1, 1)[:3])
    affine = np.eye(4)
    if sform in CODES:
        affine[:3] = np.reshape(struct.unpack_from("<12f", content, 280), (3, 4))
        return shape, affine
    b, c, d = struct.unpack_from("<3f", content, 256)
    handed, x, y, z = struct.unpack_from("<4f", content, 76)
    rotation = Rotation.from_quat([b, c, d, max(0.0, 1 - b * b - c * c - d * d) ** 0.5]).as_matrix()
    affine[:3, :3] = rotation * [x, y, z * (-1 if handed < 0 else 1)]
    affine[:3, 3] = struct.unpack_from("<3f", content, 268)
    return shape, affine


def same(first: Grid, second: Grid) -> bool:
    """Whether all corners of two grids lie within 0.01 mm, or 1e-4 of the grid's size."""
    if tuple((*first[0], 1)[:3]) != tuple((*second[0], 1)[:3]):
        return False
    corners = np.array(np.meshgrid(*((0, max(n - 1, 0)) for n in (*first[0], 1)[:3]))).reshape(3, -1)
    corners = np.vstack([corners, np.ones(corners.shape[1])])
    here, there = first[1] @ corners, second[1] @ corners
    return bool(np.allclose(here, there, rtol=1e-4, atol=0.01))
