"""Arrays in C order, quickly: what files give runs the other way, and numpy turns it voxel by voxel."""

from __future__ import annotations

from typing import Any

import numpy as np

_BLOCK = 16  # voxels: what is read and what is written of a block lie in the processor's cache together
_LARGE = 2**16  # voxels from which on blocks pay


def contiguous(array: np.ndarray, dtype: Any = None, *, copy: bool = False) -> np.ndarray:
    """(..., X, Y, Z) in C order and of `dtype`; the array itself where it is so already, unless a copy is wanted."""
    kind = np.dtype(dtype or array.dtype)
    if array.flags.c_contiguous and array.dtype == kind and not copy:
        return array
    if array.flags.c_contiguous or array.ndim < 3 or array.size < _LARGE:
        return np.array(array, dtype=kind, order="C")
    out = np.empty(array.shape, dtype=kind)
    x, _, z = array.shape[-3:]
    for i in range(0, x, _BLOCK):
        for k in range(0, z, _BLOCK):
            part = (..., slice(i, i + _BLOCK), slice(None), slice(k, k + _BLOCK))
            out[part] = array[part]
    return out
