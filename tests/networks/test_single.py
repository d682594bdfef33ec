"""A single small volume is convolved by oneDNN where no gradients are wanted: the same results, in less time."""

import pytest
import torch
from torch import nn

from l2s_auto.core.component import Component
from l2s_auto.core.plan import Topology
from l2s_auto.networks import build_network
from l2s_auto.networks.single import _Conv, compute_single_by_onednn

pytestmark = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this PyTorch has no oneDNN")


@pytest.fixture
def called(monkeypatch):
    """How often oneDNN was called by its name."""
    calls, convolve = [], torch.mkldnn_convolution
    monkeypatch.setattr(torch, "mkldnn_convolution", lambda *given: calls.append(given) or convolve(*given))
    return calls


def unet(residual=False):
    topology = Topology(
        features=(8, 16),
        kernels=((3, 3, 3),) * 2,
        strides=((1, 1, 1), (2, 2, 2)),
        convolutions_encoder=(2, 2),
        convolutions_decoder=(2,),
        residual=residual,
    )
    torch.manual_seed(0)
    name = "residual-unet" if residual else "unet"
    return build_network(Component(name=name), channels=1, classes=3, topology=topology)


def plain(network):
    for module in network.modules():
        if type(module) is _Conv:
            module.__class__ = nn.Conv3d
    return network


@pytest.mark.parametrize("residual", [False, True])
def test_results_are_those_of_pytorch(residual, called):
    image = torch.randn(1, 1, 16, 16, 16)
    network, weights = unet(residual), list(unet(residual).state_dict())
    with torch.no_grad():
        made = network(image)
        assert called
        assert list(network.state_dict()) == weights
        expected = plain(network)(image)
    assert torch.allclose(made, expected, atol=1e-4)


@pytest.mark.parametrize("stride, padding, dilation, groups", [(1, 1, 1, 1), (2, 1, 1, 2), (1, 2, 2, 1), (1, 0, 1, 4)])
@pytest.mark.parametrize("bias", [False, True])
def test_every_kind_of_convolution(stride, padding, dilation, groups, bias, called):
    convolution = nn.Conv3d(4, 8, 3, stride, padding, dilation, groups, bias)
    network, image = nn.Sequential(convolution), torch.randn(1, 4, 9, 8, 7)
    with torch.no_grad():
        expected = convolution(image)
        assert torch.allclose(compute_single_by_onednn(network)(image), expected, atol=1e-5)
    assert len(called) == 1


def test_with_gradients_all_is_as_ever(called):
    network, image = unet(), torch.randn(1, 1, 16, 16, 16)
    assert torch.equal(network(image), plain(unet())(image))
    assert not called


def test_so_it_is_in_bfloat16_and_for_several_volumes(called):
    network = unet()
    with torch.no_grad():
        network(torch.randn(2, 1, 16, 16, 16))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            network(torch.randn(1, 1, 16, 16, 16))
        network.double()(torch.randn(1, 1, 16, 16, 16, dtype=torch.float64))
    assert not called


def test_other_padding_is_left_to_pytorch():
    network = nn.Sequential(nn.Conv3d(1, 1, 3, padding=1, padding_mode="replicate"), nn.Conv3d(1, 1, 3, padding="same"))
    assert [type(module) for module in compute_single_by_onednn(network)] == [nn.Conv3d, nn.Conv3d]
