"""Compressed arrays: what was written is read, whole or in part, to the last bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from l2s_auto.preprocessing.compressed import open_array, write_array

SHAPES = [(2, 40, 150, 33), (1, 1, 200, 140), (7, 1, 1), (129, 31, 64)]


def array_of(shape: tuple[int, ...], dtype: type) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(0, 200, shape).astype(dtype) if dtype != np.float32 else rng.normal(size=shape).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.uint8, np.int16])
@pytest.mark.parametrize("shape", SHAPES)
def test_reads_back_whole_and_box_by_box(shape: tuple[int, ...], dtype: type, tmp_path: Path) -> None:
    array = array_of(shape, dtype)
    write_array(tmp_path / "a.b2nd", array)
    stored = open_array(tmp_path / "a.b2nd")
    assert stored.shape == shape and stored.dtype == dtype
    assert np.array_equal(np.asarray(stored), array) and np.asarray(stored).dtype == dtype
    rng = np.random.default_rng(1)
    for _ in range(5):
        low = [int(rng.integers(n)) for n in shape]
        box = tuple(slice(a, int(rng.integers(a + 1, n + 1))) for a, n in zip(low, shape, strict=True))
        assert np.array_equal(stored[box], array[box])


def test_is_read_in_any_memory_order_and_can_be_replaced(tmp_path: Path) -> None:
    array = array_of((20, 30, 40), np.float32)
    write_array(tmp_path / "a.b2nd", np.zeros((3, 3, 3), dtype=np.uint8))
    write_array(tmp_path / "a.b2nd", array.T)
    assert np.array_equal(np.asarray(open_array(tmp_path / "a.b2nd")), array.T)
    assert [path.name for path in tmp_path.iterdir()] == ["a.b2nd"]


def test_label_maps_take_a_fraction(tmp_path: Path) -> None:
    labels = np.repeat(np.repeat(array_of((8, 8, 64), np.uint8), 8, axis=0), 8, axis=1)
    write_array(tmp_path / "a.b2nd", labels)
    assert (tmp_path / "a.b2nd").stat().st_size < labels.nbytes / 8


def test_a_damaged_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.b2nd").write_bytes(b"no array")
    with pytest.raises((OSError, RuntimeError)):
        open_array(tmp_path / "a.b2nd")


def test_the_name_tells_the_format(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="b2nd"):
        write_array(tmp_path / "a.npy", np.zeros((3, 3, 3)))
