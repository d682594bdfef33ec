"""C order: the same numbers, whatever order they came in."""

from __future__ import annotations

import numpy as np
import pytest

from l2s_auto.core.contiguous import contiguous


@pytest.mark.parametrize("shape", [(41, 50, 37), (2, 33, 40, 35), (3, 4, 5), (70_000,), (300, 300)])
@pytest.mark.parametrize("turn", ["C", "F", "flipped"])
@pytest.mark.parametrize("dtype", [None, np.float32])
def test_is_what_numpy_gives(shape: tuple[int, ...], turn: str, dtype: type | None) -> None:
    array = np.random.default_rng(0).integers(0, 999, shape).astype(np.int16)
    array = np.flip(np.asfortranarray(array), axis=0) if turn == "flipped" else np.array(array, order=turn)
    found = contiguous(array, dtype)
    assert np.array_equal(found, array) and found.flags.c_contiguous
    assert found.dtype == (dtype or np.int16)


def test_copies_only_where_it_must_or_is_asked_to() -> None:
    array = np.zeros((3, 4, 5), dtype=np.float32)
    assert contiguous(array, np.float32) is array
    assert not np.shares_memory(contiguous(array, copy=True), array)
