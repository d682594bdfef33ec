"""Networks of few features compute with the channels last on a CPU: the same results, in less time."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.functional import instance_norm

from l2s_auto.core.component import Component
from l2s_auto.core.plan import Topology
from l2s_auto.networks import build_network, parameters
from l2s_auto.networks.channels_last import _Norm, _Normalise


def unet(features=(8, 16, 32), residual=False, channels=1):
    topology = Topology(
        features=features,
        kernels=((3, 3, 3),) * 3,
        strides=((1, 1, 1), (2, 2, 2), (2, 2, 2)),
        convolutions_encoder=(2, 2, 2),
        convolutions_decoder=(2, 2),
        residual=residual,
    )
    component = Component(name="residual-unet" if residual else "unet")
    torch.manual_seed(0)
    return build_network(component, channels=channels, classes=3, topology=topology)


def plain(network):
    """The same network, computing as ever."""
    network = copy.deepcopy(network)
    network._forward_pre_hooks.clear()
    for module in network.modules():
        if isinstance(module, _Norm):
            module.__class__ = nn.InstanceNorm3d
    return network


def gradients(network, image, target, *, fast):
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=fast):
        logits = network(image)
    loss = torch.nn.functional.cross_entropy(logits.float(), target)
    return logits.detach().float(), torch.cat([g.flatten() for g in torch.autograd.grad(loss, network.parameters())])


def last(volume):
    return volume.contiguous(memory_format=torch.channels_last_3d)


@pytest.mark.parametrize("shape", [(2, 8, 4, 6, 5), (1, 3, 8, 8, 8), (3, 16, 2, 3, 5)])
def test_normalisation_and_its_derivatives_are_those_of_the_usual_one(shape):
    torch.manual_seed(0)
    image = last(1.5 + torch.randn(shape, dtype=torch.float64)).requires_grad_()
    weight, bias = (torch.randn(shape[1], dtype=torch.float64, requires_grad=True) for _ in range(2))
    found = _Normalise.apply(image, weight, bias, 1e-5)
    assert found.is_contiguous(memory_format=torch.channels_last_3d)
    torch.testing.assert_close(found, instance_norm(image, None, None, weight, bias, True, 0.1, 1e-5))
    assert torch.autograd.gradcheck(
        lambda *given: _Normalise.apply(last(given[0]), *given[1:], 1e-5), (image, weight, bias)
    )


def test_where_nothing_varies_there_is_the_bias_alone():
    image = last(torch.full((1, 8, 4, 4, 4), 7.0))
    bias = torch.arange(8.0)
    found = _Normalise.apply(image, torch.ones(8), bias, 1e-5)
    torch.testing.assert_close(found, bias.view(1, 8, 1, 1, 1).expand_as(found), atol=1e-2, rtol=0)


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("channels", [1, 2])
def test_logits_and_gradients_are_those_of_the_usual_network(residual, channels):
    network = unet(residual=residual, channels=channels)
    image, target = torch.randn(2, channels, 16, 16, 16), torch.randint(3, (2, 16, 16, 16))
    other = plain(network)
    assert list(network.state_dict()) == list(other.state_dict()) and len(parameters(network)) == len(parameters(other))
    exact = gradients(other, image, target, fast=False)
    usual, found = (gradients(one, image, target, fast=True) for one in (other, network))
    for truth, a, b in zip(exact, usual, found, strict=True):
        error, usual_error = (b - truth).norm() / truth.norm(), (a - truth).norm() / truth.norm()
        assert error < 1.5 * usual_error + 0.005, "no more than what bfloat16 costs anyway"


def test_volumes_have_their_channels_last_from_the_first_layer_to_the_logits():
    network = unet()
    seen = []
    for module in network.modules():
        if isinstance(module, nn.Conv3d | _Norm):
            module.register_forward_hook(lambda _, given, made: seen.append((given[0], made)))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = network(torch.randn(2, 1, 16, 16, 16))
    assert len(seen) > 15
    for volume in (*(one for pair in seen for one in pair[-1:]), logits):
        assert volume.stride(1) == 1


def test_everything_else_is_computed_as_ever(monkeypatch):
    monkeypatch.setattr(_Normalise, "apply", lambda *given: pytest.fail("called"))
    image = torch.randn(1, 1, 16, 16, 16)
    network = unet()
    assert torch.equal(network(image), plain(network)(image)), "in full precision"
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(network(image), plain(network)(image)), "without gradients"
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(unet((16, 16, 16))(image), plain(unet((16, 16, 16)))(image)), "with many features"


def test_a_copy_computes_as_the_network_does():
    network = unet()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        image = torch.randn(1, 1, 16, 16, 16)
        assert torch.equal(network(image), copy.deepcopy(network)(image))
