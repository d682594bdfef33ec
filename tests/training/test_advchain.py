"""Adversarial chains: what no range changes, what the ascent does, and what the network learns from."""

import pytest
import torch

from l2s_auto.core.types import Batch
from l2s_auto.training.adversarial import Chain, Ranges, ascended, bounded, disagreement, nearest
from l2s_auto.training.batches import draw_plain
from l2s_auto.training.methods.advchain import AdvChain
from l2s_auto.training.step import network_logits

WIDE = Ranges(noise=0.05, bias=0.3, elastic=1.4, rotation=15.0, scale=0.15, translation=4.0)
NONE = Ranges(0, 0, 0, 0, 0, 0)
SHAPES = [(8, 9, 10), (1, 12, 9), (11, 12)]


def some(shape, ranges=WIDE, *, batch=2, seed=0):
    random = torch.Generator().manual_seed(seed)
    chain = Chain(spacing=(1.0,) * len(shape), ranges=ranges)
    image = torch.rand(batch, 1, *shape, generator=random)
    return chain, image, chain.draw(image, random)


def grid(shape):
    return torch.stack(torch.meshgrid(*[torch.arange(float(n)) for n in shape], indexing="ij"))


@pytest.mark.parametrize("shape", SHAPES)
def test_without_ranges_nothing_changes(shape):
    chain, image, values = some(shape, NONE)
    torch.testing.assert_close(chain.painted(image, values), image)
    torch.testing.assert_close(chain.positions(shape, values), grid(shape).expand(2, -1, *shape), atol=1e-4, rtol=0)


@pytest.mark.parametrize("shape", SHAPES)
def test_with_ranges_it_does_and_no_axis_of_one_voxel_moves(shape):
    chain, image, values = some(shape)
    assert not torch.allclose(chain.painted(image, values), image, atol=1e-2)
    moved = (chain.positions(shape, values) - grid(shape)).abs().flatten(2).amax((0, 2))
    for axis, size in enumerate(shape):
        assert (moved[axis] > 0.5) == (size > 1)


def test_parameters_stay_within_their_ranges():
    _, _, values = some((8, 9, 10))
    far = {name: 10 * value for name, value in values.items()}
    near = bounded(far)
    for name, value in near.items():
        size = value.flatten(1).square().mean(1).sqrt() if name in ("noise", "velocity") else value.abs()
        assert size.max() <= 1 + 1e-6
        torch.testing.assert_close(bounded(near)[name], value)


def test_a_step_uphill_is_as_long_in_every_image():
    values = {"angles": torch.zeros(2, 3)}
    slopes = {"angles": torch.tensor([[1.0, 1.0, -1.0], [1e-4, 1e-4, -1e-4]])}
    found = ascended(values, slopes, step=0.5)["angles"]
    torch.testing.assert_close(found, torch.tensor([[0.5, 0.5, -0.5]]).expand(2, -1))


def test_labels_are_not_blended():
    chain, _, values = some((8, 9, 10))
    labels = torch.randint(0, 5, (2, 1, 8, 9, 10), generator=torch.Generator().manual_seed(1))
    found = nearest(labels, chain.positions((8, 9, 10), values))
    assert found.dtype == labels.dtype and set(found.unique().tolist()) <= set(range(5))
    torch.testing.assert_close(nearest(labels, grid((8, 9, 10)).expand(2, -1, -1, -1, -1)), labels)


def test_disagreement_is_between_0_and_1():
    one = torch.eye(2)[None, :, :1].expand(1, 2, 4)
    assert disagreement(one, one) == 0
    assert disagreement(one, 1 - one) == 1


def test_the_ascent_makes_the_network_disagree_more(make_parts):
    parts, _, state = make_parts("advchain")
    batch = draw_plain(parts, state.theta)
    method = AdvChain()
    chain = method.chain(parts)
    expected = network_logits(parts, state.phi, batch.image, fast=False).softmax(1).detach()
    wins = 0
    for seed in range(10):
        values = chain.draw(batch.image, torch.Generator().manual_seed(seed))
        probes = {name: value.clone().requires_grad_() for name, value in values.items()}
        before = method.disagreement(parts, state.phi, batch, expected, chain, probes)
        slopes = dict(zip(probes, torch.autograd.grad(before, list(probes.values())), strict=True))
        after = method.disagreement(parts, state.phi, batch, expected, chain, ascended(values, slopes, step=0.3))
        wins += int(after > before)
    assert wins >= 8


def test_the_gradient_is_that_of_loss_and_disagreement_together(make_parts):
    """What the chain's parameters are, and what was found in the scan, is held."""
    parts, _, state = make_parts("advchain")
    method = AdvChain(weight=2.0)
    batch = draw_plain(parts, state.theta)
    chain = method.chain(parts)
    phi = {name: p.double() for name, p in state.phi.items()}
    batch = Batch(batch.image.double(), batch.target)
    values = {n: v.double() for n, v in chain.draw(batch.image.float(), torch.Generator().manual_seed(0)).items()}
    expected = network_logits(parts, phi, batch.image, fast=False).softmax(1).detach()
    probe = {name: p.clone().requires_grad_() for name, p in phi.items()}
    total = parts.loss(network_logits(parts, probe, batch.image, fast=False), batch.target)
    total = total + 2.0 * method.disagreement(parts, probe, batch, expected, chain, values)
    by_hand = dict(zip(probe, torch.autograd.grad(total, list(probe.values())), strict=True))
    held = AdvChain(weight=2.0)
    held.ascent = 0
    _, found = held.of_piece(parts, phi, batch, chain, values)
    for name, value in found.items():
        torch.testing.assert_close(value, by_hand[name], rtol=1e-6, atol=1e-10)


def test_without_a_weight_it_is_supervised(make_parts):
    parts, _, state = make_parts("advchain")
    other, supervised, _ = make_parts("supervised")
    alone = AdvChain(weight=0.0).step(parts, state, progress=0.0).state
    expected = supervised.step(other, state, progress=0.0).state
    for name, value in expected.phi.items():
        torch.testing.assert_close(alone.phi[name], value, rtol=1e-5, atol=1e-7)


def test_what_a_scan_lacks_stays_empty(make_parts, monkeypatch):
    parts, _, state = make_parts("advchain")
    batch, seen = draw_plain(parts, state.theta), []
    empty = Batch(batch.image * torch.tensor([0.0, 1.0]).view(2, 1, 1, 1, 1), batch.target)
    method = AdvChain()
    chain = method.chain(parts)
    expected = network_logits(parts, state.phi, empty.image, fast=False).softmax(1).detach()
    monkeypatch.setattr(
        "l2s_auto.training.methods.advchain.network_logits",
        lambda parts, phi, image, fast: seen.append(image) or network_logits(parts, phi, image, fast=fast),
    )
    method.disagreement(parts, state.phi, empty, expected, chain, chain.draw(empty.image, parts.random))
    assert (seen[0][0] == 0).all() and (seen[0][1] != 0).any()


@pytest.mark.parametrize("options", [{"weight": -1}, {"ascent": 0}, {"step": 0}, {"noise": -0.1}])
def test_options_that_cannot_be_are_refused(options):
    with pytest.raises(ValueError, match="are needed"):
        AdvChain(**options)
