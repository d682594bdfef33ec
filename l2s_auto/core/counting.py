"""Counting and finding in arrays of small whole numbers, quickly and in little memory."""

from __future__ import annotations

import numpy as np

_PIECE = 2**20  # numbers that are counted at a time
_TABLE = 2**16  # values this far apart are looked up in a table


def values_of(numbers: np.ndarray) -> np.ndarray:
    """The distinct values of an integer array, rising, in its own type; counting is many times quicker than sorting."""
    if numbers.size == 0:
        return numbers.ravel()
    lowest, highest = int(numbers.min()), int(numbers.max())
    if highest - lowest >= _TABLE:
        return np.unique(numbers)
    present = np.zeros(highest - lowest + 1, dtype=bool)
    flat = numbers.ravel(order="K")
    for start in range(0, flat.size, _PIECE):
        present[flat[start : start + _PIECE].astype(np.int64) - lowest] = True
    return (np.flatnonzero(present) + lowest).astype(numbers.dtype)


def number_of(numbers: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(*S) integers, all of them among the rising `values` -> (*S) their places in it, in the smallest type."""
    kind = np.uint8 if len(values) <= 2**8 else np.uint16 if len(values) <= 2**16 else np.uint32
    lowest, highest = (int(values[0]), int(values[-1])) if len(values) else (0, 0)
    if highest - lowest >= _TABLE:
        return np.searchsorted(values, numbers).astype(kind)
    table = np.zeros(highest - lowest + 1, dtype=kind)
    table[np.asarray(values, dtype=np.int64) - lowest] = np.arange(len(values))
    return table[numbers - lowest] if lowest else table[numbers]


def counts_of(index: np.ndarray, length: int) -> np.ndarray:
    """(length,) int64: how often each number occurs in (N,) `index`."""
    total = np.zeros(length, dtype=np.int64)
    piece = max(_PIECE, length)
    for start in range(0, index.size, piece):
        total += np.bincount(index[start : start + piece], minlength=length)
    return total


def moments(index: np.ndarray, values: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(length,) how often each number occurs in (N,) `index`, and mean and standard deviation of its (N,) values.

    0 and 0 for a number that does not occur.
    """
    middle = np.float32(values.mean(dtype=np.float64)) if values.size else np.float32(0)
    count, total, squares = np.zeros((3, length))
    for start in range(0, index.size, _PIECE):
        part = index[start : start + _PIECE]
        about = values[start : start + _PIECE] - middle  # so that squares keep their digits
        count += np.bincount(part, None, length)
        total += np.bincount(part, about, length)
        squares += np.bincount(part, about * about, length)
    some = np.maximum(count, 1)
    mean = total / some
    std = np.sqrt(np.maximum(0.0, squares / some - mean**2))
    return count, np.where(count > 0, mean + float(middle), 0.0), std


def box_of(mask: np.ndarray) -> tuple[slice, ...]:
    """The smallest box that holds all that is true in (*S), empty where nothing is."""
    axes = range(mask.ndim)
    occupied = [np.flatnonzero(mask.any(axis=tuple(other for other in axes if other != axis))) for axis in axes]
    return tuple(slice(int(planes[0]), int(planes[-1]) + 1) if planes.size else slice(0, 0) for planes in occupied)
