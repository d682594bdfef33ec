"""Which surface Dice is shown."""

import pytest

from l2s_auto.core.surface_dice import surface_dice

MEAN = {"dice": 0.9, "nsd_1mm": 1.0, "nsd": 0.8}


@pytest.mark.parametrize(
    ("metrics", "shown"),
    [
        ({"mean": MEAN, "tolerance_mm": 1.0, "cases": [{"tolerance_mm": 1.0}]}, ("nsd_1mm", "1 mm")),
        ({"mean": MEAN, "tolerance_mm": 0.1, "cases": [{"tolerance_mm": 0.1}]}, ("nsd", "0.1 mm")),
        ({"mean": MEAN, "tolerance_mm": 0.0195313}, ("nsd", "0.0195 mm")),
        ({"mean": MEAN, "tolerance_mm": 1.0, "cases": [{"tolerance_mm": 0.5}]}, ("nsd", "1 voxel")),
        ({"mean": {"dice": 0.9, "nsd_1mm": 1.0}}, ("nsd_1mm", "1 mm")),  # of an earlier version
        ({"mean": MEAN, "tolerance_mm": None}, ("nsd_1mm", "1 mm")),
        ({"mean": [], "cases": [3]}, ("nsd_1mm", "1 mm")),
    ],
)  # fmt: skip
def test_one_voxel_where_voxels_are_not_of_one_millimetre(metrics, shown):
    assert surface_dice(metrics) == shown
