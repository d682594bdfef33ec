"""What a user decides instead of the planner."""

from __future__ import annotations

from dataclasses import dataclass

from l2s_auto.core.plan import Triple, Voxels


@dataclass(frozen=True)
class Choices:
    """None: the planner decides.

    spacing     mm of a voxel that all scans are resampled to, along R, A, S
    patch       voxels, at least; enlarged to what the poolings divide
    batch       samples of an update
    features    of the U-Net's first stage
    cascade     whether a network of low resolution, which sees more of a case at once, comes first
    """

    spacing: Triple | None = None
    patch: Voxels | None = None
    batch: int | None = None
    features: int | None = None
    cascade: bool | None = None
