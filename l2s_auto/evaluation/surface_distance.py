"""Distances between the surfaces of two masks, in millimetres.

The surface of a mask is the mask minus its erosion by one voxel along each axis (voxels at the border of the array
are surface; an axis of one voxel has no faces, so that an image of two dimensions has outlines). Each surface voxel
has a distance to the nearest surface voxel of the other mask, between voxel centres.
HD95 = the larger of the two directed 95th percentiles (linear interpolation).
NSD = share of the surface voxels of both masks that lie within the tolerance of the other surface
(after Nikolov et al., arXiv:1809.04430, with voxels in place of surface elements).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import ndimage

from l2s_auto.core.digits import significant
from l2s_auto.io.volumes import read_grid

#: Of the tolerance: a distance that equals it counts as within it, though voxel edges come from 32-bit headers.
_ROUNDING = 1e-5
#: Significant digits of a tolerance in mm.
_DIGITS = 6


def surface(mask: np.ndarray) -> np.ndarray:
    """Boolean mask -> the voxels that have a face neighbour outside of it."""
    thick = tuple(slice(None) if n > 1 else 0 for n in mask.shape)
    inner = mask[thick]
    result = mask.copy()
    if inner.ndim:
        result[thick] = inner & ~ndimage.binary_erosion(inner)
    return result


def voxel_tolerance(shape: Sequence[int], spacing: Sequence[float]) -> float:
    """The tolerance of NSD in mm that the grid of a reference allows: one voxel, in the plane of its slices.

    shape    voxels of the reference
    spacing  mm

    The second smallest of the voxel's edges: of a cube its edge (1 mm: 1 mm), of slices the larger edge within them.
    The distance of thick slices would forgive errors of many voxels within a slice; the finest edge would count an
    error of one voxel along the other. An axis of one voxel, as of a single slice, is not looked at.
    """
    edges = sorted(edge for n, edge in zip(shape, spacing, strict=True) if n > 1) or sorted(spacing)
    return significant(edges[min(1, len(edges) - 1)], _DIGITS)


def tolerance_of(path: Path) -> float:
    """`voxel_tolerance` of a label map, from its header."""
    shape, affine = read_grid(path)
    return voxel_tolerance(shape, np.linalg.norm(affine[:3, :3], axis=0).tolist())


def surface_metrics(
    prediction: np.ndarray, reference: np.ndarray, spacing: Sequence[float], *, tolerances: Sequence[float] = (1.0,)
) -> tuple[float | None, ...]:
    """(X, Y, Z) boolean masks, voxel edges in mm -> (HD95 in mm, NSD in [0, 1] for each of the tolerances, mm).

    HD95 is None if a mask is empty. NSD is then 0, no surface voxel being near the other surface, or None if both
    are empty.
    """
    has_prediction, has_reference = bool(prediction.any()), bool(reference.any())
    if not (has_prediction and has_reference):
        return None, *(0.0 if has_prediction or has_reference else None for _ in tolerances)
    # One voxel of margin keeps the border of the box from being taken for the border of the image.
    box = _bounding_box(prediction | reference, margin=1)
    first, second = surface(prediction[box]), surface(reference[box])
    to_second = ndimage.distance_transform_edt(~second, sampling=spacing)[first]
    to_first = ndimage.distance_transform_edt(~first, sampling=spacing)[second]
    hd95 = max(float(np.percentile(to_second, 95)), float(np.percentile(to_first, 95)))
    distances = np.concatenate([to_second, to_first])
    return hd95, *(float(np.mean(distances <= tolerance * (1 + _ROUNDING))) for tolerance in tolerances)


def _bounding_box(mask: np.ndarray, *, margin: int) -> tuple[slice, ...]:
    box = []
    for axis in range(mask.ndim):
        others = tuple(other for other in range(mask.ndim) if other != axis)
        present = np.flatnonzero(mask.any(axis=others))
        box.append(slice(max(0, int(present[0]) - margin), int(present[-1]) + 1 + margin))
    return tuple(box)
