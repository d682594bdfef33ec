"""In mixed precision the image itself is not rounded."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from l2s_auto.core.component import Component
from l2s_auto.core.plan import Topology
from l2s_auto.networks import build_network
from l2s_auto.networks.precision import keep_first_block_precise, right_in_bfloat16
from l2s_auto.planning.topology import determine_topology


@pytest.fixture
def network() -> nn.Module:
    topology, _ = determine_topology((1.0, 1.0, 1.0), (16, 16, 16), base_features=4)
    torch.manual_seed(0)
    return build_network(Component(name="unet"), channels=1, classes=3, topology=topology).eval()


def half(network: nn.Module, image: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        return network(image).float()


def test_an_image_of_little_contrast_is_seen_as_in_full_precision(network):
    image = 0.5 + 0.002 * torch.randn(1, 1, 16, 16, 16, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        exact = network(image)
    rounded = (half(network, image) - exact).abs().mean()
    precise = (half(keep_first_block_precise(network), image) - exact).abs().mean()
    assert precise < 0.5 * rounded


def test_weights_keep_their_names_and_full_precision_its_numbers(network):
    image = torch.randn(1, 1, 16, 16, 16)
    names, before = list(network.state_dict()), network(image)
    twice = keep_first_block_precise(keep_first_block_precise(network))
    assert list(twice.state_dict()) == names
    torch.testing.assert_close(twice(image), before, rtol=0, atol=0)


def test_a_copy_has_weights_of_its_own(network):
    other = copy.deepcopy(keep_first_block_precise(network))
    with torch.no_grad():
        next(iter(other.parameters())).zero_()
    image = torch.randn(1, 1, 16, 16, 16)
    assert not torch.equal(other(image), network(image))


@pytest.mark.parametrize("other", [nn.Conv3d(1, 2, 1), nn.Identity(), nn.Sequential(nn.Conv3d(1, 2, 1), nn.ReLU())])
def test_networks_of_another_build_still_run(other):
    image = torch.randn(1, 1, 4, 4, 4)
    expected = other(image)
    torch.testing.assert_close(keep_first_block_precise(other)(image), expected, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("shape", "forward", "backward"),
    [
        ((16, 16, 16), True, True),
        ((16, 4, 16), True, True),
        ((16, 16, 4), False, False),  # 4 -> 2 -> 1 along the last axis
        ((16, 16, 1), True, True),
        ((8, 16, 16), True, False),  # 2 along the first axis in the lowest stage
        ((2, 16, 16), True, False),
    ],
)
def test_bfloat16_is_left_out_on_a_cpu_where_it_is_wrong(shape, forward, backward):
    strides = ((1, 1, 1), (2, 2, 2 if shape[2] > 1 else 1), (2, 2, 2 if shape[2] > 1 else 1))
    topology = Topology(
        features=(8, 16, 32),
        kernels=((3, 3, 3),) * 3,
        strides=strides,
        convolutions_encoder=(2, 2, 2),
        convolutions_decoder=(2, 2),
    )
    cpu = torch.device("cpu")
    assert right_in_bfloat16(shape, cpu, topology, differentiated=False) is forward
    assert right_in_bfloat16(shape, cpu, topology) is backward
    assert right_in_bfloat16(shape, torch.device("cuda"), topology)
