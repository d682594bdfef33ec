"""Laws of the sliding window."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from l2s_auto.core.errors import UserError
from l2s_auto.inference.sliding_window import gaussian_weight, sliding_window_logits, window_slices, window_starts

SHAPES = [(9, 11, 13), (16, 16, 16), (5, 20, 33), (1, 7, 40)]
PATCHES = [(8, 8, 8), (16, 4, 10), (1, 7, 5), (40, 40, 40)]


def identity(image: torch.Tensor) -> torch.Tensor:
    return image


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("patch", PATCHES)
@pytest.mark.parametrize("overlap", [0.0, 0.3, 0.5, 0.75])
def test_identity_network_gives_its_input_back(shape, patch, overlap):
    image = torch.rand((2, *shape), generator=torch.Generator().manual_seed(0))
    logits = sliding_window_logits(identity, image, patch, 2, overlap=overlap, batch=3)
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, image, rtol=0, atol=1e-5)


def test_one_window_and_many_agree_for_a_pointwise_network():
    image = torch.rand((1, 12, 14, 10))

    def network(x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x.sin(), (3 * x).exp(), x**2], dim=1)

    one = sliding_window_logits(network, image, (12, 14, 10), 3)
    many = sliding_window_logits(network, image, (5, 6, 4), 3, overlap=0.6, batch=4)
    torch.testing.assert_close(one, many, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(one, network(image[None])[0])


def test_blending_is_the_weighted_mean_by_brute_force():
    image = torch.rand((1, 10, 6, 6))
    patch = (6, 6, 6)

    def network(x: torch.Tensor) -> torch.Tensor:  # depends on where in the window a voxel lies
        return x * torch.arange(6.0)[:, None, None]

    logits = sliding_window_logits(network, image, patch, 1, overlap=0.5)
    weight = gaussian_weight(patch)
    for x in range(10):
        top = torch.zeros(6, 6)
        bottom = torch.zeros(6, 6)
        for start in window_starts(10, 6, overlap=0.5):
            if start <= x < start + 6:
                top += weight[x - start] * (x - start) * image[0, x]
                bottom += weight[x - start]
        torch.testing.assert_close(logits[0, x], top / bottom)


@pytest.mark.parametrize("overlap", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_windows_cover_every_voxel_and_are_evenly_spread(overlap):
    for extent in range(1, 40):
        for patch in range(1, extent + 1):
            starts = window_starts(extent, patch, overlap=overlap)
            gaps = [b - a for a, b in pairwise(starts)]
            assert starts[0] == 0 and starts[-1] == extent - patch
            assert all(0 < gap <= patch for gap in gaps)
            assert not gaps or max(gaps) - min(gaps) <= 1
            assert len(starts) == len(set(starts))


def test_windows_of_a_volume_cover_it():
    seen = torch.zeros(9, 10, 11)
    for window in window_slices((9, 10, 11), (4, 10, 3), overlap=0.2):
        seen[window] += 1
    assert seen.min() >= 1


@pytest.mark.parametrize("patch", [(1, 1, 1), (8, 8, 8), (128, 3, 20)])
def test_weights_are_positive_symmetric_and_highest_in_the_centre(patch):
    weight = gaussian_weight(patch)
    assert weight.min() > 0 and weight.max() == 1
    for axis in range(3):
        torch.testing.assert_close(weight, weight.flip(axis))


def test_flips_give_the_same_for_a_network_that_commutes_with_them():
    image = torch.rand((2, 9, 10, 11))
    plain = sliding_window_logits(identity, image, (6, 6, 6), 2)
    flipped = sliding_window_logits(identity, image, (6, 6, 6), 2, flip_axes=(0, 1, 2))
    torch.testing.assert_close(plain, flipped, rtol=0, atol=1e-5)


def test_flips_exchange_left_and_right_classes_on_the_left_right_axis_only():
    def sides(x: torch.Tensor) -> torch.Tensor:
        """Background, left where x is low, right where x is high: a network that knows the side."""
        left = torch.zeros_like(x)
        left[:, :, : x.shape[2] // 2] = 1
        return torch.cat([x * 0, left, 1 - left], dim=1)

    image = torch.rand((1, 8, 8, 8))
    plain = sliding_window_logits(sides, image, (8, 8, 8), 3)
    assert torch.equal(sliding_window_logits(sides, image, (8, 8, 8), 3, flip_axes=(0, 1), pairs=[(1, 2)]), plain)
    confused = sliding_window_logits(sides, image, (8, 8, 8), 3, flip_axes=(0,))
    assert torch.allclose(confused[1:], torch.full_like(confused[1:], 0.5))


def test_padding_repeats_the_border():
    seen = []

    def spy(x: torch.Tensor) -> torch.Tensor:
        seen.append(x.clone())
        return x

    image = torch.rand((1, 2, 3, 4))
    sliding_window_logits(spy, image, (6, 3, 4), 1)
    assert torch.equal(seen[0][0, :, 0], image[:, 0]) and torch.equal(seen[0][0, :, -1], image[:, -1])


def test_bfloat16_stays_close_and_sums_in_float32():
    network = torch.nn.Conv3d(1, 2, 3, padding=1)
    image = torch.rand((1, 10, 10, 10))
    exact = sliding_window_logits(network, image, (8, 8, 8), 2)
    rough = sliding_window_logits(network, image, (8, 8, 8), 2, bfloat16=True)
    assert rough.dtype == torch.float32
    assert 0 < (exact - rough).abs().max() < 0.05


def test_progress_counts_to_the_end():
    calls = []
    sliding_window_logits(
        identity,
        torch.rand((1, 9, 9, 9)),
        (4, 4, 4),
        1,
        batch=2,
        flip_axes=(0,),
        progress=lambda done, total: calls.append((done, total)),
    )
    assert [done for done, _ in calls] == list(range(1, len(calls) + 1))
    assert calls[-1][0] == calls[-1][1] == len(calls)


@pytest.mark.parametrize("overlap", [-0.1, 1.0, 2, float("nan")])
def test_overlap_out_of_range_is_the_users_error(overlap):
    with pytest.raises(UserError, match="--overlap"):
        sliding_window_logits(identity, torch.rand((1, 4, 4, 4)), (4, 4, 4), 1, overlap=overlap)
