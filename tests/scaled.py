"""The same data in another size: what only the affine tells, as a header stores it, in 32-bit numbers."""

from __future__ import annotations

import numpy as np

FACTORS = (0.02, 0.1, 10.0)


def scaled(spacing: tuple[float, ...], factor: float) -> tuple[float, ...]:
    """mm as they come out of a header."""
    return tuple(float(np.float32(edge * factor)) for edge in spacing)


def scaled_affine(affine: np.ndarray, factor: float) -> np.ndarray:
    """(4, 4), in 64-bit numbers of 32-bit precision."""
    changed = np.array(affine, dtype=np.float64)
    changed[:3] *= factor
    return changed.astype(np.float32).astype(np.float64)
