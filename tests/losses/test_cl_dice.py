"""clDice: what a skeleton is, and that a gap costs more than a thin wall."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from l2s_auto.losses import DiceClDice, SoftDice
from l2s_auto.losses.cl_dice import dilation, erosion, skeleton

SHAPE = (24, 13, 13)


def tube(radius, *, gap=()):
    """(1, 1, *S) a tube along the first axis, interrupted at some places."""
    y, x = torch.meshgrid(torch.arange(13.0) - 6, torch.arange(13.0) - 6, indexing="ij")
    mask = ((y**2 + x**2) <= radius**2).double().expand(SHAPE).clone()
    mask[list(gap)] = 0
    return mask[None, None]


def cost(found, true, **options):
    logits = 30 * torch.cat([1 - found, found], 1)
    return DiceClDice(**options)(logits, true[:, 0].long()).item()


def test_the_skeleton_of_a_tube_is_a_line_at_its_centre():
    line = skeleton(tube(4), rounds=5)[0, 0]
    assert line[:, 6, 6].eq(1).all()
    assert line.sum() < 0.25 * tube(4).sum()


def test_a_skeleton_keeps_within_0_and_1():
    mask = torch.rand(2, 3, 6, 5, 4, generator=torch.Generator().manual_seed(0))
    line = skeleton(mask, rounds=3)
    assert (line >= 0).all() and (line <= 1).all()


def test_a_line_is_its_own_skeleton():
    torch.testing.assert_close(skeleton(tube(0), rounds=4), tube(0))


def test_on_a_label_map_they_are_the_morphology_that_scipy_has():
    mask = np.random.default_rng(0).random((9, 8, 7)) < 0.6
    as_tensor = torch.from_numpy(mask).double()[None, None]
    padded = np.pad(mask, 1, mode="edge")
    cross, cube = ndimage.generate_binary_structure(3, 1), np.ones((3, 3, 3), bool)
    inner = (slice(1, -1),) * 3
    assert (erosion(as_tensor)[0, 0].bool().numpy() == ndimage.binary_erosion(padded, cross)[inner]).all()
    assert (dilation(as_tensor)[0, 0].bool().numpy() == ndimage.binary_dilation(mask, cube)).all()


def test_erosion_makes_smaller_and_dilation_larger():
    mask = torch.rand(1, 1, 6, 6, 6, generator=torch.Generator().manual_seed(0))
    assert (erosion(mask) <= mask).all() and (mask <= dilation(mask)).all()


@pytest.mark.parametrize("shape", [(1, 1, 6, 7), (1, 1, 1, 6, 7)])
def test_slices_are_thinned_within_their_plane(shape):
    mask = torch.zeros(1, 1, 6, 7)
    mask[..., 1:4, 1:6] = 1
    line = skeleton(mask.view(shape), rounds=2)
    torch.testing.assert_close(line.view(6, 7), skeleton(mask, rounds=2)[0, 0])
    assert 0 < line.sum() < mask.sum()


def test_a_gap_costs_more_than_a_thinner_wall_of_the_same_volume():
    true = tube(4)
    broken, thin = tube(4, gap=range(8, 16)), tube(3)
    assert broken.sum() > thin.sum(), "the thinner tube has lost more voxels"
    assert cost(broken, true, share=1.0) > cost(thin, true, share=1.0) + 0.1
    assert cost(broken, true, share=0.0) < cost(thin, true, share=0.0)


def test_without_a_share_it_is_soft_dice():
    logits = torch.randn(2, 3, 4, 5, 6, generator=torch.Generator().manual_seed(0))
    target = torch.randint(0, 3, (2, 4, 5, 6), generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(DiceClDice(share=0.0)(logits, target), SoftDice()(logits, target))


def test_a_class_that_is_nowhere_costs_nothing():
    empty = torch.zeros(1, 1, *SHAPE, dtype=torch.float64)
    assert cost(empty, empty) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("options", [{"share": -0.1}, {"share": 1.1}, {"rounds": 0}, {"smooth": 0}])
def test_options_that_cannot_be_are_refused(options):
    with pytest.raises(ValueError, match=r"needed|smooth must be positive"):
        DiceClDice(**options)
