"""Small patches first: as much work an update, more samples, and only where nobody has chosen otherwise."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from l2s_auto.networks.precision import right_in_bfloat16
from l2s_auto.planning.choices import Choices
from l2s_auto.planning.devices import device_defaults
from l2s_auto.planning.early import LEAST, WORTH, determine_early, half
from l2s_auto.planning.memory import StepMemory, plan_memory_gb
from l2s_auto.planning.patch import Fit
from l2s_auto.planning.planner import make_plan
from l2s_auto.planning.topology import determine_topology

CPU = device_defaults("cpu")
EDGES = (16, 24, 32, 40, 56, 64)


def fit(processes: int = 1) -> Fit:
    return Fit(channels=1, classes=3, features=8, memory_gb=None, step=StepMemory(), processes=processes)


def found_for(shape, *, batch=2, processes=1, kind=CPU):
    topology, patch = determine_topology((1.0, 1.0, 1.0), shape, base_features=8)
    early, why = determine_early(patch, batch, topology, fit=fit(processes), kind=kind)
    assert (early is None) == (why == "")
    return patch, topology, early


def test_early_batches_are_no_more_work_and_twice_the_samples():
    some = 0
    for shape in [*itertools.product(EDGES, repeat=3), (128, 96, 1), (256, 256, 1)]:
        patch, topology, early = found_for(shape)
        if early is None:
            continue
        some += 1
        assert early.batch * math.prod(early.patch) <= 2 * math.prod(patch)
        assert WORTH * 2 <= early.batch <= CPU.many and early.share == CPU.early
        edges = list(zip(early.patch, patch, topology.divisor, strict=True))
        assert all(small <= large and small % d == 0 for small, large, d in edges)
        assert all(n // d >= min(m // d, least) for (n, m, d), least in zip(edges, LEAST, strict=True))
    assert some > 100


def test_whatever_is_computed_in_bfloat16_as_a_whole_is_so_early():
    for shape in itertools.product(EDGES, repeat=3):
        patch, topology, early = found_for(shape)
        if early is not None and right_in_bfloat16(patch, torch.device("cpu"), topology):
            assert right_in_bfloat16(early.patch, torch.device("cpu"), topology), (patch, early)


@pytest.mark.parametrize(
    ("shape", "patch", "batch"),
    [((40, 56, 40), (24, 32, 24), 8), ((64, 64, 64), (48, 32, 32), 8), ((256, 256, 1), (192, 128, 1), 5)],
)
def test_examples(shape, patch, batch):
    early = found_for(shape)[2]
    assert early is not None and (early.patch, early.batch) == (patch, batch)
    assert str(early) == f"the first 50%: {batch} patches of {' x '.join(map(str, patch))} voxels"


def test_processes_share_an_early_batch_evenly():
    early = found_for((40, 56, 40), batch=3, processes=3)[2]
    assert early is not None and early.batch == 6


def test_a_batch_of_many_or_a_device_without_use_for_it_has_none():
    assert found_for((40, 56, 40), batch=8)[2] is None
    assert found_for((40, 56, 40), kind=device_defaults("cuda"))[2] is None


def test_half_an_edge_keeps_some_voxels_in_the_lowest_stage():
    assert [half(n, 8, 2) for n in (8, 16, 24, 32, 40, 56, 64)] == [8, 16, 16, 16, 24, 32, 32]
    assert [half(n, 16, 3) for n in (16, 32, 48, 64, 128)] == [16, 32, 48, 48, 64]
    assert half(1, 1, 3) == 1


@pytest.fixture
def found(fingerprint_of):
    same = dict.fromkeys(range(3), (0.5,)), dict.fromkeys(range(3), (0.1,))
    return fingerprint_of(shapes=[(140, 160, 144)] * 30, means=same[0], stds=same[1])


@pytest.mark.parametrize("own", [{"patch": (40, 56, 40)}, {"batch": 2}])
def test_who_chooses_patch_or_batch_has_it_throughout(own, found):
    made = make_plan(found, memory_gb=None, device="cpu", choices=Choices(cascade=True))
    assert made.early is not None and made.why["early"] and made.low_resolution.early is not None
    assert made.first_stage.early == made.low_resolution.early
    assert make_plan(found, memory_gb=None, device="cuda").early is None
    chosen = make_plan(found, memory_gb=None, device="cpu", choices=Choices(cascade=True, **own))
    assert chosen.early is None and "early" not in chosen.why and chosen.low_resolution.early is None


def test_memory_is_that_of_the_part_that_needs_more(found):
    made = make_plan(found, memory_gb=None, device="cpu")
    whole = made.model_copy(update={"early": None})
    step = StepMemory(hyper=2.0)
    assert plan_memory_gb(made, step) == plan_memory_gb(whole, step), "the planner's early part never needs more"
    edited = made.model_copy(update={"early": made.early.model_copy(update={"batch": 100})})
    assert plan_memory_gb(edited, step) == plan_memory_gb(edited.early_part, step) > 5 * plan_memory_gb(whole, step)
