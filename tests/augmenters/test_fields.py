"""Bias fields: partition of unity, range, agreement with a spline evaluated point by point."""

import pytest
import torch
from scipy.interpolate import BSpline

from l2s_auto.augmenters.fields import INTERVALS, draw_fields, log_field, log_fields, spline_weights
from tests.augmenters.common import generator

LIKE = torch.zeros((), dtype=torch.float64)
SHAPES = [(9,), (6, 7), (6, 7, 8), (1, 5, 2), (1, 1, 1)]


@pytest.mark.parametrize("size", [2, 3, 17, 64])
@pytest.mark.parametrize("intervals", INTERVALS)
def test_weights_are_not_negative_and_sum_to_one(size, intervals):
    weights = spline_weights(size, intervals, like=LIKE)
    assert weights.shape == (size, intervals + 3) and weights.min() >= 0
    torch.testing.assert_close(weights.sum(1), torch.ones(size, dtype=torch.float64))
    torch.testing.assert_close(spline_weights(size, intervals, like=torch.zeros(())).sum(1), torch.ones(size))


@pytest.mark.parametrize("intervals", INTERVALS)
def test_weights_are_those_of_scipys_cubic_b_splines(intervals):
    weights = spline_weights(33, intervals, like=LIKE)
    knots = torch.arange(-3, intervals + 4).double().numpy()
    basis = BSpline(knots, torch.eye(intervals + 3).numpy(), 3)
    position = torch.linspace(0, intervals, 33, dtype=torch.float64)
    torch.testing.assert_close(weights, torch.from_numpy(basis(position.numpy())))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_fields_are_within_the_range_of_their_points_on_any_grid(shape, dtype):
    image = torch.zeros(2, 3, *shape, dtype=dtype)
    drawn = draw_fields(image, generator())
    for name, log in zip(drawn, log_fields(drawn, image.shape[2:]), strict=True):
        assert log.shape == image.shape and log.dtype == dtype
        points = drawn[name].flatten(2)
        assert (log.exp().flatten(2).amax(2) <= points.amax(2) + 1e-5).all()
        assert (log.exp().flatten(2).amin(2) >= points.amin(2) - 1e-5).all()
        assert points.min() >= 0.5 and points.max() <= 2


@pytest.mark.parametrize("shape", SHAPES)
def test_an_exponent_of_zero_is_one_everywhere(shape):
    image = torch.zeros(2, 1, *shape)
    for log in log_fields(draw_fields(image, generator()), image.shape[2:]):
        assert torch.equal(torch.exp(0 * log), torch.ones_like(image))


def test_equal_points_make_a_constant_field():
    points = torch.full((1, 1, 5, 5), 1.7, dtype=torch.float64)
    torch.testing.assert_close(log_field(points, (6, 9)).exp(), torch.full((1, 1, 6, 9), 1.7, dtype=torch.float64))


def test_higher_frequencies_vary_faster():
    image = torch.zeros(20, 1, 32, 32, dtype=torch.float64)
    logs = log_fields(draw_fields(image, generator()), image.shape[2:])
    steps = [(log.diff(dim=2).square().mean() / log.var()).item() for log in logs]
    assert steps[0] < steps[1] / 2 < steps[2] / 4


def test_fields_of_channels_and_images_are_independent():
    image = torch.zeros(2, 2, 8, 8)
    field = log_fields(draw_fields(image, generator()), image.shape[2:])[0].flatten(0, 1)
    assert not any(torch.equal(field[i], field[j]) for i in range(4) for j in range(i))
