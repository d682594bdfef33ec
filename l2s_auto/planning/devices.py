"""What a kind of device can be asked for where nobody says otherwise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple


class DeviceDefaults(NamedTuple):
    """Measured on small machines, to be refined.

    features    of the U-Net's first stage
    voxels      of a patch, at most
    batch       at most
    many        the batch where patches are small, at most
    together    voxels of such a batch, at most
    iterations  updates of the network
    """

    features: int
    voxels: int
    batch: int
    many: int
    together: int
    iterations: int

    def largest_batch(self, patch: Sequence[int]) -> int:
        """More small patches than large ones: one slice alone says little about the next step."""
        return max(self.batch, min(self.many, self.together // math.prod(patch)))


DEVICES = {
    "cpu": DeviceDefaults(features=16, voxels=64**3, batch=2, many=8, together=64**3 // 2, iterations=2000),
    "mps": DeviceDefaults(features=16, voxels=64**3, batch=2, many=8, together=64**3 // 2, iterations=5000),
    "cuda": DeviceDefaults(features=32, voxels=128 * 160 * 112, batch=8, many=32, together=96**3, iterations=20000),
}


def device_kind(device: str) -> str:
    """Of "cpu", "mps", "cuda" or "cuda:1"; an unknown kind of device is treated as a CPU."""
    kind = device.partition(":")[0]
    return kind if kind in DEVICES else "cpu"


def device_defaults(device: str) -> DeviceDefaults:
    """Of that kind of device."""
    return DEVICES[device_kind(device)]
