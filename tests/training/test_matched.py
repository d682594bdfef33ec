"""Learn2Synth by matching gradients: what moves, when, and what a checkpoint keeps."""

from dataclasses import replace

import pytest
import torch

from l2s_auto.core.component import Component
from l2s_auto.core.composition import REAL_LIKE
from l2s_auto.core.errors import UserError
from l2s_auto.hypergradients.matching import flat
from l2s_auto.training.batches import draw_pair
from l2s_auto.training.build import make_sampler
from l2s_auto.training.checkpoint import load_checkpoint, save_checkpoint
from l2s_auto.training.methods.matched import FARTHEST, FIGURES, Matched, effects, of_effects

NAME = "learn2synth-matched"


def run(parts, method, state, steps, *, progress=0.5):
    for _ in range(steps):
        state = method.step(parts, state, progress=progress).state
        state.step += 1
    return state


def same(one, two):
    return all(torch.equal(one[name], two[name]) for name in one)


def test_theta_moves_after_the_warm_up_only(make_parts):
    parts, method, state = make_parts(NAME, warm_up=0.4)
    assert same(run(parts, method, state, 3, progress=0.2).theta, state.theta)
    gathered = run(parts, method, state, 3, progress=0.36)
    assert same(gathered.theta, state.theta) and gathered.moments["count"] == 3
    moved = run(parts, method, state, 1).theta
    assert all(not torch.equal(moved[name], value) for name, value in state.theta.items())


def test_phi_never_depends_on_a_real_image(make_parts):
    parts, method, state = make_parts(NAME)
    made, _, other = make_parts(NAME)
    scans = [replace(case, image=1 - case.image) for case in made.sampler.cases]
    other_parts = replace(made, scans=make_sampler(scans, made.plan, seed=0, device=made.device))
    one, two = run(parts, method, state, 1), run(other_parts, method, other, 1)
    assert same(one.phi, two.phi) and not same(one.theta, two.theta)


def test_real_scans_and_their_synthetic_twins_are_of_the_same_label_maps(make_parts):
    parts, _, _ = make_parts(NAME)
    scans, twins = draw_pair(parts)
    clean = twins.rendered.clean
    assert twins.scans is None and set(twins.rendered.draw.families) == {REAL_LIKE}
    assert scans.image.shape == clean.image.shape and not torch.equal(scans.image, clean.image)
    seen = clean.target > 0
    assert seen.any() and torch.equal(scans.target[seen], clean.target[seen])


def test_theta_stays_within_its_bounds(make_parts):
    parts, method, state = make_parts(
        NAME, augmenter=Component(name="parametric-range", options={"exponents": [0.0, 1.0, 0.5], "sigma_max": 0.0})
    )
    state = run(parts, method, state, 12)
    assert all(value.isfinite().all() for value in state.theta.values())
    assert same(parts.augmenter.nearest(state.theta), state.theta)


def test_theta_rests_where_a_gradient_is_not_finite(make_parts):
    parts, method, state = make_parts(NAME)
    state = run(parts, method, state, 2)
    broken = [replace(case, image=case.image * float("nan")) for case in parts.sampler.cases]
    blind = replace(parts, scans=make_sampler(broken, parts.plan, seed=0, device=parts.device))
    after = run(blind, method, state, 2)
    assert same(after.theta, state.theta) and after.moments["count"] == state.moments["count"]
    assert all(value.isfinite().all() for value in after.moments.values() if isinstance(value, torch.Tensor))


def test_theta_goes_no_farther_at_a_time_than_its_derivative_tells(make_parts):
    parts, method, state = make_parts(NAME, augmenter=Component(name="contrast+parametric"))
    state = run(parts, method, state, 1)
    before = flat(effects(parts, state.theta))
    far = replace(state, moments={**state.moments, "real": 1e6 * state.moments["real"]})
    after = flat(effects(parts, method.move(parts, far).theta))
    assert (after - before).abs().max() <= FARTHEST * method.follow + 1e-6


@pytest.mark.parametrize("name", ["parametric", "parametric-range", "gamma+rician+parametric-random", "contrast+blur"])
def test_coordinates_and_theta_are_each_others_inverse(make_parts, name):
    parts, _, state = make_parts(NAME, augmenter=Component(name=name))
    back = of_effects(parts, effects(parts, state.theta))
    assert list(back) == list(state.theta)
    torch.testing.assert_close(flat(back), flat(state.theta))
    nowhere = of_effects(parts, {key: -torch.ones_like(value) for key, value in state.theta.items()})
    assert same(parts.augmenter.nearest(nowhere), nowhere)


def test_a_range_is_known_by_its_mean_square_and_variance(make_parts):
    parts, _, state = make_parts(NAME, augmenter=Component(name="parametric-range", options={"sigma_max": 0.3}))
    theta = {**state.theta, "raw_min": torch.tensor(0.4), "raw_width": torch.tensor(1.5)}
    levels = 0.4 + 1.5 * torch.linspace(0, 1, 100_001)
    found = effects(parts, theta)
    assert found["raw_min"].item() == pytest.approx((levels**2).mean().item(), rel=1e-4)
    assert found["raw_width"].item() == pytest.approx(levels.var().item(), rel=1e-4)
    # More variance than a range from 0 on has: the mean square is kept.
    widest = of_effects(parts, {**found, "raw_width": 9 * found["raw_min"]})
    assert widest["raw_min"].item() == pytest.approx(0, abs=1e-5)
    assert effects(parts, widest)["raw_min"].item() == pytest.approx(found["raw_min"].item(), rel=1e-4)


def test_images_of_different_noise_are_told_from_ones_that_are_all_alike(make_parts):
    """By the spread of the samples' losses, which is noted behind the gradients."""
    parts, method, state = make_parts(NAME)
    state = run(parts, method, state, 2)
    assert len(state.moments["real"]) == sum(p.numel() for p in state.phi.values()) + FIGURES
    assert state.moments["figures"].shape == (FIGURES,) and state.moments["noise"] > 0


def test_a_checkpoint_keeps_the_moments(make_parts, tmp_path):
    parts, method, state = make_parts(NAME)
    state = run(parts, method, state, 3)
    save_checkpoint(state, tmp_path)
    back = load_checkpoint(tmp_path, torch.device("cpu"))
    assert set(back.moments) == set(state.moments)
    torch.testing.assert_close(back.moments, state.moments, rtol=0, atol=0)


def test_a_theta_of_many_numbers_is_refused(make_parts):
    parts, method, state = make_parts(NAME, augmenter=Component(name="nonparametric"))
    with pytest.raises(UserError, match="too many numbers"):
        run(parts, method, state, 1)


@pytest.mark.parametrize("wrong", [{"jacobian_every": 0}, {"follow": 0}, {"gather": 1.0}, {"step": 0}])
def test_options_out_of_range_are_errors(wrong):
    with pytest.raises(ValueError, match="are needed"):
        Matched(**wrong)
