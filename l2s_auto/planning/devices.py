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
    early       share of a training in smaller patches, and more of them; 0: none
    """

    features: int
    voxels: int
    batch: int
    many: int
    together: int
    iterations: int
    early: float = 0.0

    def largest_batch(self, patch: Sequence[int]) -> int:
        """More small patches than large ones: one slice alone says little about the next step."""
        return max(self.batch, min(self.many, self.together // math.prod(patch)))


_SMALL = {"features": 16, "voxels": 64**3, "batch": 2, "many": 8, "together": 64**3 // 2}
DEVICES = {
    "cpu": DeviceDefaults(**_SMALL, iterations=2000, early=0.5),
    "mps": DeviceDefaults(**_SMALL, iterations=5000, early=0.5),
    "cuda": DeviceDefaults(features=32, voxels=128 * 160 * 112, batch=8, many=32, together=96**3, iterations=20000),
}


def device_kind(device: str) -> str:
    """Of "cpu", "mps", "cuda" or "cuda:1"; an unknown kind of device is treated as a CPU."""
    kind = device.partition(":")[0]
    return kind if kind in DEVICES else "cpu"


def device_defaults(device: str) -> DeviceDefaults:
    """Of that kind of device."""
    return DEVICES[device_kind(device)]
