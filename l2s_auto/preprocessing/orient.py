"""Axis order and direction: from any storage order to the one closest to R, A, S, and back. Never interpolates."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np

from l2s_auto.core.contiguous import contiguous

_TIE = 1e-6  # scores closer than this count as equal: rounding in a file's header must not decide


@dataclass(frozen=True)
class Orientation:
    """How a volume's axes become canonical.

    permutation  canonical axis i is axis permutation[i] of the file
    flips        whether canonical axis i runs against the file's axis
    """

    permutation: tuple[int, int, int]
    flips: tuple[bool, bool, bool]

    @property
    def codes(self) -> str:
        """Where the file's axes point, such as LPS: right, anterior and superior are R, A, S."""
        letters = ["?"] * 3
        for world, (axis, flip) in enumerate(zip(self.permutation, self.flips, strict=True)):
            letters[axis] = ("RL", "AP", "SI")[world][flip]
        return "".join(letters)


#: Of axes that are left as they are.
AS_STORED = Orientation(permutation=(0, 1, 2), flips=(False, False, False))


def orientation_of(affine: np.ndarray) -> Orientation:
    """(4, 4) voxel -> RAS+ mm affine -> the Orientation that brings it closest to R, A, S.

    Of the six assignments of file axes to world axes the one with the largest sum of direction cosines is taken,
    which needs no orthogonal axes. Ties (a volume turned by exactly 45 degrees) are decided by the axes' directions,
    never by their order in the file, so that every storage order of one volume gives the same canonical volume.
    """
    columns = np.asarray(affine, dtype=np.float64)[:3, :3]
    lengths = np.linalg.norm(columns, axis=0)
    assert np.all(np.isfinite(columns)) and np.all(lengths > 0), f"not an affine of a volume: {affine}"
    cosines = columns / lengths

    def rank(permutation: tuple[int, ...]) -> tuple[float, ...]:
        score = sum(abs(cosines[world, axis]) for world, axis in enumerate(permutation))
        forward = [cosines[:, axis] * np.sign(_sign(cosines[:, axis], world)) for world, axis in enumerate(permutation)]
        directions = [round(float(c), 5) for direction in forward for c in direction]
        return (round(score / _TIE), *directions)

    x, y, z = max(permutations(range(3)), key=rank)
    flipped = [bool(_sign(cosines[:, axis], world) < 0) for world, axis in enumerate((x, y, z))]
    return Orientation(permutation=(x, y, z), flips=(flipped[0], flipped[1], flipped[2]))


def _sign(direction: np.ndarray, world: int) -> float:
    """Sign of a direction along a world axis; of its first component that is not zero where it has none there."""
    candidates = [direction[world], *direction]
    return next((float(c) for c in candidates if abs(c) > _TIE), 1.0)


def to_canonical(array: np.ndarray, orientation: Orientation) -> np.ndarray:
    """(..., X, Y, Z) in the file's axes -> (..., R, A, S), contiguous so that later sums run in one fixed order."""
    leading = array.ndim - 3
    axes = (*range(leading), *(leading + axis for axis in orientation.permutation))
    reverse = tuple(leading + axis for axis, flip in enumerate(orientation.flips) if flip)
    return contiguous(np.flip(np.transpose(array, axes), axis=reverse))


def from_canonical(array: np.ndarray, orientation: Orientation) -> np.ndarray:
    """The inverse of `to_canonical`."""
    leading = array.ndim - 3
    reverse = tuple(leading + axis for axis, flip in enumerate(orientation.flips) if flip)
    back = np.argsort(orientation.permutation)
    axes = (*range(leading), *(leading + int(axis) for axis in back))
    return contiguous(np.transpose(np.flip(array, axis=reverse), axes))


def canonical_spacing(affine: np.ndarray, orientation: Orientation) -> tuple[float, float, float]:
    """Distance in mm between voxel centres along R, A, S."""
    lengths = np.linalg.norm(np.asarray(affine, dtype=np.float64)[:3, :3], axis=0)
    x, y, z = (float(lengths[axis]) for axis in orientation.permutation)
    return x, y, z
