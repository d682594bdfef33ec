"""Counting and finding in arrays of small whole numbers, quickly and in little memory."""

from __future__ import annotations

import numpy as np

_PIECE = 2**20  # numbers that are counted at a time
_BINS = 4096  # of the values whose moments are taken
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

    0 and 0 for a number that does not occur. Of more than a million values those of a number are counted in 4096 bins
    of the values' range, which is three times as fast: a mean is then off by less than 1/8192 of the range, and with
    many different values far less.
    """
    if values.size == 0:
        return np.zeros(length), np.zeros(length), np.zeros(length)
    count, mean, std = (_moments if values.size <= _PIECE else _moments_in_bins)(index, values, length)
    return count, np.where(count > 0, mean, 0.0), np.where(count > 0, std, 0.0)


def _moments(index: np.ndarray, values: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    middle = float(values.mean(dtype=np.float64))
    about = values.astype(np.float64) - middle  # so that squares keep their digits
    count = np.bincount(index, None, length).astype(np.float64)
    some = np.maximum(count, 1)
    mean = np.bincount(index, about, length) / some
    square = np.bincount(index, about * about, length) / some
    return count, mean + middle, np.sqrt(np.maximum(0.0, square - mean**2))


def _moments_in_bins(index: np.ndarray, values: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    lowest, highest = float(values.min()), float(values.max())
    width = (highest - lowest) / _BINS or 1.0
    counts = np.zeros(length * _BINS, dtype=np.int64)
    piece = max(_PIECE, counts.size)
    for start in range(0, index.size, piece):
        scaled = (values[start : start + piece] - np.float32(lowest)) * np.float32(1 / width)
        number = np.minimum(scaled, np.float32(_BINS - 1)).astype(np.int64)
        number += index[start : start + piece].astype(np.int64) * _BINS
        counts += np.bincount(number, minlength=counts.size)
    table = counts.reshape(length, _BINS)
    middles = lowest + (np.arange(_BINS) + 0.5) * width
    count = table.sum(axis=1).astype(np.float64)
    some = np.maximum(count, 1)
    mean = table @ middles / some
    square = (table * (middles - mean[:, None]) ** 2).sum(axis=1) / some
    return count, mean, np.sqrt(square)


def box_of(mask: np.ndarray) -> tuple[slice, ...]:
    """The smallest box that holds all that is true in (*S), empty where nothing is."""
    axes = range(mask.ndim)
    occupied = [np.flatnonzero(mask.any(axis=tuple(other for other in axes if other != axis))) for axis in axes]
    return tuple(slice(int(planes[0]), int(planes[-1]) + 1) if planes.size else slice(0, 0) for planes in occupied)
