"""Point spread and slices: identity without strength, constants stay, a factor of 1 is no slice."""

import pytest
import torch

from l2s_auto.core.separable import along_axes
from l2s_auto.synthesis.axes import cubic, hat
from l2s_auto.synthesis.resolution import ResolutionRanges, blurring, draw_resolution, sampling, slicing

SHAPE = (8, 10, 6)


def random(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("shape", [SHAPE, (8, 10), (8, 1, 6)])
def test_a_blur_of_zero_is_the_identity_and_a_blur_keeps_a_constant(shape):
    image = torch.rand(2, 1, *shape, generator=random())
    torch.testing.assert_close(along_axes(image, blurring(torch.zeros(2, len(shape)), shape)), image)
    constant = torch.full((2, 3, *shape), 0.7)
    torch.testing.assert_close(along_axes(constant, blurring(torch.full((2, len(shape)), 0.8), shape)), constant)


def test_a_blur_is_separate_for_each_image_and_axis():
    image = torch.zeros(2, 1, 5, 5, 5)
    image[:, :, 2, 2, 2] = 1
    out = along_axes(image, blurring(torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]), (5, 5, 5)))
    assert torch.equal(out[1], image[1])
    assert out[0, 0, 2, 2].gt(0).all() and out[0, 0, 1].abs().max() < 1e-6 and out[0, 0, 2, 1].abs().max() < 1e-6


def test_a_blur_has_the_width_that_was_asked_for():
    (matrix,) = blurring(torch.tensor([[1.7]]), (41,))
    place = torch.arange(41.0) - 20
    assert (matrix[0, 20] * place**2).sum().sqrt().item() == pytest.approx(1.7, rel=0.01)


def test_a_factor_of_one_is_the_identity_wherever_the_first_slice_is():
    matrix = slicing(torch.zeros(5), torch.ones(5), torch.linspace(0, 1, 5), 12)
    torch.testing.assert_close(matrix, torch.eye(12).expand(5, -1, -1))


@pytest.mark.parametrize("factor", [1.0, 1.3, 2.0, 3.0, 5.5])
def test_slices_keep_a_constant_and_are_linear_in_between(factor):
    phase = torch.linspace(0, 1, 7)
    matrix = slicing(torch.full((7,), 0.4), torch.full((7,), factor), phase, 23)
    torch.testing.assert_close(matrix.sum(2), torch.ones(7, 23))
    assert (matrix >= 0).all() and torch.linalg.matrix_rank(matrix[0]) <= 22 // factor + 1
    out = matrix[0] @ torch.rand(23, generator=random())
    if factor == 5.5:
        torch.testing.assert_close(out[1:5].diff(n=2), torch.zeros(2), atol=1e-5, rtol=0)


def test_thick_slices_are_blurred_along_their_axis_alone():
    image = torch.rand(1, 1, 20, 20, generator=random())
    drawn = draw_resolution(1, (20, 20), (1.0, 1.0), ResolutionRanges(partial=0, blur=0, thick=1.0), random(3))
    (axis,) = (drawn.factor[0] > 1).nonzero()[:, 0].tolist()
    out = along_axes(image, sampling(drawn, (20, 20)))
    steady = image.mean(2 + 1 - axis, keepdim=True).expand_as(image)
    kept = along_axes(steady.mean(2 + axis, keepdim=True).expand_as(image), sampling(drawn, (20, 20)))
    torch.testing.assert_close(kept, steady.mean(2 + axis, keepdim=True).expand_as(image))
    assert out.diff(dim=2 + axis).abs().mean() < 0.8 * image.diff(dim=2 + axis).abs().mean()


def test_a_share_of_the_images_has_thick_slices_and_coarse_or_single_voxels_never():
    spacing, shape = (1.0, 6.0, 1.0), (40, 30, 1)
    factor = draw_resolution(2000, shape, spacing, ResolutionRanges(thick=0.5, thickest=5.0), random()).factor
    assert (factor >= 1).all() and factor.max() <= 5.0 and (factor[:, 1:] == 1).all()
    assert (factor[:, 0] > 1).float().mean().item() == pytest.approx(0.25, abs=0.03)
    small = draw_resolution(500, (8, 8), (1.0, 1.0), ResolutionRanges(thick=1.0), random()).factor
    assert 1.5 < small.max() <= 2.0 and (small > 1).sum(1).max() == 1


def test_maps_along_axes_are_those_of_each_axis_in_turn():
    image = torch.randn(2, 3, 4, 5, 6, generator=random(), dtype=torch.float64)
    maps = [torch.randn(2, m, n, generator=random(n), dtype=torch.float64) for m, n in ((3, 4), (5, 5), (7, 6))]
    expected = torch.einsum("bxi,byj,bzk,bcijk->bcxyz", *maps, image)
    torch.testing.assert_close(along_axes(image, maps), expected)
    torch.testing.assert_close(along_axes(image[:1], [m[0] for m in maps]), expected[:1])


def test_interpolation_weights_sum_to_one():
    position = torch.linspace(1, 5, 33)
    torch.testing.assert_close(cubic(position, 7).sum(1), torch.ones(33))
    torch.testing.assert_close(cubic(position, 7) @ torch.arange(7.0), position)
    torch.testing.assert_close(hat(position, 7) @ torch.arange(7.0), position)
    torch.testing.assert_close(hat(torch.tensor([-3.0, 9.0]), 7) @ torch.arange(7.0), torch.tensor([0.0, 6.0]))
