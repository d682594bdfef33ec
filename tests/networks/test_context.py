"""What a coarser network found, as an input."""

import torch

from l2s_auto.networks import call, parameters
from l2s_auto.networks.context import OneHotContext, exchanged


def test_the_last_channel_becomes_a_channel_for_each_class_but_background():
    network = torch.nn.Identity()
    network.register_forward_pre_hook(OneHotContext(3))
    image = torch.rand(2, 2, 4, 4, 4)
    image[:, 1] = torch.arange(4) % 3
    out = network(image)
    assert out.shape == (2, 3, 4, 4, 4)
    assert torch.equal(out[:, :1], image[:, :1])
    assert torch.equal(out[:, 1], (image[:, 1] == 1).float()) and torch.equal(out[:, 2], (image[:, 1] == 2).float())


def test_weights_keep_their_names_and_may_be_exchanged():
    network = torch.nn.Conv3d(3, 1, 1)
    names = set(parameters(network))
    network.register_forward_pre_hook(OneHotContext(3))
    assert set(parameters(network)) == names
    params = {"weight": torch.ones(1, 3, 1, 1, 1), "bias": torch.zeros(1)}
    image = torch.stack([torch.full((1, 2, 2, 2), 0.5), torch.full((1, 2, 2, 2), 2.0)], 1)
    assert torch.equal(call(network, params, image), torch.full((1, 1, 2, 2, 2), 1.5))


def test_left_and_right_change_places_and_back():
    context = torch.tensor([[0.0, 1.0, 2.0, 3.0]])
    turned = exchanged(context, [(1, 3)], 4)
    assert turned.tolist() == [[0.0, 3.0, 2.0, 1.0]] and turned.dtype == context.dtype
    assert torch.equal(exchanged(turned, [(1, 3)], 4), context)
