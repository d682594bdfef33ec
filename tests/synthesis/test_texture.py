"""Texture: unit variance, correlated over the length that was drawn."""

import dataclasses

import pytest
import torch

from l2s_auto.synthesis.texture import TextureRanges, draw_texture, texture


def random(seed=0):
    return torch.Generator().manual_seed(seed)


def drawn(shape, share, length, batch=400):
    values = draw_texture(batch, 1, shape, TextureRanges(), random())
    return dataclasses.replace(values, share=torch.full((batch,), share), length=torch.full((batch,), length))


@pytest.mark.parametrize("shape", [(12, 14), (9, 8, 7), (12, 1, 14)])
@pytest.mark.parametrize(("share", "length"), [(0.0, 2.0), (0.5, 1.0), (1.0, 1.0), (1.0, 4.0)])
def test_every_voxel_has_unit_variance(shape, share, length):
    noise = texture(drawn(shape, share, length, batch=1500), (1.0,) * len(shape))
    assert noise.mean(0).abs().max() < 0.15
    assert noise.square().mean(0).sub(1).abs().max() < 0.2
    assert noise.square().mean().item() == pytest.approx(1.0, abs=0.03)


def test_without_a_correlated_share_it_is_the_white_noise():
    values = draw_texture(3, 2, (6, 7), TextureRanges(correlated=0.0), random())
    assert torch.equal(texture(values, (1.0, 1.0)), values.white)


def test_correlation_reaches_as_far_as_the_length_in_millimetres():
    for spacing in (1.0, 0.5):
        noise = texture(drawn((60, 2), 1.0, 2.0), (spacing, 50.0))[:, 0, :, 0]
        apart = round(2.0 / spacing)
        correlation = (noise[:, 20:30] * noise[:, 20 + apart : 30 + apart]).mean().item()
        assert correlation == pytest.approx(0.779, abs=0.06)  # exp(-d² / 4 length²) at d = length


def test_ranges_are_respected():
    values = draw_texture(200, 1, (2, 2), TextureRanges(correlated=0.4, shortest=1.5, longest=3.0), random())
    assert 0.3 < values.share.max() <= 0.4 and values.length.min() >= 1.5 and values.length.max() <= 3.0
