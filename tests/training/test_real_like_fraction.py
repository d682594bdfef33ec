"""The fraction of real-like images as a part of theta: which are drawn, and the derivative by it."""

from dataclasses import replace

import pytest
import torch

from l2s_auto.augmenters import build_augmenter
from l2s_auto.core.component import Component
from l2s_auto.core.composition import Composition, of_shares, uniform
from l2s_auto.core.errors import UserError
from l2s_auto.core.types import Batch
from l2s_auto.hypergradients.differentiate import inner
from l2s_auto.networks import call_method
from l2s_auto.optimisers import SGD
from l2s_auto.training.batches import augment, draw_batch, draw_real, draw_real_like_and_others
from l2s_auto.training.real_like_fraction import by_fraction, composition_of
from l2s_auto.training.step import hyper_step, loss_gradients, network_loss, replace_state, share_slope, slope_along

SHARE = Component(name="share+parametric", options={"share": {"start": 0.3}})


@pytest.fixture
def made(make_parts):
    """(parts, method, state) of a training whose theta holds the fraction, with rendered images alone."""
    return make_parts(augmenter=SHARE, hyper_every=1, families=dict(of_shares(None, None).fractions))


def of_share(theta, share):
    """Theta with another share, of the usual bounds."""
    return {**theta, "share.raw_share": torch.tensor((share - 0.05) / 0.85)}


def test_as_many_images_are_like_the_real_ones_as_theta_says(made):
    parts, _, state = made
    for share in (0.2, 0.8):
        drawn = draw_batch(parts, of_share(state.theta, share), batch=100).rendered
        assert drawn.changed_by_theta == pytest.approx(100 * share, abs=1)


def test_the_others_keep_their_proportions(made):
    parts, _, state = made
    usual, found = parts.generator.composition, composition_of(parts, of_share(state.theta, 0.2))
    assert found["real-like"] == pytest.approx(0.2)
    for name in ("reversed", "uniform-tissues", "uniform-labels"):
        assert found[name] / (1 - found["real-like"]) == pytest.approx(usual[name] / (1 - usual["real-like"]))
    assert composition_of(parts, None) == usual


def test_the_two_families_are_the_same_label_maps_with_the_same_random_numbers(made):
    parts, _, state = made
    near, far = (drawn.rendered for drawn in draw_real_like_and_others(parts, state.theta))
    assert set(near.draw.families) == {"real-like"} and "real-like" not in far.draw.families
    assert torch.equal(near.clean.target, far.clean.target)
    assert torch.equal(near.draw.texture.white, far.draw.texture.white)
    assert not torch.equal(near.clean.image, far.clean.image)


def test_real_like_images_and_those_made_of_scans_are_of_the_same_label_maps(make_parts):
    """Where a rendered image has its whole field of view, the network is to find the same in both."""
    parts, _, state = make_parts(augmenter=SHARE, families={"real-like": 0.6, "random-curve": 0.4})
    for _ in range(5):
        near, far = draw_real_like_and_others(parts, state.theta)
        assert far.rendered is None and near.scans is None
        seen = near.target > 0
        assert torch.equal(near.target[seen], far.target[seen])


def test_the_slope_along_a_direction_is_the_inner_product_with_the_gradient(made):
    parts, _, state = made
    drawn = draw_batch(parts, state.theta)
    with torch.no_grad():
        batch = Batch(augment(parts, state.theta, drawn), drawn.target)
    grads, _ = loss_gradients(parts, state.phi, batch)
    for u in (grads, {name: torch.randn_like(g) for name, g in grads.items()}):
        expected = inner(u, grads).item()
        with torch.no_grad():
            assert slope_along(parts, state, u, drawn).item() == pytest.approx(expected, rel=0.02, abs=1e-3)


def test_the_derivative_by_the_share_is_that_of_the_two_pass_objective(made):
    """Against a numerical derivative of: update phi by the mean gradient of a share of both families, look at the real
    loss."""
    parts, _, state = made
    parts = replace(parts, rule=SGD(rate=0.1))
    state = replace_state(state, inner_state=parts.rule.init(state.phi))
    random, sampler = parts.random.get_state(), parts.sampler.state()
    near, far = (
        loss_gradients(parts, state.phi, Batch(augment(parts, state.theta, drawn).detach(), drawn.target))[0]
        for drawn in draw_real_like_and_others(parts, state.theta)
    )
    scans, start = draw_real(parts), 0.3

    def objective(share):
        grads = {name: share * near[name] + (1 - share) * far[name] for name in near}
        phi, _ = parts.rule.update(state.phi, grads, state.inner_state)
        return phi, grads, network_loss(parts, phi, scans.image, scans.target, fast=False).item()

    phi, grads, _ = objective(start)
    v, _ = loss_gradients(parts, phi, scans)
    u = parts.rule.vjp(v, grads, state.inner_state)
    parts.random.set_state(random)
    parts.sampler.restore(sampler)
    found = share_slope(parts, state, u).item()
    h = 0.02
    expected = (objective(start + h)[2] - objective(start - h)[2]) / (2 * h)
    assert found == pytest.approx(expected, rel=0.05)


def test_the_share_is_pulled_back_to_its_parameter(made):
    parts, _, state = made
    found = by_fraction(parts, state.theta, torch.tensor(2.0))
    assert found["share.raw_share"].item() == pytest.approx(2.0 * 0.85)
    assert all(not g.any() for name, g in found.items() if name != "share.raw_share")


def test_the_share_moves_on_a_hyper_step_and_stays_in_its_bounds(made):
    parts, _, state = made
    for _ in range(3):
        before = state.theta["share.raw_share"]
        state = hyper_step(parts, state, rate_scale=1.0, outer_rate_scale=5.0).state
        assert not torch.equal(before, state.theta["share.raw_share"])
        assert 0.05 <= call_method(parts.augmenter, "own_share", state.theta).item() <= 0.9


def test_with_label_maps_alone_there_is_no_share_to_learn(made):
    parts, _, state = made
    parts.generator.known = replace(parts.generator.known, prior=None)
    parts.generator.composition = Composition(uniform())
    assert composition_of(parts, state.theta) == parts.generator.composition
    after = hyper_step(parts, state, rate_scale=1.0, outer_rate_scale=1.0).state.theta
    assert torch.equal(after["share.raw_share"], state.theta["share.raw_share"])


def test_images_of_the_other_families_have_a_scanner_of_their_own(made):
    assert made[0].randomised is not None


@pytest.mark.parametrize("options", [{"least": 0.0}, {"most": 1.0}, {"start": 0.01}, {"start": 0.5, "most": 0.4}])
def test_bounds_that_cannot_be_are_refused(options):
    with pytest.raises(Exception, match="least <= start <= most"):
        build_augmenter(Component(name="share", options=options), channels=1)


def test_the_share_as_a_user_reads_it():
    share = build_augmenter(Component(name="share", options={"start": 0.25}), channels=1)
    assert share.bounded() == {"share": pytest.approx(0.25)}
    image = torch.rand(2, 1, 4, 4)
    assert torch.equal(share(image, share.draw(image, torch.Generator())), image)


def test_an_estimator_that_does_not_tell_its_direction_is_refused(made):
    parts, _, state = made

    def silent(*args, **options):
        return replace(parts.hypergradient(*args, **options), direction=None)

    with pytest.raises(UserError, match="with this estimator"):
        hyper_step(replace(parts, hypergradient=silent), state, rate_scale=1.0, outer_rate_scale=1.0)
