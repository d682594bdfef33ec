"""Augmenters in a training: theta's gradient through rendering, families of contrast, what the plan gives."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace

import pytest
import torch

from l2s_auto.core.component import Component
from l2s_auto.core.composition import LEARNED, LEARNED_FROM_FEW, MANY_SCANS, Composition, of_shares, uniform
from l2s_auto.core.recipe import Recipe
from l2s_auto.core.types import Batch
from l2s_auto.hypergradients import HYPERGRADIENTS
from l2s_auto.training.batches import augment, draw_batch, draw_real
from l2s_auto.training.build import build_parts, composition_for, make_augmenter
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
    if isinstance(value, Mapping):
        return {key: in_double(item) for key, item in value.items()}
    if is_dataclass(value):
        return replace(value, **{field.name: in_double(getattr(value, field.name)) for field in fields(value)})
    return value


def problem_of(make_parts, name, seed=0):
    """(problem, phi, theta, rule, state) of a hyper-step after some others, in float64, with a smooth network."""
    smooth = Component(name="unet", options={"activation": "silu"})
    families = {"real-like": 0.5, "uniform-tissues": 0.25, "random-curve": 0.25}
    parts, _, state = make_parts(augmenter=recipe_of(name).augmenter, network=smooth, families=families, seed=seed)
    for _ in range(3):
        state = hyper_step(parts, state, rate_scale=1.0, outer_rate_scale=1.0).state
    drawn, scans = draw_batch(parts, batch=4), draw_real(parts)
    parts.network.double()
    parts.augmenter.double()
    assert len(drawn.rendered.clean.target) == 3 and len(drawn.scans.target) == 1
    problem = TwoPasses(parts, in_double(drawn), Batch(scans.image.double(), scans.target))
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
    given = parts.generator.draw(("real-like",) * 500, parts.random).mixture
    made = parts.augmenter.mixture(given, noise)
    means = [prior.mean[0] for prior in plan.generation.priors]
    assert made.mean.mean((0, 1)).tolist() == pytest.approx(means, abs=0.01)
    image = augment(parts, state.theta, draw_batch(parts))
    assert image.isfinite().all() and image.shape == (plan.batch, 1, *plan.patch)


@pytest.mark.parametrize("name", ["contrast", "parametric-range", "nonparametric"])
def test_theta_changes_real_like_images_and_no_others(make_parts, name):
    families = {"real-like": 0.4, "reversed": 0.2, "uniform-labels": 0.2, "recontrasted": 0.2}
    parts, _, state = make_parts(augmenter=recipe_of(name).augmenter, families=families)
    drawn = draw_batch(parts, batch=20)
    assert drawn.rendered.changed_by_theta == 8 and len(drawn.rendered.clean.target) == 16
    theta = {name: p + 0.5 for name, p in state.theta.items()}
    one, two = (augment(parts, values, drawn).flatten(1) for values in (state.theta, theta))
    assert torch.equal(one[8:], two[8:])
    assert not torch.isclose(one[:8], two[:8]).all(1).any()


@pytest.mark.parametrize("families", [uniform(), {"real-like": 1.0}, {"real-like": 0.6, "random-curve": 0.4}])
def test_where_all_rendered_images_are_of_one_kind_theta_changes_all(plan, cases, families):
    parts = build_parts(plan, Recipe(families=families), cases, device=torch.device("cpu"))
    drawn = draw_batch(parts, batch=10).rendered
    assert parts.randomised is None and drawn.changed_by_theta == len(drawn.clean.target) > 0


def test_fractions_are_the_recipes_or_else_the_methods(plan):
    assert composition_for(plan, Recipe(), None, MANY_SCANS) == Composition(LEARNED)
    assert composition_for(plan, Recipe(), None, MANY_SCANS - 1) == Composition(LEARNED_FROM_FEW)
    assert composition_for(plan, Recipe(families={"reversed": 1.0}), None, 1) == Composition({"reversed": 1.0})
    old = Recipe.model_validate({"prior_share": 0.4, "reversed_share": 0.2})
    assert composition_for(plan, old, None, 1) == of_shares(0.4, 0.2)


def test_label_maps_alone_tell_no_contrast_so_theirs_are_random(plan):
    """What would be like real scans has random contrasts, since no real scan is known."""
    maps = plan.model_copy(update={"generation": plan.generation.model_copy(update={"priors": ()})})
    found = composition_for(maps, Recipe(families={"real-like": 0.5, "reversed": 0.25, "uniform-labels": 0.25}), {}, 1)
    assert found["uniform-tissues"] == pytest.approx(0.5625) and found["uniform-labels"] == pytest.approx(0.4375)


def test_a_part_gets_what_the_plan_knows(plan):
    augmenter = make_augmenter(plan, recipe_of("contrast+blur+parametric+nonparametric"))
    assert augmenter.contrast.mean().flatten().tolist() == pytest.approx([0.2, 0.6, 0.8, 0.4])
    assert augmenter.blur.unit == min(plan.spacing)
    assert augmenter.bounded()["sigma"] == pytest.approx(0.03), "the deviation within each of the plan's classes"
