"""Deep supervision: what it adds to the loss, and that nothing of it is left in a model."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from l2s_auto.core.plan import Topology
from l2s_auto.networks import call
from l2s_auto.training.batches import draw_real
from l2s_auto.training.build import initial_state
from l2s_auto.training.deep_supervision import (
    HEADS,
    WEIGHTS,
    at_resolution,
    fresh_heads,
    has_heads,
    of_network,
    stages_of,
)
from l2s_auto.training.step import all_logits, loss_gradients, network_logits, network_loss
from l2s_auto.training.writer import Writer


@pytest.fixture
def plan(plan):
    """With three stages, of which the middle one has a head."""
    topology = Topology(
        features=(4, 6, 8),
        kernels=((3, 3, 3),) * 3,
        strides=((1, 1, 1), (2, 2, 2), (2, 2, 2)),
        convolutions_encoder=(1, 1, 1),
        convolutions_decoder=(1, 1),
    )
    return plan.model_copy(update={"topology": topology})


def test_the_loss_is_the_weighted_mean_over_the_resolutions(make_parts):
    parts, _, state = make_parts()
    scans = draw_real(parts)
    logits = all_logits(parts, state.phi, scans.image, fast=False)
    assert len(logits) == 1 + len(stages_of(parts.network)) > 1
    assert torch.equal(logits[0], call(parts.network, of_network(state.phi), scans.image))
    assert torch.equal(logits[0], network_logits(parts, state.phi, scans.image, fast=False))
    weights = WEIGHTS[: len(logits)]
    losses = [parts.loss(one, at_resolution(scans.target, one)) for one in logits]
    expected = sum(w * loss for w, loss in zip(weights, losses, strict=True)) / sum(weights)
    torch.testing.assert_close(network_loss(parts, state.phi, scans.image, scans.target, fast=False), expected)


def test_without_heads_the_loss_is_that_of_the_network(make_parts):
    """As in the checkpoints of earlier versions."""
    parts, _, state = make_parts()
    scans, phi = draw_real(parts), of_network(state.phi)
    found = network_loss(parts, phi, scans.image, scans.target, fast=False)
    torch.testing.assert_close(found, parts.loss(call(parts.network, phi, scans.image), scans.target))
    assert set(loss_gradients(parts, phi, scans)[0]) == set(phi)


def test_every_weight_learns_heads_included(make_parts):
    parts, _, state = make_parts()
    assert has_heads(state.phi)
    grads, _ = loss_gradients(parts, state.phi, draw_real(parts))
    assert set(grads) == set(state.phi)
    assert all(g.abs().max() > 0 for name, g in grads.items() if name.startswith(HEADS))


def test_a_lower_resolution_has_the_voxel_in_the_middle_of_each_block():
    target = torch.arange(8 * 6 * 1).view(1, 8, 6, 1)
    found = at_resolution(target, torch.zeros(1, 3, 4, 2, 1))
    assert torch.equal(found, target[:, 1::2, 1::3])
    assert torch.equal(at_resolution(target, torch.zeros(1, 3, 8, 6, 1)), target)


def test_heads_are_the_same_for_a_seed_and_others_for_another(make_parts):
    network = make_parts()[0].network
    one, same, other = (fresh_heads(network, 3, seed=seed) for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)
    assert not set(one) & {name for name, _ in network.named_parameters()}


class OfAUser(nn.Module):
    """A network of another kind, which happens to have something called decoder."""

    def __init__(self):
        super().__init__()
        self.decoder = nn.Conv3d(1, 3, 1)

    def forward(self, image):
        return self.decoder(image)


def test_networks_of_other_kinds_have_no_heads(make_parts):
    parts = replace(make_parts()[0], network=OfAUser())
    state = initial_state(parts)
    assert not has_heads(state.phi) and stages_of(parts.network) == []
    scans = draw_real(parts)
    assert set(loss_gradients(parts, state.phi, scans)[0]) == {"decoder.weight", "decoder.bias"}


def test_what_predicts_has_no_heads(make_parts, tmp_path):
    parts, _, state = make_parts()
    Writer(parts, tmp_path, first_step=0).save(state)
    assert set(load_file(tmp_path / "weights.safetensors")) == {name for name, _ in parts.network.named_parameters()}


@pytest.mark.parametrize(
    "method", ["supervised", "synthseg", "mixed", "learn2synth", "learn2synth-matched", "advchain"]
)
def test_every_method_trains_the_heads(make_parts, method):
    parts, chosen, state = make_parts(method)
    after = chosen.step(parts, state, progress=0.5).state
    names = [name for name in state.phi if name.startswith(HEADS)]
    assert names and all(not torch.equal(after.phi[name], state.phi[name]) for name in names)
