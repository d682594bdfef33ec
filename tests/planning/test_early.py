"""Small patches first: as much work an update, more samples, and only where nobody has chosen otherwise."""

from __future__ import annotations

import math

import pytest

from l2s_auto.planning.choices import Choices
from l2s_auto.planning.devices import device_defaults
from l2s_auto.planning.early import WORTH, determine_early, half
from l2s_auto.planning.memory import StepMemory
from l2s_auto.planning.patch import Fit
from l2s_auto.planning.planner import make_plan
from l2s_auto.planning.topology import determine_topology

CPU = device_defaults("cpu")


def fit(processes: int = 1) -> Fit:
    return Fit(channels=1, classes=3, features=8, memory_gb=None, step=StepMemory(), processes=processes)


@pytest.mark.parametrize("shape", [(40, 56, 40), (64, 64, 64), (128, 96, 1), (64, 64, 8), (24, 24, 24), (96, 16, 16)])
def test_early_batches_are_no_more_work_and_twice_the_samples(shape):
    topology, patch = determine_topology((1.0, 1.0, 1.0), shape, base_features=8)
    early, why = determine_early(patch, 2, topology, fit=fit(), kind=CPU)
    if early is None:
        assert not why
        return
    assert early.batch * math.prod(early.patch) <= 2 * math.prod(patch)
    assert WORTH * 2 <= early.batch <= CPU.many and 0 < early.share < 1 and why
    assert all(
        small <= large and small % d == 0 for small, large, d in zip(early.patch, patch, topology.divisor, strict=True)
    )
    assert math.prod(n // d for n, d in zip(early.patch, topology.divisor, strict=True)) > 1


def test_an_example():
    topology, patch = determine_topology((1.0, 1.0, 1.0), (40, 56, 40), base_features=16)
    early, why = determine_early(patch, 2, topology, fit=fit(), kind=CPU)
    assert early is not None and (early.patch, early.batch) == ((24, 32, 24), 8)
    assert "40 x 56 x 40" in why


def test_processes_share_an_early_batch_evenly():
    topology, patch = determine_topology((1.0, 1.0, 1.0), (40, 56, 40), base_features=8)
    early, _ = determine_early(patch, 3, topology, fit=fit(processes=3), kind=CPU)
    assert early is not None and early.batch == 6


def test_a_batch_of_many_or_a_device_without_use_for_it_has_none():
    topology, patch = determine_topology((1.0, 1.0, 1.0), (40, 56, 40), base_features=8)
    assert determine_early(patch, 8, topology, fit=fit(), kind=CPU) == (None, "")
    assert determine_early(patch, 2, topology, fit=fit(), kind=device_defaults("cuda")) == (None, "")


def test_half_an_edge_keeps_two_voxels_in_the_lowest_stage():
    assert [half(n, 8) for n in (8, 16, 24, 32, 40, 56, 64)] == [8, 16, 16, 16, 24, 32, 32]
    assert half(1, 1) == 1


@pytest.mark.parametrize("own", [{"patch": (40, 56, 40)}, {"batch": 2}])
def test_who_chooses_patch_or_batch_has_it_throughout(own, fingerprint_of):
    found = fingerprint_of(
        shapes=[(35, 50, 36)] * 30, means=dict.fromkeys(range(3), (0.5,)), stds=dict.fromkeys(range(3), (0.1,))
    )
    made = make_plan(found, memory_gb=None, device="cpu")
    assert made.early is not None and made.why["early"]
    assert make_plan(found, memory_gb=None, device="cuda").early is None
    chosen = make_plan(found, memory_gb=None, device="cpu", choices=Choices(**own))
    assert chosen.early is None and "early" not in chosen.why
