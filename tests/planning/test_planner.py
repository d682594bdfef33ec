from __future__ import annotations

import math

import pytest

from l2s_auto.core.plan import Plan
from l2s_auto.planning.choices import Choices
from l2s_auto.planning.devices import device_defaults
from l2s_auto.planning.memory import StepMemory, plan_memory_gb
from l2s_auto.planning.planner import (
    determine_normalisation,
    determine_spacing,
    make_plan,
)

MEANS = {0: (0.5,), 1: (0.4,), 2: (0.42,)}
STDS = {0: (0.2,), 1: (0.1,), 2: (0.1,)}


def test_hippocampus_like_data(fingerprint_of) -> None:
    shapes = [(35, 50, 36), (36, 51, 35), (34, 49, 37)] * 30
    plan = make_plan(fingerprint_of(shapes=shapes, means=MEANS, stds=STDS), memory_gb=8, device="cpu")
    assert plan.patch == (40, 56, 40) and plan.batch == 2 and plan.spacing == (1, 1, 1)
    assert plan.topology.features == (16, 32, 64, 128)
    assert plan.label_values == (0, 1, 2) and plan.iterations == 2000
    gpu = make_plan(fingerprint_of(shapes=shapes, means=MEANS, stds=STDS), memory_gb=16, device="cuda:1")
    assert gpu.topology.features == (32, 64, 128, 256) and gpu.iterations == 20000 and gpu.batch > 2


def test_a_cpu_without_bfloat16_has_half_of_the_features_for_volumes(fingerprint_of) -> None:
    def first(device: str, shape: tuple[int, int, int], bfloat16: bool) -> tuple[int, str]:
        fingerprint = fingerprint_of(shapes=[shape] * 3, means=MEANS, stds=STDS)
        plan = make_plan(fingerprint, memory_gb=8, device=device, bfloat16=bfloat16)
        return plan.topology.features[0], plan.why["topology"]

    volume, slice_ = (35, 50, 36), (64, 80, 1)
    features, why = first("cpu", volume, False)
    assert features == 8 and "float32 alone" in why
    assert first("cpu", volume, True)[0] == first("cpu", slice_, False)[0] == 16
    assert first("cuda", volume, False)[0] == 32


def test_plan_survives_json(fingerprint_of) -> None:
    sample = [0.1, 0.9] * 50
    fingerprint = fingerprint_of(means=MEANS, stds=STDS, sample=sample)
    plan = make_plan(fingerprint, memory_gb=None, device="cpu", choices=Choices(features=4))
    assert Plan.model_validate_json(plan.model_dump_json()) == plan
    assert type(fingerprint).model_validate_json(fingerprint.model_dump_json()) == fingerprint
    assert plan.topology.features[0] == 4


@pytest.mark.parametrize("shape", [(256, 256, 256), (512, 512, 60), (400, 90, 700), (300, 300, 1), (3, 2, 1)])
@pytest.mark.parametrize("device", ["cpu", "cuda", "mps"])
@pytest.mark.parametrize("memory_gb", [None, 1.0, 6.0])
def test_patch_stays_within_voxels_memory_and_about_the_case(shape, device, memory_gb, fingerprint_of) -> None:
    spacing = (0.7, 0.7, 5.0) if shape == (512, 512, 60) else (1.0, 1.0, 1.0)
    plan = make_plan(
        fingerprint_of(shapes=[shape] * 3, spacings=[spacing] * 3, means=MEANS, stds=STDS),
        memory_gb=memory_gb,
        device=device,
    )
    voxels = device_defaults(device).voxels
    assert math.prod(plan.patch) <= voxels
    if memory_gb:
        assert plan_memory_gb(plan, StepMemory()) <= memory_gb
    elif math.prod(shape) > voxels:
        assert math.prod(plan.patch) > 0.5 * voxels, "what is allowed is used"
    assert plan.batch >= 2


@pytest.mark.parametrize("device", ["cpu", "cuda", "mps"])
def test_an_update_has_more_small_patches_than_large_ones(device, fingerprint_of) -> None:
    kind = device_defaults(device)
    assert kind.largest_batch((1000, 1000, 1000)) == kind.batch
    assert kind.largest_batch((8, 8, 1)) == kind.many > kind.batch
    for n in (8, 16, 32, 64, 128):
        found = kind.largest_batch((n, n, n))
        assert kind.batch <= found <= kind.many and found >= kind.largest_batch((2 * n, n, n))
        assert found == kind.batch or found * n**3 <= kind.together
    slices = fingerprint_of(shapes=[(60, 78, 1)] * 200, spacings=[(3.0, 3.0, 3.0)] * 200, means=MEANS, stds=STDS)
    assert make_plan(slices, memory_gb=None, device=device).batch > kind.batch


def test_spacing_is_the_median(fingerprint_of) -> None:
    spacings = [(1.0, 1.0, 1.0), (0.5, 0.8, 1.2), (1.0, 0.9, 2.0)]
    assert determine_spacing(fingerprint_of(shapes=[(50, 50, 50)] * 3, spacings=spacings))[0] == (1.0, 0.9, 1.2)


def test_the_coarse_axis_of_anisotropic_data_follows_its_finer_scans(fingerprint_of) -> None:
    spacings = [(0.7, 0.7, z) for z in (2.0, 4.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 6.0)]
    fingerprint = fingerprint_of(shapes=[(300, 300, 20)] * len(spacings), spacings=spacings)
    assert determine_spacing(fingerprint)[0] == (0.7, 0.7, 4.0)
    many_slices = fingerprint_of(shapes=[(300, 300, 200)] * len(spacings), spacings=spacings)
    assert determine_spacing(many_slices)[0] == (0.7, 0.7, 5.0)


def test_the_coarse_axis_never_becomes_finer_than_the_others(fingerprint_of) -> None:
    spacings = [(0.7, 0.7, 0.1)] * 4 + [(0.7, 0.7, 5.0)] * 6
    fingerprint = fingerprint_of(shapes=[(300, 300, 20)] * 10, spacings=spacings)
    assert determine_spacing(fingerprint)[0] == (0.7, 0.7, 0.7)


def test_ct_keeps_its_units() -> None:
    ct, mri = determine_normalisation((" ct ", "MRI"))
    assert (ct.scheme, ct.lower, ct.upper) == ("fixed", -500, 500) and mri.scheme == "percentile"


def test_labels_by_value_with_background_first(fingerprint_of) -> None:
    fingerprint = fingerprint_of(labels={77: "c", -3: "a", 2: "left b", 5: "right b"}, channels=())
    plan = make_plan(fingerprint, memory_gb=None, device="cpu")
    assert plan.label_values == (0, -3, 2, 5, 77) and plan.pairs == ((2, 5),)
    assert plan.normalisation == () and plan.generation.priors == ()


def test_a_demanding_estimator_gets_a_smaller_patch(fingerprint_of) -> None:
    fingerprint = fingerprint_of(shapes=[(64, 64, 64)] * 4, means=MEANS, stds=STDS)
    cheap, dear = (
        make_plan(fingerprint, memory_gb=1.0, device="cpu", step=StepMemory(hyper=hyper)) for hyper in (1.65, 4.4)
    )
    assert cheap.patch == (64, 64, 64)
    assert math.prod(dear.patch) < math.prod(cheap.patch)


def test_processes_share_a_batch_and_its_memory(fingerprint_of) -> None:
    fingerprint = fingerprint_of(shapes=[(64, 64, 64)] * 4, means=MEANS, stds=STDS)
    step = StepMemory(hyper=4.4)
    one, two, five = (
        make_plan(fingerprint, memory_gb=1.0, device="cpu", step=step, processes=processes) for processes in (1, 2, 5)
    )
    assert math.prod(two.patch) > math.prod(one.patch)
    assert (two.batch, five.batch) == (2, 5)
    assert plan_memory_gb(two, step, processes=2) <= 1.0 < plan_memory_gb(two, step)
