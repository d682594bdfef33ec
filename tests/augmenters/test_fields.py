"""Bias fields: partition of unity, strength, agreement with a spline evaluated point by point."""

import math

import pytest
import torch
from scipy.interpolate import BSpline

from l2s_auto.augmenters.fields import INTERVALS, MOST, draw_fields, log_field, log_fields, spline_weights
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
def test_fields_are_finite_on_any_grid(shape, dtype):
    image = torch.zeros(2, 3, *shape, dtype=dtype)
    drawn = draw_fields(image, generator())
    for name, log in zip(drawn, log_fields(drawn, image.shape[2:]), strict=True):
        assert log.shape == image.shape and log.dtype == dtype and log.exp().isfinite().all()
        assert drawn[name].abs().max() <= math.log(MOST)


@pytest.mark.parametrize("shape", [(40,), (24, 30), (1, 24, 30), (16, 12, 14)])
def test_a_field_is_as_strong_as_its_points_in_any_number_of_dimensions(shape):
    image = torch.zeros(400, 2, *shape, dtype=torch.float64)
    for log in log_fields(draw_fields(image, generator()), image.shape[2:]):
        assert log.mean().item() == pytest.approx(0, abs=0.05)
        assert log.square().mean().item() == pytest.approx(math.log(MOST) ** 2 / 3, rel=0.1)


@pytest.mark.parametrize("shape", SHAPES)
def test_an_exponent_of_zero_is_one_everywhere(shape):
    image = torch.zeros(2, 1, *shape)
    for log in log_fields(draw_fields(image, generator()), image.shape[2:]):
        assert torch.equal(torch.exp(0 * log), torch.ones_like(image))


def test_equal_points_make_a_constant_field():
    points = torch.full((1, 1, 5, 5), 0.7, dtype=torch.float64)
    field = log_field(points, (6, 9))
    assert field.min() >= 0.7
    torch.testing.assert_close(field, field[..., :1, :1].expand_as(field))


def test_higher_frequencies_vary_faster():
    image = torch.zeros(20, 1, 32, 32, dtype=torch.float64)
    logs = log_fields(draw_fields(image, generator()), image.shape[2:])
    steps = [(log.diff(dim=2).square().mean() / log.var()).item() for log in logs]
    assert steps[0] < steps[1] / 2 < steps[2] / 4


def test_fields_of_channels_and_images_are_independent():
    image = torch.zeros(2, 2, 8, 8)
    field = log_fields(draw_fields(image, generator()), image.shape[2:])[0].flatten(0, 1)
    assert not any(torch.equal(field[i], field[j]) for i in range(4) for j in range(i))
