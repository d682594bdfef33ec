"""Laws of the sliding window."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from l2s_auto.core.errors import UserError
from l2s_auto.inference.sliding_window import (
    Windowing,
    slab_axis,
    sliding_window_classes,
    sliding_window_logits,
    sliding_window_slabs,
)
from l2s_auto.inference.windows import bell, shares, window_slices, window_starts

SHAPES = [(9, 11, 13), (16, 16, 16), (5, 20, 33), (1, 7, 40)]
PATCHES = [(8, 8, 8), (16, 4, 10), (1, 7, 5), (40, 40, 40)]


def logits_of(network, image, patch, classes, *, progress=None, **options) -> torch.Tensor:
    return sliding_window_logits([network], image, Windowing(patch, classes, **options), progress=progress)


def identity(image: torch.Tensor) -> torch.Tensor:
    return image


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("patch", PATCHES)
@pytest.mark.parametrize("overlap", [0.0, 0.3, 0.5, 0.75])
def test_identity_network_gives_its_input_back(shape, patch, overlap):
    image = torch.rand((2, *shape), generator=torch.Generator().manual_seed(0))
    logits = logits_of(identity, image, patch, 2, overlap=overlap, batch=3)
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, image, rtol=0, atol=1e-5)


def test_one_window_and_many_agree_for_a_pointwise_network():
    image = torch.rand((1, 12, 14, 10))

    def network(x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x.sin(), (3 * x).exp(), x**2], dim=1)

    one = logits_of(network, image, (12, 14, 10), 3)
    many = logits_of(network, image, (5, 6, 4), 3, overlap=0.6, batch=4)
    torch.testing.assert_close(one, many, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(one, network(image[None])[0])


def test_blending_is_the_weighted_mean_by_brute_force():
    image = torch.rand((1, 10, 6, 6))
    patch = (6, 6, 6)

    def network(x: torch.Tensor) -> torch.Tensor:  # depends on where in the window a voxel lies
        return x * torch.arange(6.0)[:, None, None]

    logits = logits_of(network, image, patch, 1, overlap=0.5)
    weight = bell(6).float()
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


@pytest.mark.parametrize("patch", [1, 2, 8, 3, 128])
def test_weights_are_positive_symmetric_and_highest_in_the_centre(patch):
    weight = bell(patch)
    assert weight.min() > 0 and weight.argmax() == patch // 2 and weight.max() == 1
    around = weight[1:] if patch % 2 == 0 else weight  # on both sides of the centre
    torch.testing.assert_close(around, around.flip(0))


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5, 0.9])
def test_shares_of_the_windows_sum_to_one(overlap):
    for extent, patch in ((40, 16), (17, 16), (16, 16), (200, 7)):
        starts = window_starts(extent, patch, overlap=overlap)
        total = torch.zeros(extent)
        for start, share in zip(starts, shares(extent, patch, starts), strict=True):
            total[start : start + patch] += share
        torch.testing.assert_close(total, torch.ones(extent))


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("shape", [(9, 11, 13), (3, 20, 5), (24, 6, 6)])
def test_slabs_along_any_axis_make_the_whole(shape, axis):
    image = torch.rand((1, *shape), generator=torch.Generator().manual_seed(1))
    network = torch.nn.Conv3d(1, 3, 3, padding=1)
    windowing = Windowing((6, 8, 5), 3, overlap=0.4, batch=2)
    whole = sliding_window_logits([network], image, windowing)
    parts = list(sliding_window_slabs([network], image, windowing, axis=axis))
    assert [p.start for p, _ in parts] == [0, *[p.stop for p, _ in parts[:-1]]] and parts[-1][0].stop == shape[axis]
    torch.testing.assert_close(torch.cat([logits for _, logits in parts], axis + 1), whole)
    assert torch.equal(sliding_window_classes([network], image, windowing).long(), whole.argmax(0))


def test_networks_are_averaged():
    image = torch.rand((1, 9, 9, 9))
    networks = [lambda x, f=f: torch.cat([x, f * x], 1) for f in (1.0, 2.0, 6.0)]
    found = sliding_window_logits(networks, image, Windowing((4, 4, 4), 2))
    torch.testing.assert_close(found, torch.cat([image, 3 * image]))


def test_windows_of_one_value_are_looked_at_once_and_change_nothing():
    image = torch.zeros((2, 40, 8, 8))
    image[:, 32:] = torch.rand((2, 8, 8, 8))
    calls = []
    conv = torch.nn.Conv3d(2, 2, 3, padding=1)

    def network(x: torch.Tensor) -> torch.Tensor:
        calls.append(len(x))
        return conv(x)

    found = logits_of(network, image, (8, 8, 8), 2)
    assert sum(calls) < len(window_slices((40, 8, 8), (8, 8, 8), overlap=0.5)) - 4
    image[0, :32] += 1e-7 * torch.rand((32, 8, 8))  # not empty any more
    torch.testing.assert_close(found, logits_of(network, image, (8, 8, 8), 2), rtol=0, atol=1e-5)


def test_memory_is_that_of_a_row_of_windows():
    """The largest tensor between two slabs does not grow with the volume."""
    sizes = []
    for length in (32, 256):
        windowing = Windowing((8, 8, 8), 20)
        slabs = sliding_window_slabs([lambda x: x.expand(-1, 20, -1, -1, -1)], torch.rand((1, length, 8, 8)), windowing)
        sizes.append(max(logits.numel() for _, logits in slabs))
    assert sizes[1] <= sizes[0] and sizes[0] <= 20 * 8 * 64


def test_the_axis_of_slabs_is_the_one_with_the_smallest_rows():
    assert slab_axis((100, 50, 200), (32, 32, 32)) == 2
    assert slab_axis((100, 100, 100), (32, 32, 32)) == 0
    assert slab_axis((512, 512, 10), (64, 64, 16)) in (0, 1)


def test_flips_give_the_same_for_a_network_that_commutes_with_them():
    image = torch.rand((2, 9, 10, 11))
    plain = logits_of(identity, image, (6, 6, 6), 2)
    flipped = logits_of(identity, image, (6, 6, 6), 2, flip_axes=(0, 1, 2))
    torch.testing.assert_close(plain, flipped, rtol=0, atol=1e-5)


def test_flips_exchange_left_and_right_classes_on_the_left_right_axis_only():
    def sides(x: torch.Tensor) -> torch.Tensor:
        """Background, left where x is low, right where x is high: a network that knows the side."""
        left = torch.zeros_like(x)
        left[:, :, : x.shape[2] // 2] = 1
        return torch.cat([x * 0, left, 1 - left], dim=1)

    image = torch.rand((1, 8, 8, 8))
    plain = logits_of(sides, image, (8, 8, 8), 3)
    assert torch.equal(logits_of(sides, image, (8, 8, 8), 3, flip_axes=(0, 1), pairs=[(1, 2)]), plain)
    confused = logits_of(sides, image, (8, 8, 8), 3, flip_axes=(0,))
    assert torch.allclose(confused[1:], torch.full_like(confused[1:], 0.5))


def test_padding_repeats_the_border():
    seen = []

    def spy(x: torch.Tensor) -> torch.Tensor:
        seen.append(x.clone())
        return x

    image = torch.rand((1, 2, 3, 4))
    logits_of(spy, image, (6, 3, 4), 1)
    assert torch.equal(seen[0][0, :, 0], image[:, 0]) and torch.equal(seen[0][0, :, -1], image[:, -1])


def test_bfloat16_stays_close_and_sums_in_float32():
    network = torch.nn.Conv3d(1, 2, 3, padding=1)
    image = torch.rand((1, 10, 10, 10))
    exact = logits_of(network, image, (8, 8, 8), 2)
    rough = logits_of(network, image, (8, 8, 8), 2, bfloat16=True)
    assert rough.dtype == torch.float32
    assert 0 < (exact - rough).abs().max() < 0.05


def test_progress_counts_to_the_end():
    calls = []
    logits_of(
        identity,
        torch.rand((1, 9, 9, 9)),
        (4, 4, 4),
        1,
        batch=2,
        flip_axes=(0,),
        progress=lambda done, total: calls.append((done, total)),
    )
    done = [windows for windows, _ in calls]
    assert done == sorted(set(done)) and len({total for _, total in calls}) == 1
    assert calls[-1] == (64, 64)


@pytest.mark.parametrize("overlap", [-0.1, 1.0, 2, float("nan")])
def test_overlap_out_of_range_is_the_users_error(overlap):
    with pytest.raises(UserError, match="--overlap"):
        logits_of(identity, torch.rand((1, 4, 4, 4)), (4, 4, 4), 1, overlap=overlap)
