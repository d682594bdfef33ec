"""The heat equation on a grid: identity, semigroup, what is kept, agreement with a Gaussian."""

import pytest
import torch
from scipy.ndimage import gaussian_filter

from l2s_auto.augmenters import Blur
from l2s_auto.augmenters.blur import heat_kernel
from tests.augmenters.common import generator, image_of


def kernel(sigma, size):
    return heat_kernel(torch.tensor([sigma**2], dtype=torch.float64), size)[0]


@pytest.mark.parametrize("size", [1, 2, 9])
def test_no_variance_is_exactly_the_identity(size):
    assert torch.equal(kernel(0.0, size), torch.eye(size, dtype=torch.float64))


@pytest.mark.parametrize("sigma", [0.0, 0.3, 2.0, 50.0])
@pytest.mark.parametrize("size", [1, 2, 9])
def test_weights_are_not_negative_and_sum_to_one_both_ways(sigma, size):
    weights = kernel(sigma, size)
    assert weights.min() > -1e-12
    for axis in (0, 1):
        torch.testing.assert_close(weights.sum(axis), torch.ones(size, dtype=torch.float64))


def test_variances_add_up():
    torch.testing.assert_close(kernel(3.0, 12) @ kernel(4.0, 12), kernel(5.0, 12))


def test_the_variance_of_a_point_is_the_one_asked_for():
    weights, offsets = kernel(1.3, 41)[20], torch.arange(41) - 20.0
    assert (weights * offsets**2).sum().item() == pytest.approx(1.69, rel=1e-9)


def test_it_is_close_to_a_sampled_gaussian():
    image = image_of((20, 24))
    model = Blur(sigma=3.0).double()
    made = model(image, {"share": torch.ones(2, 2, dtype=torch.float64)})
    expected = torch.from_numpy(gaussian_filter(image.numpy(), (0, 0, 3, 3), mode="reflect"))
    torch.testing.assert_close(made, expected, atol=0.005, rtol=0)


def test_millimetres_are_the_same_width_on_every_axis():
    model = Blur(sigma=2.0, spacing=(1.0, 4.0)).double()
    point = torch.zeros(1, 1, 41, 41, dtype=torch.float64)
    point[..., 20, 20] = 1
    made = model(point, {"share": torch.ones(1, 2, dtype=torch.float64)})[0, 0]
    offsets = torch.arange(41) - 20.0
    assert (made.sum(1) * offsets**2).sum().item() == pytest.approx(4.0)
    assert (made.sum(0) * (4 * offsets) ** 2).sum().item() == pytest.approx(4.0)
    assert model.bounded() == {"blur_sigma": pytest.approx(2.0)}


def test_the_start_is_half_a_voxel_of_the_finest_axis():
    assert Blur(spacing=(3.0, 0.8, 1.0)).bounded()["blur_sigma"] == pytest.approx(0.4)
    assert Blur().bounded()["blur_sigma"] == pytest.approx(0.5)


def test_strengths_are_drawn_for_each_image_and_axis():
    share = Blur().draw(torch.zeros(300, 1, 2, 2, 2), generator())["share"]
    assert share.shape == (300, 3) and share.min() >= 0 and share.max() <= 1
    assert share.mean(0).tolist() == pytest.approx([0.5] * 3, abs=0.06)
    assert abs(torch.corrcoef(share.T)[0, 1]) < 0.15


def test_a_negative_width_is_an_error():
    with pytest.raises(ValueError, match="sigma >= 0 needed"):
        Blur(sigma=-1)
