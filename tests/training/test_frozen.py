"""Frozen parameters of a user's network or augmenter stay as they are, and weights that predict hold them."""

from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from l2s_auto.augmenters import Parametric
from l2s_auto.core.component import Component
from l2s_auto.core.trust import trusting
from l2s_auto.inference.aim import Setting
from l2s_auto.networks import load_weights, parameters
from l2s_auto.networks.unet import unet
from l2s_auto.training.build import make_network
from l2s_auto.training.methods import METHODS
from l2s_auto.training.transfer import restore_frozen, transfer_weights
from l2s_auto.training.writer import Writer, theta_as_read


def half_frozen(**given):
    """A U-Net whose encoder is not trained."""
    network = unet(**given)
    network.encoder.requires_grad_(False)
    return network


class FixedNoise(Parametric):
    """Only the bias field is learned."""

    def __init__(self):
        super().__init__()
        self.raw_sigma.requires_grad_(False)


FROZEN = {
    "network": Component(name=f"{__name__}:half_frozen"),
    "augmenter": Component(name=f"{__name__}:FixedNoise"),
}


@pytest.fixture(autouse=True)
def trust():
    with trusting(part.name for part in FROZEN.values()):
        yield


@pytest.mark.parametrize("method", METHODS)
def test_frozen_parameters_are_not_trained(make_parts, tmp_path, method):
    parts, chosen, state = make_parts(method, **FROZEN)
    before = parameters(parts.network)
    assert state.phi and not any(name.startswith("encoder") for name in state.phi)
    assert "raw_sigma" not in state.theta
    for _ in range(2):
        state = chosen.step(parts, state, progress=0.5).state
    Writer(parts, tmp_path, first_step=0).save(state)
    saved = load_file(tmp_path / "weights.safetensors")
    assert set(saved) == set(before)
    for name, value in saved.items():
        assert torch.equal(value, before[name] if name.startswith("encoder") else state.phi[name]), name
    network = make_network(parts.plan, parts.recipe)
    load_weights(network, tmp_path / "weights.safetensors")
    assert all(torch.equal(p, saved[name]) for name, p in network.named_parameters())


def test_frozen_weights_of_another_model_are_a_start_and_survive_a_resumption(make_parts, tmp_path, monkeypatch):
    parts, chosen, state = make_parts(**FROZEN, seed=1)
    other = make_parts(seed=2)[0].network
    model = SimpleNamespace(setting=Setting(), networks=[other])
    monkeypatch.setattr("l2s_auto.training.transfer.load_model", lambda path, device: model)
    taken, left = transfer_weights(state, parts.network, tmp_path, device="cpu")
    expected = parameters(other)
    assert set(taken) == set(expected) and left == []
    assert all(torch.equal(p, expected[name]) for name, p in (parameters(parts.network) | state.phi).items())
    state = chosen.step(parts, state, progress=0.5).state
    Writer(parts, tmp_path, first_step=0).save(state)
    resumed, _, _ = make_parts(**FROZEN, seed=1)
    restore_frozen(resumed.network, tmp_path / "weights.safetensors")
    frozen = {name: p for name, p in parameters(resumed.network).items() if name not in state.phi}
    assert frozen and all(torch.equal(p, expected[name]) for name, p in frozen.items())


def test_theta_is_read_with_its_frozen_part(make_parts):
    parts, chosen, state = make_parts(**FROZEN)
    start = theta_as_read(parts, state)
    state = chosen.step(parts, state, progress=0.5).state
    after = theta_as_read(parts, state)
    assert after["sigma"] == start["sigma"]
    assert after["exponent_low"] != start["exponent_low"]
