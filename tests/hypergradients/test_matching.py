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


def test_a_figure_tells_what_gradients_do_not(linear):
    jacobian, _, wanted = linear
    jacobian = jacobian.clone()
    jacobian[1] = 0
    figure = torch.tensor([[0.2], [2.0], [-0.3]]).double()
    whole = torch.cat([jacobian, figure], 1)
    random = torch.Generator().manual_seed(1)
    theta, moments = torch.zeros(NUMBERS).double(), {}
    for _ in range(400):
        one, two = torch.randn(2, WEIGHTS + 1, generator=random, dtype=torch.float64)
        real, synthetic = wanted @ whole + one, theta @ whole + two
        moments = note(moments, real=real, synthetic=synthetic, theta=theta, jacobian=whole, figures=1)
        theta = theta.lerp(estimate(moments), 0.3)
    assert (theta - wanted).abs().max() < 0.3


def test_a_figure_without_noise_decides_and_one_of_noise_alone_does_not(linear):
    """Two figures tell the third number differently; the one that scatters less is believed."""
    _, _, wanted = linear
    random = torch.Generator().manual_seed(2)
    jacobian = torch.cat([torch.eye(NUMBERS), torch.eye(NUMBERS)[:, 2:], torch.eye(NUMBERS)[:, 2:]], 1).double()
    real = wanted @ jacobian
    found = []
    for sure, wrong in ((0, 1), (1, 0)):
        moments = {}
        for _ in range(300):
            seen = real + torch.randn(NUMBERS + 2, generator=random, dtype=torch.float64)
            seen[NUMBERS + sure] = real[NUMBERS + sure] + 0.01 * torch.randn((), generator=random).double()
            seen[NUMBERS + wrong] += 5 + 20 * torch.randn((), generator=random).double()
            twin = torch.cat([torch.randn(NUMBERS, generator=random), torch.zeros(2)]).double()
            zero = torch.zeros(3).double()
            moments = note(moments, real=seen, synthetic=twin, theta=zero, jacobian=jacobian, figures=2)
        found.append(estimate(moments)[2].item())
    assert found[0] == pytest.approx(wanted[2].item(), abs=0.2) and found[1] == pytest.approx(found[0], abs=0.2)


def test_what_tells_nothing_moves_nothing():
    nothing, theta = torch.zeros(5), torch.tensor([0.5, 0.7])
    moments = note({}, real=nothing, synthetic=nothing, theta=theta, jacobian=torch.zeros(2, 5), figures=1)
    assert torch.equal(estimate(moments), theta)


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
