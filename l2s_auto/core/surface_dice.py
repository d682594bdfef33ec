"""Which of the two surface Dice a table shows: within 1 mm, or, where voxels are of another size, within one voxel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from l2s_auto.core.digits import shown

WITHIN_1MM, WITHIN_VOXEL = "nsd_1mm", "nsd"
#: In metrics.json: mm of `nsd`'s tolerance, at the top and in each case.
TOLERANCE = "tolerance_mm"


def surface_dice(metrics: Mapping[str, Any]) -> tuple[str, str]:
    """The content of a metrics.json -> (the metric to show, its tolerance for people: 1 mm, 0.1 mm or 1 voxel).

    The two are equal where the tolerance is 1 mm. The tolerance is told in voxels where it differs between cases.
    """
    mean = metrics.get("mean")
    cases = [case.get(TOLERANCE) for case in metrics.get("cases") or () if isinstance(case, Mapping)]
    tolerances = {value for value in [metrics.get(TOLERANCE), *cases] if isinstance(value, (int, float))}
    if not isinstance(mean, Mapping) or WITHIN_VOXEL not in mean or tolerances in (set(), {1.0}):
        return WITHIN_1MM, "1 mm"
    return WITHIN_VOXEL, f"{shown(tolerances.pop(), 3)} mm" if len(tolerances) == 1 else "1 voxel"
