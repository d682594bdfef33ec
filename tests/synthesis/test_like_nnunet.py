"""nnU-Net's changes of intensity: repeatable, one image apart from another, of the field's usual strength."""

import random

import numpy as np
import pytest
import torch

from l2s_auto.synthesis import like_nnunet
from l2s_auto.synthesis.like_nnunet import changed_like_nnunet

SHAPES = [(8, 9, 10), (1, 12, 9), (11, 12)]


def some(shape, *, batch=2, channels=1):
    return torch.rand(batch, channels, *shape, generator=torch.Generator().manual_seed(0))


def changed(image, seeds, spacing=None):
    return changed_like_nnunet(image, seeds, spacing=spacing or (1.0,) * (image.ndim - 2))


def standard(image):
    axes = tuple(range(2, image.ndim))
    return (image - image.mean(axes, keepdim=True)) / image.std(axes, correction=0, keepdim=True)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_seed_gives_the_same_whatever_else_is_in_the_batch(shape):
    image = some(shape)
    both = changed(image, [3, 4])
    assert both.shape == image.shape and both.dtype == image.dtype and both.isfinite().all()
    torch.testing.assert_close(changed(image[1:], [4]), both[1:])


@pytest.mark.parametrize("shape", SHAPES)
def test_some_images_are_left_and_most_are_changed(shape):
    image = some(shape, batch=1).expand(60, -1, *[-1] * len(shape))
    found = changed(image, range(60))
    left = (found - standard(image)).abs().flatten(1).amax(1) < 1e-5
    # 0.9 · 0.8 · 0.85 · 0.85 · 0.75 · 0.9 · 0.7 of them, and those whose channel is left
    assert 0.15 < left.float().mean() < 0.5


def test_the_order_of_intensities_is_kept_at_large():
    image = torch.linspace(0, 1, 12**3).view(1, 1, 12, 12, 12).expand(40, -1, -1, -1, -1)
    found = changed(image, range(40))
    for one in found:
        assert np.corrcoef(one.flatten(), image[0].flatten())[0, 1] > 0.8, "no contrast is reversed"


def test_the_image_that_is_given_stays():
    image = some((6, 7, 8))
    before = image.clone()
    changed(image, [0, 1])
    assert torch.equal(image, before)


def test_global_random_numbers_are_put_back():
    random.seed(1)
    np.random.seed(1)
    expected = random.random(), np.random.random()
    random.seed(1)
    np.random.seed(1)
    changed(some((6, 7, 8)), [5, 6])
    assert (random.random(), np.random.random()) == expected


def test_a_flat_image_stays_finite():
    assert changed(torch.full((30, 1, 5, 6), 0.5), range(30)).isfinite().all()


@pytest.mark.parametrize(
    ("shape", "spacing", "kept"),
    [
        ((6, 8, 8), (5.0, 1.0, 1.0), (0,)),
        ((6, 8, 8), (3.0, 1.0, 1.0), ()),
        ((8, 8, 1), (1.0, 1.0, 2.0), (2,)),
        ((1, 8, 8), (1.0, 1.0, 4.0), (0, 2)),
    ],
)
def test_thick_slices_and_single_ones_keep_their_resolution(shape, spacing, kept, monkeypatch):
    seen = []
    monkeypatch.setattr(like_nnunet, "changes", lambda axes: seen.append(axes) or (lambda data: {"data": data}))
    changed(some(shape, batch=1), [0], spacing)
    assert seen == [kept]


def test_a_kept_axis_is_not_resampled():
    (low,) = [one for one in like_nnunet.changes((0,)).transforms if type(one).__name__.startswith("SimulateLow")]
    low.p_per_sample = low.p_per_channel = 1.0
    data = np.zeros((1, 1, 6, 8, 8), np.float32)
    data[:, :, ::2] = 1
    np.testing.assert_allclose(low(data=data.copy())["data"], data, atol=1e-6)
    like_nnunet.changes.cache_clear()
