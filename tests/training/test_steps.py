"""Iterations of every method: what moves, and what must not."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from l2s_auto.core.component import Component
from l2s_auto.core.composition import ORIGINAL
from l2s_auto.core.recipe import Recipe
from l2s_auto.core.types import Batch
from l2s_auto.hypergradients.differentiate import part_of
from l2s_auto.hypergradients.signal import no_signal, note, read
from l2s_auto.training.batches import augment, draw_batch, draw_blank, draw_pair, draw_plain, draw_real
from l2s_auto.training.build import build_parts, initial_state, make_generator, make_sampler
from l2s_auto.training.data import BoxSampler
from l2s_auto.training.methods import METHODS
from l2s_auto.training.step import (
    hyper_batch,
    hyper_step,
    loss_gradients,
    loss_moments,
    sample_losses,
    synthetic_step,
    theta_step,
)


def moved(before, after):
    return {name for name in before if not torch.equal(before[name], after[name])}


@pytest.mark.parametrize("method", METHODS)
def test_a_step_moves_every_weight_and_nothing_in_place(make_parts, method):
    parts, chosen, state = make_parts(method)
    before = {k: p.clone() for k, p in state.phi.items()}
    result = chosen.step(parts, state, progress=0.0)
    assert moved(before, state.phi) == set()
    weights = {name for name in before if name.endswith("weight")}
    assert weights <= moved(before, result.state.phi)


def test_theta_moves_on_every_hyper_step_and_on_no_other(make_parts):
    parts, method, state = make_parts(hyper_every=3)
    for step in range(9):
        before, state.step = state.theta, step
        result = method.step(parts, state, progress=0.0)
        state = result.state
        is_hyper = step % 3 == 0
        assert moved(before, state.theta) == (set(before) if is_hyper else set())
        assert (result.loss_real is not None) == is_hyper
        assert result.loss_synth is not None


def test_theta_rests_in_the_warm_up(make_parts):
    parts, method, state = make_parts(warm_up=0.5, hyper_every=1)
    assert method.step(parts, state, progress=0.49).loss_real is None
    assert method.step(parts, state, progress=0.5).loss_real is not None


def test_phi_never_depends_on_the_scans_that_theta_learns_from(make_parts, cases):
    """Other real images: theta takes another way, phi the same as long as theta was the same."""
    parts, _, state = make_parts()
    assert parts.generator.composition[ORIGINAL] == 0, "a scan is never learned from as it is"
    made, _, other = make_parts()
    scans = [replace(case, image=1 - case.image) for case in made.sampler.cases]
    other_parts = replace(made, scans=make_sampler(scans, made.plan, seed=0, device=made.device))
    one = hyper_step(parts, state, rate_scale=1.0, outer_rate_scale=1.0)
    two = hyper_step(other_parts, other, rate_scale=1.0, outer_rate_scale=1.0)
    assert moved(one.state.phi, two.state.phi) == set()
    assert moved(one.state.theta, two.state.theta) == set(state.theta)


def test_with_rendered_images_alone_phi_depends_on_no_scan(make_parts):
    """The paper's form: real images move theta and nothing else."""
    found = []
    for flipped in (False, True):
        parts, _, state = make_parts(families={"real-like": 0.7, "uniform-labels": 0.3})
        cases = [replace(case, image=1 - case.image if flipped else case.image) for case in parts.sampler.cases]
        parts = replace(parts, sampler=make_sampler(cases, parts.plan, seed=0, device=parts.device))
        found.append(hyper_step(parts, state, rate_scale=1.0, outer_rate_scale=1.0).state)
    assert moved(found[0].phi, found[1].phi) == set()
    assert moved(found[0].theta, found[1].theta) == set(state.theta)


def test_a_hyper_step_moves_phi_as_a_plain_step_does(make_parts):
    (parts, _, state), (same, _, again) = make_parts(), make_parts()
    plain = synthetic_step(parts, state, rate_scale=1.0)
    hyper = hyper_step(same, again, rate_scale=1.0, outer_rate_scale=1.0)
    for name, value in plain.state.phi.items():
        torch.testing.assert_close(hyper.state.phi[name], value, rtol=1e-4, atol=1e-6)


def test_synthseg_has_no_theta_and_supervised_no_synthetic_image(make_parts):
    assert make_parts("synthseg")[2].theta == {}
    parts, method, state = make_parts("supervised")
    result = method.step(parts, state, progress=0.0)
    assert result.loss_synth is None and result.loss_real is not None


def test_batches_have_the_shapes_of_the_plan(make_parts, plan):
    parts, _, state = make_parts()
    synthetic, real = draw_batch(parts), draw_real(parts)
    image = augment(parts, state.theta, synthetic)
    for batch in (Batch(image, synthetic.target), real):
        assert batch.image.shape == (plan.batch, 1, *plan.patch)
        assert batch.target.shape == (plan.batch, *plan.patch)
        assert batch.target.max() < len(plan.labels)


class TestBoxSampler:
    """Boxes of cases."""

    def make(self, cases, **options):
        return BoxSampler(
            cases,
            target_of=np.array([0, 0, 1, 2]),
            rng=np.random.default_rng(0),
            device=torch.device("cpu"),
            **options,
        )

    def test_a_box_that_covers_the_case_holds_it_with_its_border_repeated(self, cases):
        box = self.make(cases[:1]).sample(1, (12, 9, 10), images_from=0)
        expected = np.pad(cases[0].enriched, ((1, 1), (0, 0), (1, 1)), mode="edge")
        assert np.array_equal(box.enriched[0].numpy(), expected)
        assert box.image.shape == (1, 1, 12, 9, 10)

    def test_boxes_on_foreground_hold_a_label(self, cases):
        sampler = self.make(cases, foreground_share=1.0)
        for _ in range(20):
            enriched = sampler.sample(2, (4, 4, 4)).enriched
            assert ((enriched == 2) | (enriched == 3)).flatten(1).any(1).all()

    def test_boxes_stay_inside_a_case_that_is_large_enough(self, cases):
        """Every place of the case is reached, and nothing outside of it."""
        case = cases[0]
        case.enriched[:] = (np.arange(case.enriched.size) % 251).reshape(case.enriched.shape)
        sampler = self.make([case], foreground_share=0.0)
        sampler.target_of = np.zeros(256, dtype=int)
        windows = {
            case.enriched[x : x + 4, y : y + 4, z : z + 4].tobytes()
            for x in range(7)
            for y in range(6)
            for z in range(5)
        }
        for _ in range(50):
            box = sampler.sample(1, (4, 4, 4)).enriched[0].numpy().astype(np.uint8)
            assert box.tobytes() in windows

    def test_a_margin_grows_the_box_about_the_same_centre(self, cases):
        plain, grown = (self.make(cases[:1]).sample(1, (4, 4, 4), margin=m).enriched[0] for m in (0.0, 0.5))
        assert grown.shape == (6, 6, 6)
        assert torch.equal(grown[1:-1, 1:-1, 1:-1], plain)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_theta_rests_where_its_gradient_is_not_finite(make_parts, value, caplog):
    parts, _, state = make_parts()
    grads = {name: torch.full_like(p, value) for name, p in state.theta.items()}
    with caplog.at_level("WARNING", logger="l2s_auto"):
        after = theta_step(parts, state, grads, rate_scale=1.0)
    assert moved(state.theta, after.theta) == set()
    assert after.signal == state.signal
    assert "theta rests" in caplog.text


def test_an_outlier_moves_theta_no_farther_than_its_limit(make_parts):
    parts, _, state = make_parts(outer_optimiser={"name": "sgd", "options": {"rate": 1.0, "momentum": 0.0}})
    ones = {name: torch.ones_like(p) for name, p in state.theta.items()}
    for _ in range(3):
        state = theta_step(parts, state, ones, rate_scale=1.0)
    after = theta_step(parts, state, {name: 1e6 * g for name, g in ones.items()}, rate_scale=1.0)
    for name, p in state.theta.items():
        torch.testing.assert_close(after.theta[name], p - 2.0)


def test_theta_moves_after_gradients_of_zero(make_parts):
    parts, _, state = make_parts()
    for _ in range(2):
        state = theta_step(parts, state, {name: torch.zeros_like(p) for name, p in state.theta.items()}, rate_scale=1.0)
    ones = {name: torch.ones_like(p) for name, p in state.theta.items()}
    after = theta_step(parts, state, ones, rate_scale=1.0)
    assert moved(state.theta, after.theta) == set(state.theta)


def test_the_length_that_is_logged_is_that_of_the_gradient_not_of_what_is_left_of_it(make_parts):
    parts, _, state = make_parts()
    ones = {name: torch.ones_like(p) for name, p in state.theta.items()}
    far, signal = {name: 1e3 * g for name, g in ones.items()}, no_signal(state.theta)
    for grads in (ones, ones, ones, far):
        state, signal = theta_step(parts, state, grads, rate_scale=1.0), note(signal, grads)
    assert read(state.signal) == read(signal)
    assert read(signal).length > 100


@pytest.mark.parametrize(("part", "expected"), [(0.1, 1), (0.3, 2), (0.5, 3), (0.7, 4), (0.9, 5), (1.0, 5)])
def test_both_passes_round_a_part_of_the_batch_up(make_parts, part, expected):
    parts, _, _ = make_parts(hyper_part=part)
    parts = replace(parts, plan=parts.plan.model_copy(update={"batch": 5}))
    assert hyper_batch(parts) == expected == part_of(5, part)


@pytest.mark.parametrize("method", METHODS)
def test_micro_batches_change_nothing(make_parts, method):
    # Adam would turn the rounding of a gradient that is nearly 0 into whole steps.
    rule = {"name": "sgd", "options": {"rate": 0.1, "momentum": 0.9}}
    # With other seeds matching solves a system that one batch hardly determines, so that rounding decides.
    given = {"optimiser": rule, "outer_optimiser": rule, "seed": 1}
    parts, chosen, whole = make_parts(method, **given)
    same, _, pieces = make_parts(method, **given, micro_batch=1)
    for _ in range(2):
        whole = chosen.step(parts, whole, progress=0.0).state
        pieces = chosen.step(same, pieces, progress=0.0).state
    for name, value in (whole.phi | whole.theta).items():
        torch.testing.assert_close((pieces.phi | pieces.theta)[name], value, rtol=1e-3, atol=1e-6)


def test_the_mean_of_the_samples_losses_is_the_batchs(make_parts):
    parts, _, state = make_parts()
    scans = draw_real(parts)
    grads, figures = loss_moments(parts, state.phi, scans)
    same, loss = loss_gradients(parts, state.phi, scans)
    each = sample_losses(parts, state.phi, scans.image, scans.target)
    assert figures[0].item() == pytest.approx(loss) and figures[1].item() == pytest.approx((each**2).mean().item())
    for name, value in same.items():
        torch.testing.assert_close(grads[name], value, rtol=1e-4, atol=1e-6)


@pytest.fixture
def two_channels(plan, cases):
    """Parts of a training whose images may lack channels."""
    priors = tuple(
        prior.model_copy(
            update={name: getattr(prior, name) * 2 for name in ("mean", "mean_spread", "std", "std_spread")}
        )
        for prior in plan.generation.priors
    )
    plan = plan.model_copy(
        update={
            "channels": ("T1", "T2"),
            "normalisation": plan.normalisation * 2,
            "generation": plan.generation.model_copy(update={"priors": priors}),
        }
    )
    cases = [replace(case, image=np.concatenate([case.image, 1 - case.image])) for case in cases]

    def make(method, share):
        recipe = Recipe(method=Component(name=method), hyper_every=2, warm_up=0.0, missing_share=share)
        parts = build_parts(plan, recipe, cases, method=METHODS[method](), device=torch.device("cpu"))
        return parts, METHODS[method](), initial_state(parts)

    return make


@pytest.mark.parametrize("method", METHODS)
def test_images_lack_channels_and_never_all(two_channels, method):
    parts, chosen, state = two_channels(method, 0.8)
    blank = torch.cat([draw_blank(parts, 100) for _ in range(5)])
    assert 0.3 < blank.float().mean() < 0.5 and not blank.all(1).any()
    # Of two channels, one lacks in three quarters of the images that may lack some.
    assert blank.any(1).float().mean().item() == pytest.approx(0.6, abs=0.08)
    result = chosen.step(parts, state, progress=0.5)
    assert all(value.isfinite().all() for value in result.state.phi.values())
    scans = [draw_real(parts) for _ in range(10)]
    if not chosen.hyper_steps and chosen.needs_images:
        scans = [draw_plain(parts, state.theta) for _ in range(10)]
    lacking = torch.cat([(batch.image == 0).flatten(2).all(2) for batch in scans])
    assert lacking.any() and not lacking.all(1).any()


def test_nothing_is_drawn_where_nothing_may_lack(two_channels, make_parts):
    assert draw_blank(two_channels("learn2synth", 0.0)[0], 4) is None
    assert draw_blank(make_parts(missing_share=0.5)[0], 4) is None


def test_a_real_scan_and_its_twin_lack_the_same_channels(two_channels):
    parts, _, state = two_channels("learn2synth-matched", 0.9)
    for _ in range(5):
        scans, twins = draw_pair(parts)
        lacking = [(image == 0).flatten(2).all(2) for image in (scans.image, augment(parts, state.theta, twins))]
        assert torch.equal(*lacking) and torch.equal(lacking[0], twins.blank)


@pytest.mark.parametrize(
    ("patch", "fast"), [((8, 8, 8), True), ((4, 8, 8), False), ((2, 8, 8), False), ((8, 4, 4), True)]
)
def test_fast_precision_is_left_out_where_two_voxels_along_the_first_axis_are_convolved(make_parts, patch, fast):
    parts, _, state = make_parts("synthseg")
    plan = parts.plan.model_copy(update={"patch": patch})
    generator = make_generator(plan, parts.generator.composition, device=parts.device)
    parts = replace(parts, plan=plan, generator=generator, autocast=torch.bfloat16)
    batch = draw_plain(parts, state.theta)
    exact, found = (loss_gradients(parts, state.phi, batch, fast=one)[0] for one in (False, True))
    assert all(torch.equal(exact[name], found[name]) for name in exact) != fast
