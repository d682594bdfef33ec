"""With checkpoints the same numbers from less memory."""

import pytest
import torch

from l2s_auto.core.component import Component
from l2s_auto.core.plan import Topology
from l2s_auto.hypergradients import HYPERGRADIENTS
from l2s_auto.networks import build_network, call, parameters
from l2s_auto.optimisers import OPTIMISERS

TOPOLOGY = Topology(
    features=(4, 6),
    kernels=((3, 3, 3),) * 2,
    strides=((1, 1, 1), (2, 2, 2)),
    convolutions_encoder=(2, 2),
    convolutions_decoder=(2,),
)


def make(*, checkpointing):
    torch.manual_seed(0)
    component = Component(name="unet", options={"activation": "silu", "checkpointing": checkpointing})
    return build_network(component, channels=1, classes=3, topology=TOPOLOGY).double()


@pytest.fixture
def networks():
    return make(checkpointing=False), make(checkpointing=True)


class Problem:
    """Two fixed batches; theta is a brightness and a contrast."""

    synthetic = real = 2

    def __init__(self, network):
        random = torch.Generator().manual_seed(1)
        self.network = network
        self.clean, self.scan = (torch.rand((2, 1, 8, 8, 8), generator=random).double() for _ in range(2))
        self.target = torch.randint(3, (2, 8, 8, 8), generator=random)

    def augmented(self, theta, piece):
        return self.clean[piece] ** theta["gamma"] + theta["shift"]

    def synth_loss(self, phi, image, piece, *, fast=False):
        return torch.nn.functional.cross_entropy(call(self.network, phi, image), self.target[piece]) * len(image) / 2

    def real_loss(self, phi, piece, *, fast=False):
        return self.synth_loss(phi, self.scan[piece], piece)

    def joint(self, values):
        return dict(values)


def kept_bytes(network, image):
    """Bytes of tensors that a forward pass keeps for its backward pass, each storage once."""
    storages = {}

    def pack(tensor):
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        call(network, parameters(network), image)
    return sum(storages.values())


def test_names_of_weights_are_the_same(networks):
    plain, checkpointed = map(parameters, networks)
    assert list(plain) == list(checkpointed)


def test_logits_are_the_same_with_weights_that_are_given(networks):
    image = torch.rand(2, 1, 8, 8, 8).double()
    given = {name: 1.1 * p for name, p in parameters(networks[0]).items()}
    first, second = (call(network, given, image) for network in networks)
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    with torch.no_grad():
        first, second = (call(network, given, image) for network in networks)
        torch.testing.assert_close(first, second, rtol=0, atol=0)


@pytest.mark.parametrize("estimator", HYPERGRADIENTS)
@pytest.mark.parametrize("micro_batch", [None, 1])
def test_hyper_steps_are_the_same(networks, estimator, micro_batch):
    """Also through given weights that are not the module's own, which a naive recomputation would use."""
    rule = OPTIMISERS["adam"](rate=1e-2)
    theta = {"gamma": torch.tensor(1.2).double(), "shift": torch.tensor(0.1).double()}
    steps = []
    for network in networks:
        phi = {name: 1.1 * p for name, p in parameters(network).items()}
        estimate = HYPERGRADIENTS[estimator](micro_batch=micro_batch)
        steps.append(estimate(Problem(network), phi, theta, rule, rule.init(phi)))
    # A difference divides rounding by its small step.
    close = {"rtol": 1e-5, "atol": 1e-9} if "difference" in estimator else {"rtol": 1e-9, "atol": 1e-12}
    for name in theta:
        torch.testing.assert_close(steps[1].theta_grad[name], steps[0].theta_grad[name], **close)
    for name, value in steps[0].phi.items():
        torch.testing.assert_close(steps[1].phi[name], value, rtol=1e-9, atol=1e-12)


def test_less_than_half_is_kept(networks):
    image = torch.rand(2, 1, 16, 16, 16).double().requires_grad_()
    plain, checkpointed = (kept_bytes(network, image) for network in networks)
    assert checkpointed < plain / 2, (checkpointed, plain)
