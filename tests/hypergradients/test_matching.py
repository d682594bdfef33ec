"""Matching gradients: exact where gradients are linear in theta, whatever is averaged."""

import pytest
import torch

from l2s_auto.hypergradients.matching import estimate, flat, note, unflat

WEIGHTS, NUMBERS = 50, 3


@pytest.fixture
def linear():
    """(J, s(theta), theta*): synthetic gradients s = J^T theta + c, real ones those at theta*."""
    random = torch.Generator().manual_seed(0)
    jacobian = torch.randn(NUMBERS, WEIGHTS, generator=random, dtype=torch.float64)
    constant = torch.randn(WEIGHTS, generator=random, dtype=torch.float64)
    return jacobian, lambda theta: theta @ jacobian + constant, torch.tensor([0.3, -1.0, 2.0]).double()


def test_the_estimate_is_the_theta_of_the_real_images(linear):
    jacobian, synthetic, wanted = linear
    theta = torch.zeros(NUMBERS).double()
    moments = note({}, real=synthetic(wanted), synthetic=synthetic(theta), theta=theta, jacobian=jacobian)
    torch.testing.assert_close(estimate(moments), wanted, rtol=3e-3, atol=3e-3)  # as far as the ridge allows


def test_the_estimate_stays_right_while_theta_moves(linear):
    jacobian, synthetic, wanted = linear
    theta, moments = torch.zeros(NUMBERS).double(), {}
    for number in range(12):
        given = jacobian if number % 3 == 0 else None
        moments = note(moments, real=synthetic(wanted), synthetic=synthetic(theta), theta=theta, jacobian=given)
        theta = theta.lerp(estimate(moments), 0.3)
    torch.testing.assert_close(estimate(moments), wanted, rtol=3e-3, atol=3e-3)
    assert (theta - wanted).norm() < 0.1


def test_noise_is_averaged_out(linear):
    jacobian, synthetic, wanted = linear
    random = torch.Generator().manual_seed(1)

    def noise():
        return 3 * torch.randn(WEIGHTS, generator=random, dtype=torch.float64)

    moments, errors = {}, []
    theta = torch.zeros(NUMBERS).double()
    for _ in range(400):
        moments = note(
            moments,
            real=synthetic(wanted) + noise(),
            synthetic=synthetic(theta) + noise(),
            theta=theta,
            jacobian=jacobian,
        )
        errors.append((estimate(moments) - wanted).norm().item())
    assert sum(errors[-20:]) / 20 < 0.4 * sum(errors[:20]) / 20


def test_a_number_without_influence_rests(linear):
    jacobian, synthetic, wanted = linear
    jacobian = jacobian.clone()
    jacobian[1] = 0
    theta = torch.tensor([0.5, 0.7, 0.9]).double()
    moments = note({}, real=synthetic(wanted), synthetic=synthetic(theta), theta=theta, jacobian=jacobian)
    found = estimate(moments)
    assert found.isfinite().all() and found[1] == theta[1]


def test_the_mean_is_over_the_last_quarter_or_so():
    moments, one = {}, torch.ones(1, 1)
    for number in range(200):
        value = torch.tensor([float(number)])
        moments = note(moments, real=value, synthetic=value, theta=value, jacobian=one)
    assert 155 < moments["real"].item() < 165  # weights that rise with the third power
    assert moments["count"] == moments["jacobians"] == 200


def test_flat_and_back():
    values = {"a": torch.rand(2, 3), "b": torch.rand(()), "c": torch.rand(4)}
    back = unflat(flat(values), values)
    assert set(back) == set(values) and all(torch.equal(back[k], v) for k, v in values.items())
