"""Augmenters in a training: theta's gradient through rendering, families of contrast, what the plan gives."""

from dataclasses import fields, is_dataclass, replace

import pytest
import torch

from l2s_auto.core.component import Component
from l2s_auto.core.recipe import Recipe
from l2s_auto.core.types import Batch
from l2s_auto.hypergradients import HYPERGRADIENTS
from l2s_auto.synthesis.intensity import Shares
from l2s_auto.training.batches import Synthetic, augment, draw_batch, draw_real
from l2s_auto.training.build import USUAL, build_parts, family_shares, make_augmenter
from l2s_auto.training.step import TwoPasses, hyper_step
from tests.hypergradients.problem import along, flat, numerical_derivative, relative_error

ALL = ("contrast", "gamma", "blur", "parametric", "parametric-random", "parametric-range", "rician", "nonparametric")
TOGETHER = "contrast+gamma+blur+parametric"


def recipe_of(name, **changes):
    options = {"nonparametric": {"start": 0.3}}.get(name, {})
    return Recipe(augmenter=Component(name=name, options=options), **changes)


def in_double(value):
    """Every float tensor of a record, however deep, in float64."""
    if isinstance(value, torch.Tensor):
        return value.double() if value.is_floating_point() else value
    if isinstance(value, dict):
        return {key: in_double(item) for key, item in value.items()}
    if is_dataclass(value):
        return replace(value, **{field.name: in_double(getattr(value, field.name)) for field in fields(value)})
    return value


def problem_of(make_parts, name, seed=0):
    """(problem, phi, theta, rule, state) of a hyper-step after some others, in float64, with a smooth network."""
    smooth = Component(name="unet", options={"activation": "silu"})
    parts, _, state = make_parts(augmenter=recipe_of(name).augmenter, network=smooth, prior_share=0.8, seed=seed)
    for _ in range(3):
        state = hyper_step(parts, state, rate_scale=1.0, outer_rate_scale=1.0).state
    drawn, scans = draw_batch(parts, batch=4), draw_real(parts)
    parts.network.double()
    parts.augmenter.double()
    drawn = Synthetic(*(in_double(getattr(drawn, field.name)) for field in fields(drawn)))
    problem = TwoPasses(parts, drawn, Batch(scans.image.double(), scans.target))
    return problem, in_double(state.phi), in_double(state.theta), parts.rule, in_double(state.inner_state)


class Whole:
    """The whole batch as `numerical_derivative` asks for it."""

    def __init__(self, problem):
        self.problem = problem

    def augmented(self, theta, piece):
        return self.problem.augmented(theta, slice(None))

    def synth_loss(self, phi, image, piece):
        return self.problem.synth_loss(phi, image, slice(None))

    def real_loss(self, phi, piece):
        return self.problem.real_loss(phi, slice(None))


@pytest.mark.parametrize("name", [*ALL, TOGETHER])
def test_theta_gradient_through_rendering_is_the_numerical_one(make_parts, name):
    case = problem_of(make_parts, name)
    problem, phi, theta, rule, state = case
    found = HYPERGRADIENTS["unrolled"]()(*case).theta_grad
    assert flat(found).norm() > 0
    direction = {k: g / flat(found).norm() for k, g in found.items()}
    # A step over which no pair of voxels changes its order at the quantiles of `rescale`.
    expected = numerical_derivative(Whole(problem), phi, theta, rule, state, direction, h=1e-6)
    assert along(found, direction) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", [TOGETHER])
def test_estimators_agree_through_rendering(make_parts, name):
    case = problem_of(make_parts, name)
    exact = HYPERGRADIENTS["unrolled"]()(*case).theta_grad
    assert relative_error(HYPERGRADIENTS["forward"]()(*case).theta_grad, exact) < 1e-9
    assert relative_error(HYPERGRADIENTS["finite-difference-central"](step=1e-4)(*case).theta_grad, exact) < 1e-2
    assert relative_error(HYPERGRADIENTS["unrolled"](micro_batch=1)(*case).theta_grad, exact) < 1e-9


@pytest.mark.parametrize("name", [*ALL, TOGETHER])
def test_a_hyper_step_moves_theta(make_parts, name):
    parts, _, state = make_parts(augmenter=recipe_of(name).augmenter)
    after = hyper_step(parts, state, rate_scale=1.0, outer_rate_scale=1.0).state
    assert all(p.isfinite().all() for p in after.theta.values())
    assert any(not torch.equal(p, after.theta[k]) for k, p in state.theta.items())


def test_a_learned_contrast_that_has_not_moved_paints_like_the_fixed_one(make_parts, plan):
    """Class means of the images of the learned prior, all taking it, are those of the plan's."""
    parts, _, state = make_parts(augmenter=Component(name="contrast"))
    noise = parts.augmenter.draw(torch.zeros(500, 1, *plan.patch), parts.random)
    given = parts.generator.draw(500, parts.random).mixture
    made = parts.augmenter.mixture(given, noise)
    means = [prior.mean[0] for prior in plan.generation.priors]
    assert made.mean.mean((0, 1)).tolist() == pytest.approx(means, abs=0.01)
    image = augment(parts, state.theta, draw_batch(parts))
    assert image.isfinite().all() and image.shape == (plan.batch, 1, *plan.patch)


@pytest.mark.parametrize("name", ["contrast", "parametric-range", "nonparametric"])
def test_theta_changes_the_images_that_are_to_look_like_the_real_ones_and_no_others(make_parts, name):
    parts, _, state = make_parts(augmenter=recipe_of(name).augmenter)
    drawn = draw_batch(parts, batch=40)
    own = drawn.draw.mixture.own
    assert own.any() and not own.all()
    theta = {name: p + 0.5 for name, p in state.theta.items()}
    one, two = (augment(parts, values, drawn).flatten(1) for values in (state.theta, theta))
    assert torch.equal(one[~own], two[~own])
    assert not torch.isclose(one[own], two[own]).all(1).any()


def test_without_a_share_of_such_images_theta_changes_all(make_parts, plan, cases):
    recipe = Recipe(prior_share=0.0)
    parts = build_parts(plan, recipe, cases, device=torch.device("cpu"))
    assert parts.wide is None and draw_batch(parts).draw.mixture.own is None


def test_scanners_of_all_kinds_vary_more_than_the_own(make_parts):
    parts, _, _ = make_parts()
    draw = parts.generator.draw(2000, parts.random)
    own = draw.mixture.own
    assert own.float().mean().item() == pytest.approx(USUAL.prior, abs=0.04)
    assert draw.gamma[own].log().std() < draw.gamma[~own].log().std() / 3
    assert draw.resolution.blur[own].max() == 0 < draw.resolution.blur[~own].max()


@pytest.mark.parametrize("learned", [True, False])
def test_shares_are_the_recipes_or_else_the_usual(learned):
    assert family_shares(Recipe(), learned=learned) == (USUAL if learned else Shares())
    assert family_shares(Recipe(prior_share=0.4, reversed_share=0.2), learned=learned) == Shares(0.4, 0.2)
    assert family_shares(Recipe(prior_share=1.0), learned=learned) == Shares(1.0, 0.0)


def test_a_part_gets_what_the_plan_knows(plan):
    augmenter = make_augmenter(plan, recipe_of("contrast+blur+parametric+nonparametric"))
    assert augmenter.contrast.mean().flatten().tolist() == pytest.approx([0.2, 0.6, 0.8, 0.4])
    assert augmenter.blur.unit == min(plan.spacing)
    assert augmenter.bounded()["sigma"] == pytest.approx(0.03), "the deviation within each of the plan's classes"
