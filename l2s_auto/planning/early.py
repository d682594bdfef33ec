"""Small patches for the first part of a training, where the device affords few large ones a batch."""

from __future__ import annotations

import math

from l2s_auto.core.grid import Early, Topology, Voxels
from l2s_auto.planning.devices import DeviceDefaults
from l2s_auto.planning.patch import Fit, times

#: Samples for one, from which on smaller patches are worth it.
WORTH = 2
#: Voxels in the lowest stage along each axis, at least, where the whole patch has so many. A network that has two along
#: the first is not computed in bfloat16 on a CPU (`networks.precision`), which takes longer.
LEAST = (3, 2, 2)


def determine_early(
    patch: Voxels, batch: int, topology: Topology, *, fit: Fit, kind: DeviceDefaults
) -> tuple[Early | None, str]:
    """Patches of about half the edges, as many as together have no more voxels than the plan's batch; and why.

    Each sample has a contrast of its own, and a batch of few says little about the others. Large patches follow, which
    show what lies far apart. None where the device has no use for it, or it would not double the samples.
    """
    if not kind.early:
        return None, ""
    x, y, z = (half(n, d, least) for n, d, least in zip(patch, topology.divisor, LEAST, strict=True))
    small = (x, y, z)
    many = min(kind.many, batch * math.prod(patch) // math.prod(small))
    most = fit.needs(topology, patch, batch)
    while many > batch and fit.needs(topology, small, many) > most:
        many -= 1
    many -= many % fit.processes
    if many < WORTH * batch:
        return None, ""
    why = f"more contrasts an update; whole patches of {times(patch)} follow, which show what lies far apart"
    return Early(patch=small, batch=many, share=kind.early), why


def half(voxels: int, divisor: int, least: int) -> int:
    """Half an edge, enlarged to what the poolings divide, and to `least` voxels in the lowest stage, or to the edge."""
    return min(voxels, divisor * max(least, math.ceil(voxels / 2 / divisor)))
