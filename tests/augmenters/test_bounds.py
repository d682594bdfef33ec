"""Numbers that stay in their range: range, inverse, derivative."""

import pytest
import torch

from l2s_auto.augmenters.bounds import INTENSITY, level, level_raw, unit, unit_raw

RAW = torch.linspace(-7.3, 7.3, 501, dtype=torch.float64)


def derivative(function, raw):
    raw = torch.as_tensor(raw, dtype=torch.float64).clone().requires_grad_()
    return torch.autograd.grad(function(raw).sum(), raw)[0]


def test_ranges():
    assert unit(RAW).min() >= 0 and unit(RAW).max() <= 1
    assert level(RAW).min() >= 0
    tiny = torch.tensor([-1e-9, -1e-30, 1 + 1e-7, 2 - 1e-7, 1e6])
    assert unit(tiny).min() >= 0 and unit(tiny).max() <= 1


def test_both_bounds_are_reached():
    assert unit(torch.tensor([0.0, 1.0, 2.0, -1.0])).tolist() == [0.0, 1.0, 0.0, 1.0]
    assert level(torch.tensor(0.0)).item() == 0.0


@pytest.mark.parametrize("values", [[0.0, 0.25, 0.8, 1.0], [0.5]])
def test_inverses(values):
    assert unit(unit_raw(values, name="x")).tolist() == pytest.approx(values)
    assert level(level_raw(values, name="x")).tolist() == pytest.approx(values)
    assert level(level_raw(values, name="x", scale=2.0), scale=2.0).tolist() == pytest.approx(values)


def test_derivatives_never_vanish():
    assert set(derivative(unit, RAW).tolist()) == {-1.0, 1.0}
    assert set((INTENSITY * derivative(level, RAW)).tolist()) == {-1.0, 1.0}
    inside = RAW[(RAW.remainder(1) > 0.01) & (RAW.remainder(1) < 0.99)].clone().requires_grad_()
    assert torch.autograd.gradcheck(unit, inside) and torch.autograd.gradcheck(level, inside)


def test_derivatives_at_the_bounds_point_into_the_range():
    assert derivative(unit, [0.0, 1.0]).tolist() == [1.0, 1.0]
    assert derivative(level, [0.0]).tolist() == [1 / INTENSITY]


@pytest.mark.parametrize("goal", [0.0, 0.3, 1.0])
def test_descent_finds_a_bound_and_stays(goal):
    raw = torch.tensor(0.4, requires_grad=True)
    optimiser = torch.optim.Adam([raw], lr=0.01)
    for _ in range(300):
        optimiser.zero_grad()
        (unit(raw) - goal).abs().backward()
        optimiser.step()
    assert unit(raw).item() == pytest.approx(goal, abs=0.02)


@pytest.mark.parametrize("wrong", [-0.1, 1.1, float("nan"), [0.5, 2.0]])
def test_shares_beyond_their_range_are_errors(wrong):
    with pytest.raises(ValueError, match=r"exponents in \[0, 1\] needed"):
        unit_raw(wrong, name="exponents")


@pytest.mark.parametrize("wrong", [-0.1, float("inf"), float("nan"), [0.5, -2.0]])
def test_negative_levels_are_errors(wrong):
    with pytest.raises(ValueError, match="sigma >= 0 needed"):
        level_raw(wrong, name="sigma")
