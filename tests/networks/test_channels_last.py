"""Networks of few features compute with the channels last on a CPU: the same results, in less time."""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn.functional import instance_norm

from l2s_auto.core.component import Component
from l2s_auto.core.plan import Topology
from l2s_auto.networks import build_network, channels_last, network_for, parameters
from l2s_auto.networks.channels_last import _Norm, _Normalise
from l2s_auto.networks.device import fast_dtype


@pytest.fixture(autouse=True)
def with_bfloat16(monkeypatch):
    """Whatever this processor computes in."""
    monkeypatch.setattr(channels_last, "computes_bfloat16", lambda: True)


@pytest.fixture
def without_bfloat16(with_bfloat16, monkeypatch):
    monkeypatch.setattr(channels_last, "computes_bfloat16", lambda: False)


def topology_of(features=(8, 16, 32), residual=False, kernel=(3, 3, 3)):
    stride = tuple(2 if n == 3 else 1 for n in kernel)
    return Topology(
        features=features,
        kernels=(kernel,) * 3,
        strides=((1, 1, 1), stride, stride),
        convolutions_encoder=(2, 2, 2),
        convolutions_decoder=(2, 2),
        residual=residual,
    )


def unet(features=(8, 16, 32), residual=False, channels=1, kernel=(3, 3, 3), checkpointing=False):
    topology = topology_of(features, residual, kernel)
    name = "residual-unet" if residual else "unet"
    component = Component(name=name, options={"checkpointing": True} if checkpointing else {})
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


def normalised(image, weight, bias):
    return _Normalise.apply(last(image), weight, bias, 1e-5)


@pytest.mark.parametrize("shape", [(2, 8, 4, 3, 2), (1, 3, 4, 4, 2), (3, 16, 2, 3, 2)])
def test_normalisation_and_its_derivatives_are_those_of_the_usual_one(shape):
    torch.manual_seed(0)
    image = last(1.5 + torch.randn(shape, dtype=torch.float64)).requires_grad_()
    weight, bias = (torch.randn(shape[1], dtype=torch.float64, requires_grad=True) for _ in range(2))
    found = normalised(image, weight, bias)
    assert found.is_contiguous(memory_format=torch.channels_last_3d)
    torch.testing.assert_close(found, instance_norm(image, None, None, weight, bias, True, 0.1, 1e-5))
    assert torch.autograd.gradcheck(normalised, (image, weight, bias), fast_mode=True)
    assert torch.autograd.gradgradcheck(normalised, (image, weight, bias), fast_mode=True)


@pytest.mark.parametrize("ratio", [1, 10, 100])
def test_rounding_moves_no_channel_however_far_its_mean_is_from_zero(ratio):
    torch.manual_seed(0)
    image = last((ratio + torch.randn(2, 8, 16, 16, 16)).bfloat16()).requires_grad_()
    weight, bias = torch.ones(8), torch.zeros(8)
    found = normalised(image, weight, bias)
    exact = image.detach().double().requires_grad_()
    expected = instance_norm(exact, None, None, weight.double(), bias.double(), True, 0.1, 1e-5)
    assert torch.all((found.double() - expected).mean((2, 3, 4)).abs() < 1e-3)
    given = 1 + torch.randn(found.shape)
    (derivative,) = torch.autograd.grad(found, image, given.bfloat16())
    (truth,) = torch.autograd.grad(expected, exact, given.bfloat16().double())
    assert torch.cosine_similarity(derivative.double().flatten(), truth.flatten(), 0) > 0.99999
    assert torch.all(derivative.double().mean((2, 3, 4)).abs() < 1e-3 * truth.std())


@pytest.mark.parametrize("value", [0.0, 7.0, 13.0])
def test_where_nothing_varies_there_is_the_bias_alone(value):
    bias = torch.arange(8.0)
    found = normalised(torch.full((1, 8, 4, 4, 4), value).bfloat16(), torch.ones(8), bias)
    torch.testing.assert_close(found.float(), bias.view(1, 8, 1, 1, 1).expand_as(found), atol=1e-2, rtol=0)


@pytest.mark.parametrize("kernel", [(3, 3, 3), (3, 3, 1)])
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("channels", [1, 2])
def test_logits_and_gradients_are_those_of_the_usual_network(residual, channels, batch, kernel):
    network = unet(residual=residual, channels=channels, kernel=kernel)
    image, target = torch.randn(batch, channels, 16, 16, 16), torch.randint(3, (batch, 16, 16, 16))
    other = plain(network)
    assert list(network.state_dict()) == list(other.state_dict()) and len(parameters(network)) == len(parameters(other))
    exact = gradients(other, image, target, fast=False)
    usual, found = (gradients(one, image, target, fast=True) for one in (other, network))
    for truth, a, b in zip(exact, usual, found, strict=True):
        error, usual_error = (b - truth).norm() / truth.norm(), (a - truth).norm() / truth.norm()
        assert error < 1.5 * usual_error + 0.002, "no more than what bfloat16 costs anyway"


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("shape", [(16, 16, 1), (16, 1, 16)])
def test_a_single_slice_has_right_gradients(residual, shape):
    network = unet(residual=residual, kernel=(3, 3, 1) if shape[2] == 1 else (3, 1, 3))
    image, target = torch.randn(1, 1, *shape), torch.randint(3, (1, *shape))
    (_, exact), (_, found) = (gradients(network, image, target, fast=fast) for fast in (False, True))
    assert torch.cosine_similarity(exact, found, 0) > 0.999


@pytest.mark.parametrize("residual", [False, True])
def test_an_axis_that_ends_as_one_voxel_has_right_gradients(residual):
    """Along the middle axis: along the others PyTorch's bfloat16 is wrong (`networks.precision`)."""
    network = unet(residual=residual)
    image, target = torch.randn(1, 1, 16, 4, 16), torch.randint(3, (1, 16, 4, 16))
    (_, exact), (_, found) = (gradients(network, image, target, fast=fast) for fast in (False, True))
    assert torch.cosine_similarity(exact, found, 0) > 0.999


def test_recomputed_activations_have_the_same_gradients():
    image, target = torch.randn(2, 1, 16, 16, 16), torch.randint(3, (2, 16, 16, 16))
    kept, again = (gradients(unet(checkpointing=c), image, target, fast=True) for c in (False, True))
    assert torch.equal(kept[1], again[1])


def orders(network, image, *, fast=True):
    """Whether what each layer and the network give has its channels last."""
    seen = []
    for module in network.modules():
        if isinstance(module, nn.Conv3d | _Norm):
            module.register_forward_hook(lambda _, given, made: seen.append(made.stride(1) == 1))
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=fast):
        seen.append(network(image).stride(1) == 1)
    return seen


def test_without_bfloat16_all_volumes_have_their_channels_last_in_full_precision(without_bfloat16):
    for features in ((8, 16, 32), (16, 32, 64)):
        seen = orders(unet(features), torch.randn(2, 1, 16, 16, 16), fast=False)
        assert len(seen) > 15 and all(seen[:-2]), "the last, of one voxel, has another way where there is one thread"
    assert not orders(unet(kernel=(3, 3, 1)), torch.randn(2, 1, 16, 16, 1), fast=False)[0], "slices as ever"


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("batch", [1, 2])
def test_without_bfloat16_logits_and_both_derivatives_are_those_of_the_usual_network(without_bfloat16, residual, batch):
    network = unet((16, 32, 32), residual=residual).double()
    other, image = plain(network), torch.randn(batch, 1, 16, 16, 16, dtype=torch.float64)

    def derivatives(one):
        volume = image.clone().requires_grad_()
        logits = one(volume)
        grads = torch.autograd.grad(logits.square().mean(), list(one.parameters()), create_graph=True)
        twice = torch.autograd.grad(sum(g.square().sum() for g in grads), volume)[0]
        return [logits.detach(), *(g.detach() for g in grads), twice]

    for found, expected in zip(derivatives(network), derivatives(other), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)
    with torch.no_grad():
        assert torch.equal(network(image), other(image)), "without gradients as ever"


native = pytest.mark.skipif(
    fast_dtype(torch.device("cpu")) is None, reason="this CPU has no bfloat16, for which PyTorch orders volumes anew"
)


@native
def test_volumes_have_their_channels_last_from_the_first_layer_to_the_logits():
    seen = orders(unet(), torch.randn(2, 1, 16, 16, 16))
    assert len(seen) > 15 and all(seen)


@native
def test_so_have_those_of_a_cascade():
    plan = SimpleNamespace(
        input_channels=1, context_channels=2, labels=range(3), topology=topology_of(), low_resolution="a plan"
    )
    seen = orders(network_for(plan, Component(name="unet")), torch.randn(2, 2, 16, 16, 16).abs().floor())
    assert len(seen) > 15 and all(seen)


def test_everything_else_is_computed_as_ever(monkeypatch):
    image = torch.randn(1, 1, 16, 16, 16)
    monkeypatch.setattr(_Normalise, "apply", lambda *given: pytest.fail("called"))
    network = unet()
    assert torch.equal(network(image), plain(network)(image)), "in full precision"
    turned = image[:, 0, ..., None].movedim(-1, 1)
    assert turned.stride(1) == 1 and torch.equal(turned, image)
    assert torch.equal(network(turned), plain(network)(turned)), "whatever the order of the image"
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(network(image), plain(network)(image)), "without gradients"
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(unet((16, 16, 16))(image), plain(unet((16, 16, 16)))(image)), "with many features"
        torch.func.grad(lambda volume: network(volume).float().square().mean())(image)  # what torch.func transforms


def test_what_is_differentiated_twice_in_fast_precision_is_right():
    network, image = unet(), torch.randn(2, 1, 16, 16, 16)

    def twice(one):
        volume = image.clone().requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = one(volume).float().square().mean()
        grads = torch.autograd.grad(loss, list(one.parameters()), create_graph=True)
        return torch.autograd.grad(sum(g.float().square().sum() for g in grads), volume)[0].flatten()

    assert torch.cosine_similarity(twice(network), twice(plain(network)), 0) > 0.99


def test_a_copy_computes_as_the_network_does():
    network = unet()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        image = torch.randn(1, 1, 16, 16, 16)
        assert torch.equal(network(image), copy.deepcopy(network)(image))
