"""Counting: the same as numpy's slower ways."""

from __future__ import annotations

import numpy as np
import pytest

from l2s_auto.core.counting import box_of, counts_of, moments, number_of, values_of


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.int64])
@pytest.mark.parametrize("values", [[0], [0, 1, 2], [3, 77, 120], [0, 100]])
def test_values_and_places_are_those_of_unique(values: list[int], dtype: type) -> None:
    numbers = np.random.default_rng(0).choice(values, (4, 30, 7)).astype(dtype)
    expected, place = np.unique(numbers, return_inverse=True)
    assert np.array_equal(values_of(numbers), expected) and values_of(numbers).dtype == dtype
    found = number_of(numbers, values_of(numbers))
    assert np.array_equal(found, place.reshape(numbers.shape)) and found.dtype == np.uint8


@pytest.mark.parametrize("values", [[-5, 0, 3], [-40_000, 0, 2**20], list(range(0, 900, 3))])
def test_negative_far_and_many_values(values: list[int]) -> None:
    numbers = np.random.default_rng(0).choice(values, 5000).astype(np.int32).reshape(50, 100, order="F")
    expected, place = np.unique(numbers, return_inverse=True)
    assert np.array_equal(values_of(numbers), expected)
    assert np.array_equal(number_of(numbers, expected), place.reshape(numbers.shape))


def test_nothing_has_no_values() -> None:
    assert values_of(np.zeros((0, 3), dtype=np.int32)).size == 0


def test_counts_are_whole_however_many_there_are() -> None:
    index = np.random.default_rng(0).integers(0, 3, 2**21 + 5).astype(np.uint8)
    assert np.array_equal(counts_of(index, 4), np.bincount(index, minlength=4))


def test_a_box_holds_all_and_each_of_its_faces_something() -> None:
    mask = np.zeros((9, 8, 7), dtype=bool)
    assert mask[box_of(mask)].size == 0
    mask[2, 3, 1] = mask[5, 3, 6] = True
    assert box_of(mask) == (slice(2, 6), slice(3, 4), slice(1, 7))


def test_moments_are_numpys_also_far_from_zero() -> None:
    rng = np.random.default_rng(0)
    index = rng.integers(0, 3, 2**21 + 5).astype(np.uint8)
    values = (5000.0 + index + rng.normal(size=index.size)).astype(np.float32)
    count, mean, std = moments(index, values, 5)
    assert count[3] == count[4] == mean[3] == std[4] == 0
    for number in range(3):
        own = values[index == number].astype(np.float64)
        assert count[number] == own.size
        assert mean[number] == pytest.approx(own.mean()) and std[number] == pytest.approx(own.std(), rel=1e-4)


def test_moments_of_few_values_are_exact_and_of_none_0() -> None:
    count, mean, std = moments(np.array([0, 0, 2]), np.array([1.0, 2.0, 5.0], dtype=np.float32), 3)
    assert count.tolist() == [2, 0, 1] and mean.tolist() == [1.5, 0, 5] and std.tolist() == [0.5, 0, 0]
    assert [values.tolist() for values in moments(np.zeros(0, int), np.zeros(0), 2)] == [[0, 0]] * 3


def test_moments_of_many_equal_values_have_no_spread() -> None:
    count, mean, std = moments(np.zeros(2**21, np.uint8), np.full(2**21, 0.25, np.float32), 1)
    assert count[0] == 2**21 and mean[0] == pytest.approx(0.25, abs=1.0) and std[0] == 0
