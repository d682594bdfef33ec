"""Arrays on disk, compressed without loss (Blosc2 on shuffled bits), any box of which is read by itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from l2s_auto.io.atomic import atomic_path

#: Edge in voxels of what is compressed as one, and of what lies together in the file.
BLOCK, CHUNK = 32, 128
_SUFFIX = ".b2nd"


@dataclass(frozen=True)
class CompressedArray:
    """An array in a file, read box by box: indexed by slices as an array is, it gives one in memory.

    The file is open only while it is read, so that there may be thousands.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype

    def __getitem__(self, index: tuple[slice, ...]) -> np.ndarray:
        """A part, by slices without steps."""
        return _open(self.path)[index]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        whole = _open(self.path)[...]
        return whole if dtype is None else whole.astype(dtype, copy=False)


def write_array(path: Path, array: np.ndarray) -> None:
    """Write a (C, X, Y, Z) or (X, Y, Z) array; a channel is read without the others. Killed, it leaves no half file.

    path  ends with .b2nd
    """
    import blosc2

    assert path.suffix == _SUFFIX, f"{path.name} does not end with {_SUFFIX}"
    edges = [1] * (array.ndim - 3)
    sizes = {
        name: tuple(min(n, edge) for n, edge in zip(array.shape, [*edges, longest, longest, longest], strict=True))
        for name, longest in (("blocks", BLOCK), ("chunks", CHUNK))
    }
    # Noise hardly compresses, so intensities go the quick way; label maps compress well.
    codec = blosc2.Codec.LZ4 if array.dtype.kind == "f" else blosc2.Codec.ZSTD
    compression = {"codec": codec, "clevel": 1, "filters": [blosc2.Filter.BITSHUFFLE], "nthreads": 1}
    with atomic_path(path, durable=False) as temporary:
        blosc2.asarray(np.ascontiguousarray(array), urlpath=str(temporary), mode="w", cparams=compression, **sizes)


def open_array(path: Path) -> CompressedArray:
    """An array that `write_array` has written. Raises OSError or RuntimeError where it is none."""
    found = _open(path)
    return CompressedArray(path, tuple(found.shape), np.dtype(found.dtype))


def _open(path: Path) -> Any:
    import blosc2

    return blosc2.open(str(path), mode="r", mmap_mode="r", dparams={"nthreads": 1})
