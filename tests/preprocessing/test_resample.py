from __future__ import annotations

import numpy as np
import pytest

from l2s_auto.preprocessing.resample import (
    coarse_axes,
    interpolation_matrix,
    resample_image,
    resample_labels,
    resampled_shape,
)


def ball(shape, spacing, radius) -> np.ndarray:
    axes = [(np.arange(n) + 0.5) * s - n * s / 2 for n, s in zip(shape, spacing, strict=True)]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    return np.sqrt(x**2 + y**2 + z**2) < radius


def test_extent_is_kept() -> None:
    assert resampled_shape((100, 60, 20), (0.7, 1.0, 5.0), (1.0, 1.0, 1.0)) == (70, 60, 100)
    assert resampled_shape((1, 1, 1), (1.0, 1.0, 1.0), (9.0, 9.0, 9.0)) == (1, 1, 1)


@pytest.mark.parametrize("order", ["linear", "cubic"])
@pytest.mark.parametrize("smooth", [False, True])
@pytest.mark.parametrize(("old", "new"), [(7, 7), (7, 13), (13, 7), (1, 5), (5, 1)])
def test_rows_sum_to_one(old, new, order, smooth) -> None:
    matrix = interpolation_matrix(old, new, order=order, smooth=smooth)
    assert matrix.shape == (new, old)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-6)
    if old == new:
        np.testing.assert_allclose(matrix.toarray(), np.eye(old), atol=1e-7)


def test_linear_agrees_with_torch() -> None:
    torch = pytest.importorskip("torch")
    image = np.random.default_rng(0).normal(size=(2, 7, 9, 5)).astype(np.float32)
    expected = torch.nn.functional.interpolate(torch.from_numpy(image)[None], size=(11, 9, 14), mode="trilinear")[0]
    np.testing.assert_allclose(resample_image(image, (11, 9, 14), order="linear"), expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("order", ["linear", "cubic"])
def test_a_ramp_stays_a_ramp_in_space(order) -> None:
    ramp = np.broadcast_to((np.arange(20) + 0.5)[:, None, None] / 20, (20, 4, 4)).astype(np.float32)[None]
    out = resample_image(ramp, (33, 4, 4), order=order)[0, :, 0, 0]
    expected = (np.arange(33) + 0.5) / 33
    np.testing.assert_allclose(out[4:-4], expected[4:-4], atol=1e-5)


def test_a_smooth_image_survives_there_and_back() -> None:
    axes = np.meshgrid(*[(np.arange(n) + 0.5) / n for n in (30, 36, 24)], indexing="ij")
    image = (np.sin(4 * axes[0]) * np.cos(5 * axes[1]) + axes[2] ** 2).astype(np.float32)[None]
    back = resample_image(resample_image(image, (41, 29, 24)), (30, 36, 24))
    inner = (0, slice(2, -2), slice(2, -2), slice(2, -2))
    assert np.abs(back - image)[inner].max() < 0.005  # of a range of 3
    assert np.abs(back - image).max() < 0.05


def test_an_image_at_its_target_is_returned_untouched() -> None:
    image = np.random.default_rng(0).normal(size=(1, 4, 5, 6)).astype(np.float32)
    assert resample_image(image, (4, 5, 6)) is image
    labels = np.zeros((4, 5, 6), dtype=np.int16)
    assert resample_labels(labels, (4, 5, 6)) is labels


@pytest.mark.parametrize(
    ("spacing", "target"), [((1, 1, 1), (0.8, 0.8, 0.8)), ((1, 1, 3), (1, 1, 1)), ((1, 1, 1), (1.4, 1.2, 1))]
)
def test_labels_keep_their_volumes_and_values(spacing, target) -> None:
    shape = (50, 52, 48 // spacing[2])
    labels = np.zeros(shape, dtype=np.int16)
    labels[ball(shape, spacing, 20)] = 4
    labels[ball(shape, spacing, 12)] = 77
    other = resample_labels(labels, resampled_shape(shape, spacing, target))
    back = resample_labels(other, shape)
    assert set(np.unique(other)) == set(np.unique(back)) == {0, 4, 77}
    assert other.dtype == labels.dtype
    for value in (4, 77):
        before = np.sum(labels == value)
        volume = np.sum(other == value) * labels.size / other.size
        assert volume == pytest.approx(before, rel=0.02)
        assert np.sum(back == value) == pytest.approx(before, rel=0.02)


def test_labels_agree_with_brute_force() -> None:
    labels = np.random.default_rng(0).integers(0, 4, (6, 7, 5)).astype(np.int16)
    shares = np.stack([resample_image((labels == v)[None].astype(np.float32), (9, 7, 8))[0] for v in range(4)])
    out = resample_labels(labels, (9, 7, 8))
    clear = np.diff(np.sort(shares, axis=0)[-2:], axis=0)[0] > 1e-4
    assert np.array_equal(out[clear], shares.argmax(axis=0)[clear]) and clear.mean() > 0.8


def test_single_voxels_and_slices() -> None:
    assert np.array_equal(resample_labels(np.full((1, 1, 1), 3), (2, 3, 4)), np.full((2, 3, 4), 3))
    assert np.allclose(resample_image(np.full((1, 5, 5, 1), 2, dtype=np.float32), (7, 5, 3)), 2)


def test_between_far_slices_nothing_is_darker_or_brighter_than_they_are() -> None:
    image = np.zeros((1, 12, 12, 8), dtype=np.float32)
    image[..., 4:] = 1
    axes = coarse_axes((0.7, 0.7, 5.0))
    assert axes == (2,) and coarse_axes((1.0, 1.0, 3.0)) == ()
    linear = resample_image(image, (12, 12, 40), coarse=axes)
    assert linear.min() >= 0 and linear.max() <= 1 + 1e-6
    assert resample_image(image, (12, 12, 40)).max() > 1.02
    # In the slices' plane all is as before.
    wave = np.sin(np.arange(12, dtype=np.float32))[None, :, None, None] * np.ones((1, 1, 12, 8), np.float32)
    np.testing.assert_allclose(resample_image(wave, (19, 12, 8), coarse=axes), resample_image(wave, (19, 12, 8)))
