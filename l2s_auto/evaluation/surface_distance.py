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

import numpy as np
from scipy import ndimage

# Distances are sums of spacings in floating point: a distance that equals the tolerance counts as within it.
_ROUNDING_MM = 1e-6


def surface(mask: np.ndarray) -> np.ndarray:
    """Boolean mask -> the voxels that have a face neighbour outside of it."""
    thick = tuple(slice(None) if n > 1 else 0 for n in mask.shape)
    inner = mask[thick]
    result = mask.copy()
    if inner.ndim:
        result[thick] = inner & ~ndimage.binary_erosion(inner)
    return result


def surface_metrics(
    prediction: np.ndarray, reference: np.ndarray, spacing: Sequence[float], *, tolerance_mm: float = 1.0
) -> tuple[float | None, float | None]:
    """(X, Y, Z) boolean masks, voxel edges in mm -> (HD95 in mm, NSD in [0, 1]).

    HD95 is None if a mask is empty. NSD is then 0, no surface voxel being near the other surface, or None if both
    are empty.
    """
    has_prediction, has_reference = bool(prediction.any()), bool(reference.any())
    if not (has_prediction and has_reference):
        return None, (0.0 if has_prediction or has_reference else None)
    # One voxel of margin keeps the border of the box from being taken for the border of the image.
    box = _bounding_box(prediction | reference, margin=1)
    first, second = surface(prediction[box]), surface(reference[box])
    to_second = ndimage.distance_transform_edt(~second, sampling=spacing)[first]
    to_first = ndimage.distance_transform_edt(~first, sampling=spacing)[second]
    hd95 = max(float(np.percentile(to_second, 95)), float(np.percentile(to_first, 95)))
    limit = tolerance_mm + _ROUNDING_MM
    near = np.count_nonzero(to_second <= limit) + np.count_nonzero(to_first <= limit)
    return hd95, float(near / (to_second.size + to_first.size))


def _bounding_box(mask: np.ndarray, *, margin: int) -> tuple[slice, ...]:
    box = []
    for axis in range(mask.ndim):
        others = tuple(other for other in range(mask.ndim) if other != axis)
        present = np.flatnonzero(mask.any(axis=others))
        box.append(slice(max(0, int(present[0]) - margin), int(present[-1]) + 1 + margin))
    return tuple(box)
