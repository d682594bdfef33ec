"""Gamma and Rician noise against their formulas."""

import math

import pytest
import torch

from l2s_auto.augmenters import Gamma, Rician
from l2s_auto.augmenters.rician import magnitude
from tests.augmenters.common import generator, image_of


def gamma_of(log_gamma, image):
    return Gamma(mean=log_gamma, spread=0).double()(image, {"log_gamma": torch.zeros_like(image[..., :1, :1])})


@pytest.mark.parametrize("exponent", [0.3, 0.7, 2.5])
def test_gamma_is_the_power_and_keeps_black_and_white(exponent):
    image = torch.linspace(0, 1, 101, dtype=torch.float64)[None, None, None]
    made = gamma_of(math.log(exponent), image)
    torch.testing.assert_close(made[image > 1e-3], image[image > 1e-3] ** exponent)
    assert made[..., 0] == 0 and made[..., -1] == 1
    assert (made.diff() > 0).all()


def test_gamma_leaves_negative_intensities_and_is_continuous_at_zero():
    image = torch.tensor([[[[-0.3, -1e-12, 1e-12]]]], dtype=torch.float64)
    made = gamma_of(-0.7, image)
    assert made[..., 0] == -0.3 and (made[..., 2] - made[..., 1]).abs() < 1e-9


def test_gamma_has_a_finite_slope_everywhere():
    image = torch.tensor([[[[-1.0, 0.0, 1e-30, 1e-3, 0.5, 2.0]]]], requires_grad=True)
    model = Gamma(mean=-2.0)
    slope = torch.autograd.grad(model(image, model.draw(image, generator())).sum(), image)[0]
    assert slope.isfinite().all() and (slope > 0).all()


def test_each_image_and_channel_has_a_gamma_of_its_own():
    drawn = Gamma().draw(torch.zeros(2, 3, 4, 4), generator())["log_gamma"]
    assert drawn.shape == (2, 3, 1, 1) and len(set(drawn.flatten().tolist())) == 6


def test_gamma_reads_as_it_was_given():
    assert Gamma(mean=-0.2, spread=0.3).bounded() == {
        "log_gamma_mean": pytest.approx(-0.2),
        "log_gamma_spread": pytest.approx(0.3),
    }
    with pytest.raises(ValueError, match="spread >= 0"):
        Gamma(spread=-0.1)


@pytest.mark.parametrize(("signal", "mean"), [(0.0, math.sqrt(math.pi / 2) * 0.1), (0.8, 0.8 + 0.1**2 / 1.6)])
def test_rician_noise_has_the_means_of_the_rayleigh_and_the_rice_distribution(signal, mean):
    image = torch.full((1, 1, 60, 60, 60), signal)
    model = Rician(sigma=0.1)
    assert model(image, model.draw(image, generator())).mean().item() == pytest.approx(mean, rel=0.005)


def test_magnitudes_are_lengths_with_a_finite_gradient():
    real, imaginary = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in ([0.0, 3, -2], [0.0, 4, 0]))
    length = magnitude(real, imaginary)
    assert length.tolist() == [0, 5, 2]
    slopes = torch.autograd.grad(length.sum(), (real, imaginary))
    torch.testing.assert_close(slopes[0], torch.tensor([0, 0.6, -1], dtype=torch.float64))
    torch.testing.assert_close(slopes[1], torch.tensor([0, 0.8, 0], dtype=torch.float64))


def test_rician_noise_of_level_zero_leaves_intensities():
    image = image_of((5, 6), dtype=torch.float32)
    model = Rician(sigma=0)
    torch.testing.assert_close(model(image, model.draw(image, generator())), image)
    assert model.bounded() == {"rician_sigma": 0.0}
