"""Schedules stay in [0, 1], start from 1 (or rise to it) and end where they say."""

import itertools

import pytest
import torch

from l2s_auto.core.component import Component, build
from l2s_auto.core.errors import UserError
from l2s_auto.training.methods import METHODS
from l2s_auto.training.schedule import SCHEDULES

SHARES = [i / 200 for i in range(201)]


@pytest.mark.parametrize("ramp", [0.0, 0.1, 0.9])
@pytest.mark.parametrize("name", SCHEDULES)
def test_factors_rise_to_1_over_the_ramp_and_never_again(name, ramp):
    schedule = build(Component(name=name, options={"ramp": ramp}), SCHEDULES, kind="schedule")
    factors = [schedule(p) for p in SHARES]
    assert all(0 <= f <= 1 for f in factors)
    assert schedule(ramp) == 1
    before = [f for p, f in zip(SHARES, factors, strict=True) if p < ramp]
    after = [f for p, f in zip(SHARES, factors, strict=True) if p >= ramp]
    assert before == pytest.approx([p / ramp for p in SHARES if p < ramp])
    assert all(b <= a for a, b in itertools.pairwise(after))
    assert factors[-1] == (1 if name == "constant" else 0)
    assert schedule(1.2) == factors[-1], "a time budget may be overrun"


def test_known_values():
    assert SCHEDULES["poly"]()(0.5) == pytest.approx(0.5**0.9)
    assert SCHEDULES["poly"](power=2)(0.5) == pytest.approx(0.25)
    assert SCHEDULES["poly"](ramp=0.5)(0.75) == pytest.approx(0.5**0.9)
    assert SCHEDULES["cosine"]()(0.5) == pytest.approx(0.5)
    assert SCHEDULES["cosine"]()(1 / 3) == pytest.approx(0.75)
    assert SCHEDULES["constant"]()(0.7) == 1


def test_polynomial_decay_is_nnunets():
    decay = SCHEDULES["poly"]()
    assert all(decay(p) == pytest.approx((1 - p) ** 0.9) for p in SHARES)


@pytest.mark.parametrize("method", METHODS)
def test_a_recipe_chooses_the_schedule(make_parts, method):
    """Halfway, a plain gradient step of a cosine is half as long as a constant one."""
    moved = {}
    for name in ("constant", "cosine"):
        rule = {"name": "sgd", "options": {"rate": 0.1}}
        parts, chosen, state = make_parts(method, optimiser=rule, schedule={"name": name})
        half = 0.5 * getattr(chosen, "synthetic", 1.0)  # of its first part, where a method has two
        after = chosen.step(parts, state, progress=half).state
        moved[name] = {key: after.phi[key] - p for key, p in state.phi.items()}
    for key, whole in moved["constant"].items():
        torch.testing.assert_close(moved["cosine"][key], 0.5 * whole)


@pytest.mark.parametrize("ramp", [-0.1, 1.0, float("nan")])
@pytest.mark.parametrize("name", SCHEDULES)
def test_a_ramp_out_of_range_is_an_error(name, ramp):
    with pytest.raises(ValueError, match="ramp >= 0 and < 1"):
        SCHEDULES[name](ramp=ramp)


@pytest.mark.parametrize("power", [0, -1, float("inf"), float("nan")])
def test_a_power_out_of_range_is_an_error(power):
    with pytest.raises(ValueError, match="power > 0"):
        SCHEDULES["poly"](power=power)


def test_a_misspelt_option_is_an_error():
    with pytest.raises(UserError, match="no such option"):
        build(Component(name="cosine", options={"power": 2}), SCHEDULES, kind="schedule")
