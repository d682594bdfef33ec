"""Thin labels survive a deformation that makes them smaller."""

import cc3d
import numpy as np
import pytest
import torch

from l2s_auto.synthesis.deform import DeformationRanges, coarse_positions, draw_deformation, jacobian, refine
from l2s_auto.synthesis.thin import beside, inverse, thin_axes, warp_labels, without_waiting

SHAPE, BOX = (48, 48, 48), (63, 63, 63)
BATCH = 8


def structures():
    """One voxel thin labels in the middle of a box."""
    from_middle = np.stack(np.meshgrid(*[np.arange(n) - n // 2 for n in BOX], indexing="ij"))
    sheet = from_middle[0] == 0
    radius = np.sqrt((from_middle**2).sum(0))
    ball = radius < 15
    inner = ball & np.all([np.roll(ball, s, a) for a in range(3) for s in (-1, 1)], axis=0)
    tube = (from_middle[0] == 0) & (from_middle[1] == 0)
    steps = np.abs(from_middle[0] - from_middle[1] // 2) + np.abs(from_middle[2] - from_middle[1] // 3) == 0
    return {"sheet": sheet, "shell": ball & ~inner, "tube": tube, "staircase": steps}


def pieces(labels):
    return [int(cc3d.connected_components(x.numpy().astype(np.uint8), connectivity=26).max()) for x in labels]


def warped(labels, ranges, seed):
    """The nearest voxels, and those with thin labels kept."""
    deformation = draw_deformation(len(labels), SHAPE, (1.0,) * 3, ranges, torch.Generator().manual_seed(seed))
    coarse = coarse_positions(deformation, shape=SHAPE, box=BOX, spacing=(1.0,) * 3)
    where = refine(coarse, SHAPE)
    return warp_labels(labels, where), warp_labels(labels, where, jacobian(coarse, SHAPE))


@pytest.mark.parametrize("seed", range(100, 103))
@pytest.mark.parametrize("name", ["sheet", "shell", "tube"])
def test_default_deformations_leave_thin_structures_in_one_piece(name, seed):
    labels = torch.from_numpy(structures()[name].astype(np.uint8)).expand(BATCH, *BOX)
    assert pieces(warped(labels, DeformationRanges(), seed)[1]) == [1] * BATCH


@pytest.mark.parametrize("scale", [0.15, 0.3])
@pytest.mark.parametrize("name", ["sheet", "shell", "tube", "staircase"])
def test_thin_structures_stay_connected(name, scale):
    labels = torch.from_numpy(structures()[name].astype(np.uint8)).expand(BATCH, *BOX)
    nearest, kept = warped(labels, DeformationRanges(scale=scale, elastic=2.5), 1)  # stronger than the default
    assert (kept[nearest == 1] == 1).all(), "nothing is lost"
    flat = name in ("sheet", "shell")
    assert kept.sum() < (1.4 if flat else 2.2) * nearest.sum(), "and little becomes thicker"
    if name == "staircase":  # its voxels touch at their corners alone
        assert sum(pieces(kept)) < sum(pieces(nearest)) / 2
    else:
        assert pieces(kept) == [1] * BATCH
        assert flat or sum(pieces(nearest)) > 3 * BATCH


@pytest.mark.parametrize("dims", [2, 3])
def test_a_sheet_is_never_missed_when_everything_becomes_smaller(dims):
    box, shape, factor = (40,) * dims, (26,) * dims, 1.5
    labels = torch.zeros(1, *box, dtype=torch.uint8)
    labels[:, 17] = 1
    axes = [torch.arange(n) * factor + 1.3 for n in shape]
    where = torch.stack(torch.meshgrid(*axes, indexing="ij"))[None]
    slope = factor * torch.eye(dims).view(1, dims, dims, *[1] * dims).expand(1, dims, dims, *[2] * dims)
    assert not (warp_labels(labels, where) == 1).any(), "the nearest voxels pass it by"
    inside = (slice(None), slice(None), *[slice(0, -1)] * (dims - 1))  # the box's own border is left as it is
    assert ((warp_labels(labels, where, slope) == 1)[inside].sum(1) == 1).all()


def test_what_is_thin():
    labels = torch.zeros(1, 7, 7, 7, dtype=torch.uint8)
    labels[:, 3] = 1
    assert torch.equal(thin_axes(labels), labels)
    near = beside(labels == 1)
    assert near[0, 2, 1:-1, 1:-1].all() and near[0, 4, 1:-1, 1:-1].all() and not near[0, [0, 1, 3, 5, 6]].any()
    assert not near[0, :, 0].any()
    assert thin_axes(labels * labels.transpose(1, 2)).max() == 2
    labels[:, 4] = 1
    assert not thin_axes(labels).any()
    assert not thin_axes(torch.randint(0, 3, (1, 2, 2), dtype=torch.uint8)).any()


@pytest.mark.parametrize("dims", [2, 3])
def test_inverse_matrices(dims):
    matrices = torch.eye(dims).view(1, dims, dims, 1) + 0.2 * torch.randn(4, dims, dims, 6)
    product = torch.einsum("bijn,bjkn->bikn", matrices, inverse(matrices))
    torch.testing.assert_close(product, torch.eye(dims).view(1, dims, dims, 1).expand_as(product), atol=1e-5, rtol=0)


@pytest.mark.parametrize("shape", [(12, 14, 10), (20, 24), (16, 18, 1)])
def test_where_nothing_is_waited_for_the_same_labels_are_kept(shape):
    box, spacing = tuple(n + 6 if n > 1 else 1 for n in shape), (1.0,) * len(shape)
    random = torch.Generator().manual_seed(0)
    labels = (torch.rand(6, *box, generator=random) < 0.2).to(torch.uint8)
    labels[:, 5] = 2
    deformation = draw_deformation(6, shape, spacing, DeformationRanges(scale=0.3, elastic=2.5), random)
    coarse = coarse_positions(deformation, shape=shape, box=box, spacing=spacing)
    where, slope = refine(coarse, shape), jacobian(coarse, shape)
    expected = warp_labels(labels, where, slope)
    with without_waiting():
        assert torch.equal(warp_labels(labels, where, slope), expected)
    assert not torch.equal(warp_labels(labels, where), expected)
