"""Patch and batch: what limits them is said, what is asked for is taken."""

import pytest

from l2s_auto.core.errors import UserError
from l2s_auto.planning.memory import StepMemory
from l2s_auto.planning.patch import Fit, determine_batch, determine_patch

ONE = (1.0, 1.0, 1.0)


def fit(memory_gb=None, processes=1):
    return Fit(channels=1, classes=3, features=8, memory_gb=memory_gb, step=StepMemory(), processes=processes)


def test_a_small_case_is_a_patch():
    chosen = determine_patch([(36, 50, 35)], ONE, fit=fit(), voxels=10**6)
    assert chosen.patch == (40, 56, 40) and "which a patch holds" in chosen.why


def test_the_reason_names_what_limits():
    shapes = [(200, 200, 200)]
    assert "the device's usual" in determine_patch(shapes, ONE, fit=fit(), voxels=64**3).why
    assert "1 GB for 2" in determine_patch(shapes, ONE, fit=fit(memory_gb=1.0), voxels=10**9).why


def test_the_users_patch_is_enlarged_to_what_the_poolings_divide():
    chosen = determine_patch([(200, 200, 200)], ONE, fit=fit(), voxels=64**3, wanted=(100, 100, 30))
    assert all(n >= w for n, w in zip(chosen.patch, (100, 100, 30), strict=True)) and "asked for" in chosen.why
    assert all(n % d == 0 for n, d in zip(chosen.patch, chosen.topology.divisor, strict=True))
    exact = determine_patch([(200, 200, 200)], ONE, fit=fit(), voxels=64**3, wanted=(64, 64, 64))
    assert exact.patch == (64, 64, 64) and exact.why == "as asked for"


def test_what_is_asked_for_and_does_not_fit_is_an_error():
    with pytest.raises(UserError, match="not enough memory for the smallest training"):
        determine_patch([(200,) * 3], ONE, fit=fit(memory_gb=0.5), voxels=64**3, wanted=(160, 160, 160))
    chosen = determine_patch([(64,) * 3], ONE, fit=fit(memory_gb=1.0), voxels=64**3)
    with pytest.raises(UserError, match="not enough memory for the batch"):
        determine_batch([(64,) * 3] * 100, chosen, fit=fit(memory_gb=1.0), most=2, wanted=50)


@pytest.mark.parametrize(
    ("cases", "memory_gb", "most", "batch", "why"),
    [
        (1000, None, 4, 4, "the device's usual"),
        (60, None, 40, 15, "more would be over 25% of the dataset's voxels"),
        (3, None, 40, 2, "the least; more would be over 25%"),
        (1000, 1.0, 40, None, "as many as 1 GB hold"),
    ],
)
def test_the_batch_and_its_reason(cases, memory_gb, most, batch, why):
    shapes = [(64, 64, 64)] * cases
    chosen = determine_patch(shapes, ONE, fit=fit(memory_gb), voxels=64**3)
    found, reason = determine_batch(shapes, chosen, fit=fit(memory_gb), most=most)
    assert reason.startswith(why) and (batch is None or found == batch)


def test_the_users_batch_is_taken():
    chosen = determine_patch([(64,) * 3], ONE, fit=fit(), voxels=64**3)
    assert determine_batch([(64,) * 3], chosen, fit=fit(), most=2, wanted=7) == (7, "as asked for")


def test_a_patch_that_cannot_be_halved_is_refused():
    for wanted in ((1, 1, 1), (4, 4, 4), (8, 1, 1)):
        with pytest.raises(UserError, match=r"--patch: found .* voxels, which cannot be halved"):
            determine_patch([(64,) * 3], ONE, fit=fit(), voxels=64**3, wanted=wanted)
