"""Resampling as nnU-Net does it: the formula's laws, and nnU-Net's own choice of when slices are apart."""

import numpy as np
import pytest
from scipy import ndimage

from l2s_auto.preprocessing.spline import resample_by_splines, slice_axis, spline_matrix


def smooth(shape):
    grid = np.meshgrid(*(np.linspace(0, 2 * np.pi, n, endpoint=False) + np.pi / n for n in shape), indexing="ij")
    return (np.sin(grid[0]) + np.cos(grid[1]) * np.sin(grid[2]))[None].astype(np.float32)


def test_the_same_shape_is_the_same_image():
    image = smooth((7, 8, 9))
    assert resample_by_splines(image, (7, 8, 9)) is image


@pytest.mark.parametrize("shape", [(24, 40, 48), (60, 40, 24)])
def test_a_smooth_image_is_that_of_the_other_grid(shape):
    found = resample_by_splines(smooth((36, 40, 44)), shape)
    inner = (slice(None), *(slice(3, -3),) * 3)
    np.testing.assert_allclose(found[inner], smooth(shape)[inner], atol=5e-3)
    assert found.dtype == np.float32 and found.shape == (1, *shape)


@pytest.mark.parametrize("shape", [(12, 40, 9), (37, 11, 23), (1, 16, 30)])
def test_axis_by_axis_is_the_spline_of_the_volume(shape):
    image = np.random.default_rng(0).standard_normal((1, 19, 16, 23)).astype(np.float32)
    factors = [new / old for new, old in zip(shape, image.shape[1:], strict=True)]
    wanted = ndimage.zoom(image[0], factors, order=3, mode="nearest", grid_mode=True)
    found = resample_by_splines(image, shape)[0]
    np.testing.assert_allclose(found, wanted.clip(image.min(), image.max()), atol=2e-5)


def test_weights_of_a_new_voxel_sum_to_one():
    for old, new in ((512, 256), (5, 12), (1, 4), (9, 1)):
        np.testing.assert_allclose(spline_matrix(old, new).sum(1), 1, atol=1e-5)


def test_values_stay_in_the_range_of_the_channel():
    image = np.zeros((2, 9, 9, 9), np.float32)
    image[0, 4:], image[1, :, 4:] = 1.0, -5.0
    found = resample_by_splines(image, (20, 5, 9))
    assert found[0].min() >= 0 and found[0].max() <= 1 and found[1].min() >= -5 and found[1].max() <= 0


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_far_apart_are_not_mixed(axis):
    image = np.moveaxis(np.random.default_rng(0).random((3, 12, 10)).astype(np.float32), 0, axis)[None]
    shape = [24, 24]
    shape.insert(axis, 9)
    found = np.moveaxis(resample_by_splines(image, tuple(shape), slices=axis)[0], axis, 0)
    for number in range(9):
        assert np.array_equal(found[number], found[number // 3 * 3])
    assert not np.array_equal(found[0], found[3])


@pytest.mark.parametrize(
    ("spacing", "target", "axis"),
    [
        ((1, 1, 1), (1, 1, 1), None),
        ((0.7, 0.7, 5), (1, 1, 1), 2),
        ((5, 1, 1), (1, 1, 1), 0),
        ((1, 1, 3), (1, 1, 1), None),
        ((1, 1, 1), (1, 4, 1), 1),
        ((5, 5, 1), (1, 1, 1), None),
    ],
)
def test_which_axis_is_one_of_slices(spacing, target, axis):
    assert slice_axis(spacing, target) == axis
