"""The spacing at which a patch shows enough of a case."""

import pytest

from l2s_auto.core.plan import Fingerprint
from l2s_auto.planning.choices import Choices
from l2s_auto.planning.low_resolution import low_resolution, share_in_patch
from l2s_auto.planning.planner import make_plan

PATCH = (64, 64, 64)


def at(spacing):
    return PATCH


def test_where_a_patch_shows_a_quarter_nothing_is_coarser():
    assert low_resolution((100, 100, 100), (1.0, 1.0, 1.0), patch_at=at) is None
    assert share_in_patch((100, 100, 100), PATCH) == pytest.approx(0.262, abs=0.001)
    assert share_in_patch((32, 32, 32), PATCH) == 1


@pytest.mark.parametrize("spacing", [(0.5, 0.5, 0.5), (0.5, 0.5, 3.0)])
def test_the_finest_spacing_that_shows_a_quarter(spacing):
    median = tuple(round(300 / s) for s in spacing)
    found = low_resolution(median, spacing, patch_at=at)
    shown = [tuple(max(1, round(300 / (s / shrink))) for s in found) for shrink in (1.0, 1.04)]
    assert share_in_patch(shown[0], PATCH) >= 0.25 > share_in_patch(shown[1], PATCH)
    # The finer axes catch up before the coarse one grows.
    assert max(found) / min(found) <= 2.1 or found[2] == spacing[2]


def test_a_plan_tells_what_a_patch_does_not_show(fingerprint_of) -> None:
    means = {0: (0.5,), 1: (0.4,), 2: (0.42,)}

    def why(shape, **chosen) -> dict[str, str]:
        fingerprint: Fingerprint = fingerprint_of(shapes=[shape] * 5, means=means, stds=means)
        return make_plan(fingerprint, memory_gb=8, device="cpu", choices=Choices(**chosen)).why

    assert "context" not in why((64, 64, 64))
    assert "a patch holds 1% of a usual case; at " in why((300, 300, 300))["context"]
    assert "context" not in why((300, 300, 300), patch=(64, 64, 64))
