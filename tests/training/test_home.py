"""The home phase: what it learns from, what it leaves alone, and that a training with it may stop anywhere."""

import os
import signal
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from l2s_auto.core.component import Component
from l2s_auto.core.composition import ORIGINAL, RANDOM_CURVE
from l2s_auto.core.grid import Early
from l2s_auto.core.recipe import Recipe
from l2s_auto.training import batches
from l2s_auto.training.checkpoint import load_checkpoint, save_checkpoint
from l2s_auto.training.fold import limits_of
from l2s_auto.training.home import Phases, back_to_general, begin_home, phases_of
from l2s_auto.training.loop import Limits, course_of
from l2s_auto.training.methods import METHODS
from l2s_auto.training.remaining_time import RemainingTime
from l2s_auto.training.writer import Writer
from tests.training.test_loop import history, run, same

CPU = torch.device("cpu")
#: Of 8 iterations, the last 2.
HOME = 0.25


def of_home(made, *, home=HOME, rate=1.0):
    parts, method, state = made
    return parts, Phases(method, home, rate), state


def equal(one, two):
    return all(torch.equal(one[name], two[name]) for name in one) and set(one) == set(two)


def stop_at(monkeypatch, step):
    """A signal, as Ctrl-C gives, within the iteration of that number, which is the last one then."""
    save = Writer.save_from_time_to_time

    def saves(self, state, *, every):
        if state.step == step - 1:
            os.kill(os.getpid(), signal.SIGINT)
        save(self, state, every=every)

    monkeypatch.setattr(Writer, "save_from_time_to_time", saves)


# What each phase learns from


@pytest.mark.parametrize("method", ["learn2synth", "learn2synth-matched", "synthseg"])
def test_general_weights_are_those_of_a_training_without_a_home_phase(make_parts, tmp_path, method):
    alone = run(make_parts(method), tmp_path / "alone", iterations=6)
    end = run(of_home(make_parts(method)), tmp_path / "both", iterations=8)
    assert end.step == 8 and equal(end.general["phi"], alone.phi) and equal(end.theta, alone.theta)
    assert not equal(end.phi, alone.phi)


def test_they_are_also_where_the_first_patches_are_small(plan, make_parts, tmp_path):
    early = plan.model_copy(update={"early": Early(patch=(4, 4, 4), batch=6, share=0.5)})

    def made():
        parts, method, state = make_parts()
        return replace(parts, plan=early), method, state

    alone = run(made(), tmp_path / "alone", iterations=6)
    end = run(of_home(made()), tmp_path / "both", iterations=8)
    assert equal(end.general["phi"], alone.phi)


def test_the_home_phase_learns_mostly_from_scans_as_they_are_and_what_is_before_never(
    make_parts, tmp_path, monkeypatch
):
    parts, phases, state = of_home(make_parts())
    seen, of_batch = [], batches.draw_families

    def families(*given):
        seen.append(of_batch(*given))
        return seen[-1]

    monkeypatch.setattr(batches, "draw_families", families)
    end = run((parts, phases, state), tmp_path, iterations=8)
    before, after = seen[:-2], seen[-2:]
    assert all(ORIGINAL not in row for row in before) and all(set(row) <= {ORIGINAL, RANDOM_CURVE} for row in after)
    assert sum(row.count(ORIGINAL) for row in after) >= len(after)
    lines = history(tmp_path)
    assert lines[-1]["loss_real"] is not None and lines[-1]["loss_synth"] is None
    theta = [line["theta"] for line in lines]
    assert theta[-1] == theta[-2], "theta is not updated at home"
    assert end.general


def test_at_home_phi_goes_on_from_the_general_weights_and_the_rule_starts_again(make_parts):
    parts, method, state = make_parts()
    state = method.step(parts, state, progress=0.0).state
    home = begin_home(parts, state)
    assert equal(home.phi, state.phi) and home.general == {"phi": state.phi, "inner_state": state.inner_state}
    assert not any(home.phi[name].data_ptr() == state.phi[name].data_ptr() for name in state.phi)
    assert home.inner_state["count"] == 0 < state.inner_state["count"]
    assert home.theta is state.theta and not state.general


def test_the_rate_at_home_starts_at_its_fraction_of_the_recipes_and_follows_the_schedule(make_parts):
    rule = {"name": "sgd", "options": {"rate": 0.1}}
    parts, method, state = make_parts(optimiser=rule)
    state = begin_home(parts, state)
    random, sampler = parts.random.get_state(), parts.sampler.state()
    lengths = {}
    for rate, progress in ((1.0, 0.75), (0.2, 0.75), (1.0, 0.9)):
        parts.random.set_state(random)
        parts.sampler.restore(sampler)
        after = Phases(method, HOME, rate).step(parts, state, progress=progress).state
        lengths[rate, progress] = sum((after.phi[k] - p).square().sum() for k, p in state.phi.items()).sqrt().item()
    first = lengths[1.0, 0.75]
    assert lengths[0.2, 0.75] == pytest.approx(0.2 * first, rel=1e-3)
    assert lengths[1.0, 0.9] == pytest.approx(parts.schedule(0.6) / parts.schedule(0.0) * first, rel=1e-3)


def test_the_method_sees_a_training_of_its_own_that_ends_where_the_home_phase_starts():
    phases = Phases(None, HOME)
    assert [phases.of_method(p) for p in (0.0, 0.375, 0.75, 0.9)] == [0.0, 0.5, 1.0, 1.0]
    assert [phases.is_home(p) for p in (0.0, 0.7499, 0.75, 1.0)] == [False, False, True, True]
    assert not Phases(None).is_home(1.0) and Phases(None).of_method(0.3) == 0.3


@pytest.mark.parametrize(
    ("method", "home", "has_images", "expected"),
    [
        ("learn2synth", None, True, METHODS["learn2synth"].home),
        ("learn2synth", 0.3, True, 0.3),
        ("learn2synth", 0.0, True, 0.0),
        ("learn2synth", 0.3, False, 0.0),
        ("synthseg", None, True, 0.0),
        ("synthseg", 0.2, True, 0.2),
        ("supervised", None, True, 0.0),
    ],
)
def test_the_phase_is_the_recipes_or_else_the_methods_and_needs_images(method, home, has_images, expected):
    recipe = Recipe(method=Component(name=method), home=home, home_rate=0.5)
    phases = phases_of(METHODS[method](), recipe, has_images=has_images)
    assert phases.home == expected and phases.rate == 0.5
    assert METHODS["learn2synth"].home > 0


# Stops


@pytest.mark.parametrize(
    "rule", [{"name": "adam", "options": {"rate": 3e-3}}, {"name": "sgd", "options": {"rate": 0.1}}]
)
def test_a_checkpoint_keeps_both_ends(make_parts, tmp_path, rule):
    """Also of a rule that keeps nothing."""
    parts, method, state = make_parts(optimiser=rule)
    state = begin_home(parts, method.step(parts, state, progress=0.0).state)
    state = Phases(method, HOME).step(parts, state, progress=0.8).state
    save_checkpoint(state, tmp_path)
    again = load_checkpoint(tmp_path, CPU)
    assert same(again, state) and equal(again.general["phi"], state.general["phi"])
    torch.testing.assert_close(again.general["inner_state"], state.general["inner_state"], rtol=0, atol=0)
    assert equal(back_to_general(again).phi, state.general["phi"])


@pytest.mark.parametrize("step", [5, 6, 7])
def test_a_training_that_was_stopped_in_either_phase_ends_as_one_that_was_not(make_parts, tmp_path, monkeypatch, step):
    whole = run(of_home(make_parts()), tmp_path / "whole", iterations=8)
    with monkeypatch.context() as patch:
        stop_at(patch, step)
        with pytest.raises(KeyboardInterrupt):
            run(of_home(make_parts()), tmp_path / "stopped", iterations=8)
    parts, phases, _ = of_home(make_parts())
    state = load_checkpoint(tmp_path / "stopped" / "checkpoint", CPU)
    assert state.step == step and bool(state.general) == (step > 6)
    weights = load_file(tmp_path / "stopped" / "weights.safetensors")
    finished = state.general["phi"] if state.general else state.phi
    assert equal({name: weights[name] for name in finished}, finished), "of a home phase that has not ended: general"
    end = run((parts, phases, state), tmp_path / "stopped", iterations=8)
    assert same(end, whole) and equal(end.general["phi"], whole.general["phi"])


def test_a_training_that_is_made_longer_goes_back_to_its_general_weights(make_parts, tmp_path):
    end = run(of_home(make_parts()), tmp_path, iterations=8)
    parts, phases, _ = of_home(make_parts())
    longer = Limits(iterations=16, time_budget=None)
    loaded = load_checkpoint(tmp_path / "checkpoint", CPU)
    assert not phases.is_home(longer.progress(loaded))
    state = back_to_general(loaded)
    assert equal(state.phi, end.general["phi"]) and state.inner_state["count"] == 6 and not state.general
    again = run((parts, phases, state), tmp_path, iterations=16)
    assert again.step == 16 and again.general and not equal(again.general["phi"], end.general["phi"])
    iterations = [line["iteration"] for line in history(tmp_path)]
    assert iterations == sorted(iterations) and iterations[-1] == 16


def test_a_training_without_a_home_phase_has_nothing_to_go_back_from(make_parts):
    _, _, state = make_parts()
    assert back_to_general(state) is state


def test_a_finished_training_ends_at_once_with_both_ends(make_parts, tmp_path):
    end = run(of_home(make_parts()), tmp_path, iterations=8)
    parts, phases, _ = of_home(make_parts())
    again = run((parts, phases, load_checkpoint(tmp_path / "checkpoint", CPU)), tmp_path, iterations=8)
    assert same(again, end) and equal(again.general["phi"], end.general["phi"])


def test_too_few_iterations_for_a_home_phase_give_one_end(make_parts, tmp_path):
    end = run(of_home(make_parts(), home=0.125), tmp_path, iterations=4)
    assert end.step == 4 and not end.general


# What may go wrong at home goes on as elsewhere


def test_an_iteration_at_home_that_gives_nan_is_undone(make_parts, tmp_path, monkeypatch, caplog):
    parts, phases, state = of_home(make_parts())
    step = Phases.step

    def breaks(self, parts, state, *, progress):
        result = step(self, parts, state, progress=progress)
        if state.step == 6:
            result = replace(
                result, state=replace(result.state, phi={k: v * float("nan") for k, v in state.phi.items()})
            )
        return result

    monkeypatch.setattr(Phases, "step", breaks)
    end = run((parts, phases, state), tmp_path, iterations=8)
    assert "Iteration 7 ended in NaN" in caplog.text and end.step == 8 and end.general
    assert all(value.isfinite().all() for value in [*end.phi.values(), *end.general["phi"].values()])


def test_a_home_phase_without_memory_goes_on_with_fewer_samples(make_parts, tmp_path, monkeypatch, caplog):
    parts, phases, state = of_home(make_parts())
    step = Phases.step

    def hungry(self, parts, state, *, progress):
        if self.is_home(progress) and parts.recipe.micro_batch != 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return step(self, parts, state, progress=progress)

    monkeypatch.setattr(Phases, "step", hungry)
    end = run((parts, phases, state), tmp_path, iterations=8)
    assert end.step == 8 and end.general and "1 of 2 samples at a time" in caplog.text


# The time that is left


def test_at_home_no_iteration_moves_theta(make_parts):
    parts, method, _ = make_parts()
    course = course_of(parts, Phases(method, HOME), Limits(iterations=100, time_budget=None))
    assert course.kind(0.74) == (False, True) and course.kind(0.75) == (False, False)
    assert course.home_from == 0.75 and course.after == 0
    assert course_of(parts, Phases(method), Limits(iterations=100, time_budget=None)).kind(0.99) == (False, True)


def test_the_choice_of_the_point_is_a_part_of_the_estimate(make_parts):
    parts, method, _ = make_parts(iterations=100)
    course = course_of(parts, Phases(method, HOME), limits_of(parts, Phases(method, HOME), checked=True))
    course = replace(course, final=0.0)

    def left(course):
        remaining = RemainingTime(course)
        for _ in range(80):
            remaining.iteration(0.1, 1.0)
        return remaining.left(0.5, 50.0)

    (low, high), (without_low, without_high) = left(course), left(replace(course, after=0.0))
    assert low == without_low and high == pytest.approx(without_high + 0.1 * (50 + without_high))
    for phases, checked in ((Phases(method), True), (Phases(method, HOME), False)):
        given = limits_of(parts, phases, checked=checked)
        assert course_of(parts, phases, given).after == 0, "one end, or no validation cases: there is no choice"
