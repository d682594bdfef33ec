"""A network as a function of its weights leaves the module as it was; weights survive the disk."""

import pytest
import torch

from l2s_auto.core.component import Component
from l2s_auto.core.errors import UserError
from l2s_auto.core.plan import Topology
from l2s_auto.networks import build_network, call, load_weights, parameters, save_weights
from l2s_auto.planning.topology import determine_topology


def make(seed=0, features=(4, 8, 8), strides=((1, 1, 1), (2, 2, 2), (2, 2, 1)), **options):
    torch.manual_seed(seed)
    n = len(features)
    topology = Topology(
        features=features,
        kernels=((3, 3, 3),) * n,
        strides=strides,
        convolutions_encoder=(2,) * n,
        convolutions_decoder=(2,) * (n - 1),
    )
    component = Component(name="unet", options=options)
    return build_network(component, channels=2, classes=3, topology=topology)


IMAGE = torch.rand(1, 2, 8, 8, 8, generator=torch.Generator().manual_seed(1))


def make_residual(**options):
    torch.manual_seed(0)
    topology, _ = determine_topology((1.0, 1.0, 1.0), (16, 16, 16), base_features=4, residual=True)
    component = Component(name="residual-unet", options=options)
    return build_network(component, channels=2, classes=3, topology=topology)


def test_shapes():
    assert make()(IMAGE).shape == (1, 3, 8, 8, 8)


def test_a_residual_encoder_has_nnunets_blocks():
    network = make_residual()
    assert network(IMAGE).shape == (1, 3, 8, 8, 8)
    assert [len(stage.blocks) for stage in network.encoder.stages] == [1, 3, 4]
    leaves = {k: p.requires_grad_() for k, p in parameters(network).items()}
    grads = torch.autograd.grad(call(network, leaves, IMAGE).square().sum(), list(leaves.values()))
    assert all(g.isfinite().all() for g in grads)
    spare = make_residual(checkpointing=True)
    torch.testing.assert_close(spare(IMAGE), network(IMAGE))


def test_a_plan_is_of_one_kind_of_network():
    topology = determine_topology((1.0, 1.0, 1.0), (16, 16, 16), base_features=4)[0]
    with pytest.raises(UserError, match="The plan is of another network"):
        build_network(Component(name="residual-unet"), channels=1, classes=2, topology=topology)


def test_module_is_the_same_before_and_after_a_functional_call():
    network, other = make(0), parameters(make(1))
    before = network(IMAGE)
    called = call(network, other, IMAGE)
    assert torch.equal(network(IMAGE), before)
    assert not torch.equal(called, before)
    torch.testing.assert_close(called, make(1)(IMAGE), rtol=0, atol=0)


def test_every_weight_gets_a_gradient():
    network = make()
    leaves = {k: p.requires_grad_() for k, p in parameters(network).items()}
    grads = torch.autograd.grad(call(network, leaves, IMAGE).square().sum(), list(leaves.values()))
    assert all(g.isfinite().all() for g in grads)


def test_default_activation_is_smooth():
    kinds = {type(m).__name__ for m in make().modules()}
    assert "ELU" in kinds and not {"ReLU", "LeakyReLU"} & kinds


def test_weights_survive_the_disk(tmp_path):
    network, other = make(0), make(1)
    save_weights(network, tmp_path / "weights.safetensors")
    load_weights(other, tmp_path / "weights.safetensors")
    assert torch.equal(network(IMAGE), other(IMAGE))


def test_weights_of_another_network_are_an_error(tmp_path):
    save_weights(make(features=(4, 8, 6)), tmp_path / "w.safetensors")
    with pytest.raises(UserError, match="do not fit the network"):
        load_weights(make(), tmp_path / "w.safetensors")


def test_a_broken_file_is_an_error(tmp_path):
    (tmp_path / "w.safetensors").write_bytes(b"not a model")
    with pytest.raises(UserError, match="cannot be read"):
        load_weights(make(), tmp_path / "w.safetensors")


def test_unknown_activation_network_and_option_are_errors():
    with pytest.raises(UserError, match="no such activation"):
        make(activation="step")
    with pytest.raises(UserError, match="no such option"):
        make(activaton="elu")
    with pytest.raises(UserError, match="no network of that name"):
        build_network(Component(name="unett"), channels=1, classes=2, topology=None)
