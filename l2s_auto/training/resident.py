"""Cases on the accelerator, as many as fit into a part of its memory: boxes are cut out where they are needed."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
import torch

from l2s_auto.networks.device import free_memory_gb
from l2s_auto.preprocessing.compressed import CompressedArray

#: Of the memory that is free at first, the part that cases may take, and GB at most.
SHARE, MOST_GB = 0.1, 1.0


class Resident:
    """Whole arrays on a device, in the order in which they are asked for, until there is no room.

    room  bytes that they may take; None: none on a CPU, else `SHARE` of what is free, `MOST_GB` at most
    """

    def __init__(self, device: torch.device, *, room: int | None = None) -> None:
        self.device, self._room = device, room
        self._arrays: dict[Hashable, torch.Tensor] = {}

    def box(
        self, key: Hashable, array: np.ndarray | CompressedArray, ranges: tuple[tuple[int, int], ...]
    ) -> torch.Tensor | None:
        """A box of the last axes of an array, on the device; where it leaves the array, the border continues.

        key  what the array is known by
        None where the array is not kept.
        """
        whole = self._kept(key, array)
        if whole is None:
            return None
        for axis, (low, high) in enumerate(ranges, start=whole.ndim - len(ranges)):
            n = whole.shape[axis]
            if low >= 0 and high <= n:
                whole = whole.narrow(axis, low, high - low)
            else:
                whole = whole.index_select(axis, torch.arange(low, high, device=whole.device).clamp_(0, n - 1))
        return whole

    def drop(self) -> bool:
        """Keep nothing from now on -> whether anything was kept."""
        had = bool(self._arrays)
        self._arrays, self._room = {}, 0
        return had

    def _kept(self, key: Hashable, array: np.ndarray | CompressedArray) -> torch.Tensor | None:
        if self._room is None:
            free = 0.0 if self.device.type == "cpu" else free_memory_gb(self.device) or 0.0
            self._room = int(1e9 * min(MOST_GB, SHARE * free))
        if key not in self._arrays:
            size = int(np.prod(array.shape)) * np.dtype(array.dtype).itemsize
            if size > self._room:
                return None
            self._room -= size
            content = np.ascontiguousarray(array[(slice(None),) * len(array.shape)])
            self._arrays[key] = torch.from_numpy(content).to(self.device)
        return self._arrays[key]
