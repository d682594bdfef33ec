"""Agreement of two masks counted in voxels."""

from __future__ import annotations

import numpy as np


def dice(prediction: np.ndarray, reference: np.ndarray) -> float | None:
    """2 |P ∩ R| / (|P| + |R|) in [0, 1] of two boolean masks; None if both are empty (Dice, Ecology 26, 1945)."""
    total = int(np.count_nonzero(prediction)) + int(np.count_nonzero(reference))
    if total == 0:
        return None
    return 2.0 * int(np.count_nonzero(prediction & reference)) / total


def volume_error(prediction: np.ndarray, reference: np.ndarray) -> float | None:
    """| |P| - |R| | / |R|, 0 or more; None if the reference is empty."""
    expected = int(np.count_nonzero(reference))
    if expected == 0:
        return None
    return abs(int(np.count_nonzero(prediction)) - expected) / expected
