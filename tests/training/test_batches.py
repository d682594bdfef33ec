"""The batches of an iteration: in pieces as in one, shared by processes, of any families, and what theta changes."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from l2s_auto.core.component import Component
from l2s_auto.core.composition import FAMILIES, RENDERED, Composition, uniform
from l2s_auto.core.plan import LowResolution
from l2s_auto.core.recipe import Recipe
from l2s_auto.training.batches import augment, count_rendered, draw_batch, draw_plain, overlap, render
from l2s_auto.training.build import build_parts, initial_state
from l2s_auto.training.methods import METHODS
from l2s_auto.training.team import Team

ALL = {name: 1 / len(FAMILIES) for name in FAMILIES}
COMPOSITIONS = {
    "all": ALL,
    "default": {"real-like": 0.6, "random-curve": 0.4},
    "rendered": {"real-like": 0.5, "reversed": 0.25, **uniform(0.25)},
    "no real-like": {"reversed": 0.5, "recontrasted": 0.5},
    "scans": {"random-curve": 0.5, "recontrasted": 0.25, "original": 0.25},
    "one": {"original": 1.0},
}
AUGMENTERS = ("parametric", "contrast+parametric", "nonparametric")


@pytest.fixture
def hard_plan(plan):
    """Two channels that may lack, and a cascade."""
    generation = plan.generation
    names = ("mean", "mean_spread", "std", "std_spread")
    priors = tuple(p.model_copy(update={name: getattr(p, name) * 2 for name in names}) for p in generation.priors)
    low = LowResolution(spacing=(2.0, 2.0, 2.0), patch=(8, 8, 8), batch=2, topology=plan.topology)
    return plan.model_copy(
        update={
            "channels": ("T1", "T2"),
            "normalisation": plan.normalisation * 2,
            "generation": generation.model_copy(update={"priors": priors}),
            "low_resolution": low,
        }
    )


@pytest.fixture
def make_hard(hard_plan, cases):
    """(families, batch, team, augmenter) -> parts and state of two channels, some lacking, and a cascade."""
    both = [replace(case, image=np.concatenate([case.image, 1 - case.image])) for case in cases]

    def make(families, batch=7, *, team=None, augmenter="parametric"):
        recipe = Recipe(augmenter=Component(name=augmenter), families=families, missing_share=0.6)
        plan = hard_plan.model_copy(update={"batch": batch})
        parts = build_parts(plan, recipe, both, device=torch.device("cpu"), team=team or Team())
        return parts, initial_state(parts)

    return make


@pytest.mark.parametrize("augmenter", AUGMENTERS)
@pytest.mark.parametrize("name", COMPOSITIONS)
def test_pieces_of_a_batch_are_the_whole(make_hard, name, augmenter):
    parts, state = make_hard(COMPOSITIONS[name], augmenter=augmenter)
    drawn = draw_batch(parts, state.theta)
    with torch.no_grad():
        whole = augment(parts, state.theta, drawn)
        assert whole.shape == (7, 3, 8, 8, 8) and whole.isfinite().all() and len(drawn) == len(drawn.target) == 7
        for size in (1, 2, 3, 5):
            pieces = [slice(first, min(first + size, 7)) for first in range(0, 7, size)]
            found = torch.cat([augment(parts, state.theta, drawn, piece) for piece in pieces])
            torch.testing.assert_close(found, whole, atol=1e-5, rtol=1e-5)


def test_rendered_images_come_first_and_families_are_next_to_each_other(make_hard):
    parts, state = make_hard(ALL, batch=14)
    drawn = draw_batch(parts, state.theta)
    assert drawn.rendered.draw.families == tuple(name for name in RENDERED for _ in range(2))
    assert len(drawn.scans.target) == 6 and drawn.rendered.changed_by_theta == 2
    assert torch.equal(drawn.target, torch.cat([drawn.rendered.clean.target, drawn.scans.target]))


@pytest.mark.parametrize("batch", [1, 2, 5])
@pytest.mark.parametrize("name", COMPOSITIONS)
def test_a_plain_batch_has_the_plans_size_whatever_it_is_made_of(make_hard, name, batch):
    parts, state = make_hard(COMPOSITIONS[name], batch=batch)
    for _ in range(4):
        made = draw_plain(parts, state.theta)
        assert made.image.shape == (batch, 3, 8, 8, 8) and made.target.shape == (batch, 8, 8, 8)
        assert made.image.isfinite().all()


@pytest.mark.parametrize("augmenter", AUGMENTERS)
@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("name", COMPOSITIONS)
def test_the_processes_of_a_team_have_one_joint_batch(make_hard, name, size, augmenter):
    """Also where all rendered images, or all scans, are one process's."""
    for draw in (plain, in_two_steps):
        joint, _ = draw(*make_hard(COMPOSITIONS[name], augmenter=augmenter))
        parts = [draw(*make_hard(COMPOSITIONS[name], augmenter=augmenter, team=Team(k, size))) for k in range(size)]
        for number, whole in enumerate(joint):
            torch.testing.assert_close(torch.cat([images[number] for images, _ in parts]), whole, atol=1e-5, rtol=1e-5)
        assert len({state.numpy().tobytes() for _, state in parts}) == 1, "random numbers go on alike in all"


def plain(parts, state):
    """Images and targets of two plain batches, and the state of the random numbers after them."""
    made = [draw_plain(parts, state.theta) for _ in range(2)]
    return [value for one in made for value in (one.image, one.target)], parts.random.get_state()


def in_two_steps(parts, state):
    """The same of two batches for hyper-steps."""
    made = [draw_batch(parts, state.theta) for _ in range(2)]
    with torch.no_grad():
        return [v for one in made for v in (augment(parts, state.theta, one), one.target)], parts.random.get_state()


def test_images_of_scans_lack_channels_and_have_a_context_as_rendered_ones_do(make_hard):
    parts, state = make_hard({"real-like": 0.5, "original": 0.5}, batch=40)
    made = draw_plain(parts, state.theta)
    lacking = (made.image[:, :2] == 0).flatten(2).all(2)
    for kind in (lacking[:20], lacking[20:]):
        assert kind.any() and not kind.all(1).any()
    context = made.image[:, 2]
    for kind in (slice(0, 20), slice(20, 40)):
        agree = (context[kind] > 0) == (made.target[kind] > 0)
        assert agree.float().mean() > 0.8 and not agree.all(), "what a first network finds: nearly the truth"


@pytest.mark.parametrize("augmenter", AUGMENTERS)
def test_theta_has_a_gradient_through_real_like_images_alone(make_hard, augmenter):
    families = {"real-like": 0.25, "uniform-tissues": 0.25, "random-curve": 0.25, "original": 0.25}
    parts, state = make_hard(families, batch=4, augmenter=augmenter)
    drawn = draw_batch(parts, state.theta)
    for number in range(4):
        theta = {name: value.clone().requires_grad_() for name, value in state.theta.items()}
        image = augment(parts, theta, drawn, slice(number, number + 1))
        assert image.requires_grad == (number == 0)
    theta = {name: value.clone().requires_grad_() for name, value in state.theta.items()}
    slopes = torch.autograd.grad(augment(parts, theta, drawn).square().sum(), list(theta.values()), allow_unused=True)
    assert any(slope is not None and slope.any() for slope in slopes)


def test_a_batch_may_be_of_another_composition_than_the_trainings(make_hard):
    parts, state = make_hard({"real-like": 1.0})
    scans = Composition({"original": 1.0})
    drawn = draw_batch(parts, state.theta, composition=scans)
    assert drawn.rendered is None and len(drawn) == 7
    assert draw_plain(parts, state.theta, composition=scans).image.isfinite().all()
    assert draw_batch(parts, state.theta).scans is None


def test_nothing_is_rendered_where_nothing_is_to_be(make_hard):
    parts, _ = make_hard({"original": 1.0})
    before = parts.random.get_state()
    assert render(parts, torch.zeros(0, 11, 11, 11, dtype=torch.int64), ("original",) * 3) is None
    assert torch.equal(parts.random.get_state(), before) and count_rendered(("original", "reversed")) == 1


@pytest.mark.parametrize(
    ("share", "first", "last", "expected"),
    [
        (slice(0, 4), 0, 4, slice(0, 4)),
        (slice(2, 4), 0, 3, slice(2, 3)),
        (slice(2, 4), 3, 6, slice(0, 1)),
        (slice(0, 2), 3, 6, slice(0, 0)),
        (slice(4, 6), 0, 3, slice(3, 3)),
        (slice(None), 2, 5, slice(0, 3)),
    ],
)
def test_what_a_share_has_of_some_images(share, first, last, expected):
    assert list(range(10))[overlap(share, first, last)] == list(range(10))[expected]


@pytest.mark.parametrize("method", ["synthseg", "supervised", "mixed"])
def test_methods_are_fractions(make_parts, method):
    """In place of what was drawn for each of them on its own."""
    parts, _, state = make_parts(method)
    expected = {"synthseg": uniform(), "supervised": {"original": 1.0}, "mixed": {**uniform(0.5), "original": 0.5}}
    assert dict(parts.generator.composition.fractions) == pytest.approx(expected[method])
    assert len(draw_plain(parts, state.theta).target) == parts.plan.batch


def test_label_maps_alone_make_rendered_batches(plan, cases):
    generation = plan.generation.model_copy(update={"priors": ()})
    maps = [replace(case, image=None) for case in cases]
    plan = plan.model_copy(update={"generation": generation, "channels": ()})
    parts = build_parts(plan, Recipe(), maps, method=METHODS["synthseg"](), device=torch.device("cpu"))
    assert draw_batch(parts).scans is None and draw_plain(parts, {}).image.shape == (2, 1, 8, 8, 8)
