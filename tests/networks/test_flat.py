"""Slices are computed in 2D, with the same results and derivatives."""

import copy

import pytest
import torch
from torch import nn

from l2s_auto.core.component import Component
from l2s_auto.core.plan import Topology
from l2s_auto.networks import build_network, parameters
from l2s_auto.networks.flat import compute_slices_in_2d


def without(network):
    """The same network, computing in 3D."""
    network = copy.deepcopy(network)
    for module in network.modules():
        for kind in (nn.Conv3d, nn.ConvTranspose3d):
            if isinstance(module, kind):
                module.__class__ = kind
    return network


def flat_unet(axis, residual=False):
    def flat(values):
        return (*values[:axis], 1, *values[axis:])

    topology = Topology(
        features=(4, 6),
        kernels=(flat([3, 3]),) * 2,
        strides=((1, 1, 1), flat([2, 2])),
        convolutions_encoder=(1, 1),
        convolutions_decoder=(1,),
        residual=residual,
    )
    component = Component(name="residual-unet" if residual else "unet")
    torch.manual_seed(0)
    return build_network(component, channels=2, classes=3, topology=topology).double()


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_slice_gives_what_it_gives_in_3d(axis, residual, monkeypatch):
    network = flat_unet(axis, residual)
    image = torch.randn(2, 2, *(1 if a == axis else 8 for a in range(3)), dtype=torch.float64)
    other = without(network)
    assert list(network.state_dict()) == list(other.state_dict())
    called = []
    monkeypatch.setattr(
        "torch.nn.functional.conv2d", lambda *a, real=torch.nn.functional.conv2d: called.append(1) or real(*a)
    )
    grads = []
    for one in (network, other):
        logits = one(image)
        loss = (logits**2).mean()
        grads.append((logits, *torch.autograd.grad(loss, list(one.parameters()))))
        assert len(called) >= 4, "of the first network all"
    assert len(grads[0]) == len(parameters(network)) + 1
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b)
    monkeypatch.undo()
    volume = torch.randn(1, 2, 8, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(network(volume), other(volume))


@pytest.mark.parametrize(
    "module",
    [
        nn.Conv3d(2, 4, (3, 3, 1), stride=(2, 1, 1), padding=(1, 1, 0)),
        nn.Conv3d(2, 4, (3, 1, 3), padding=(2, 0, 2), dilation=(2, 1, 2), groups=2, bias=False),
        nn.Conv3d(2, 4, 1),
        nn.ConvTranspose3d(2, 4, (2, 2, 1), stride=(2, 2, 1)),
        nn.ConvTranspose3d(2, 4, (3, 1, 3), stride=(2, 1, 2), padding=(1, 0, 1), dilation=(2, 1, 1), groups=2),
    ],
)
def test_every_option_of_a_convolution_holds(module):
    axis = 1 if module.kernel_size[1] == 1 else 2
    image = torch.randn(1, 2, *(1 if a == axis else 9 for a in range(3)))
    changed = compute_slices_in_2d(copy.deepcopy(module))
    assert type(changed) is not type(module)
    torch.testing.assert_close(changed(image), module(image))
    volume = torch.randn(1, 2, 6, 7, 5)
    torch.testing.assert_close(changed(volume), module(volume))


@pytest.mark.parametrize(
    "module",
    [
        nn.Conv3d(2, 4, 3, padding=1),
        nn.Conv3d(2, 4, (3, 3, 1), padding=(1, 1, 1)),
        nn.Conv3d(2, 4, (3, 3, 1), padding="same"),
        nn.Conv3d(2, 4, (3, 3, 1), padding=(1, 1, 0), padding_mode="circular"),
        nn.ConvTranspose3d(2, 4, (2, 2, 1), stride=(2, 2, 1), output_padding=(1, 1, 0)),
    ],
)
def test_others_are_left_as_they_are(module):
    assert type(compute_slices_in_2d(copy.deepcopy(module))) is type(module)


def test_an_output_size_is_heeded():
    module = nn.ConvTranspose3d(2, 4, (3, 3, 1), stride=(2, 2, 1), padding=(1, 1, 0))
    changed = compute_slices_in_2d(copy.deepcopy(module))
    image = torch.randn(1, 2, 4, 4, 1)
    torch.testing.assert_close(changed(image, [8, 8, 1]), module(image, [8, 8, 1]))
