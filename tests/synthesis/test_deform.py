"""Deformation: identity without strength, no folds, millimetres, slices stay in their plane."""

import dataclasses

import pytest
import torch

from l2s_auto.synthesis.deform import (
    DeformationRanges,
    coarse_positions,
    draw_deformation,
    jacobian,
    refine,
    rotation_matrices,
    warp_image,
)
from l2s_auto.synthesis.thin import warp_labels
from l2s_auto.synthesis.velocity import flow, nodes_of, velocity_on
from tests.synthesis.made import STILL

SHAPE, SPACING = (8, 10, 6), (1.0, 1.0, 2.0)


def random(seed=0):
    return torch.Generator().manual_seed(seed)


def labels(box=SHAPE, batch=2):
    return torch.randint(0, 4, (batch, *box), generator=random(1))


def positions(deformation, shape=SHAPE, box=SHAPE, spacing=SPACING):
    return refine(coarse_positions(deformation, shape=shape, box=box, spacing=spacing), shape)


def determinants(where):
    """(B, D, *S) positions -> the determinant of their forward differences, (B, *S less one voxel)."""
    dims, columns = where.shape[1], []
    for axis in range(dims):
        step = where.diff(dim=2 + axis)
        for other in set(range(dims)) - {axis}:
            step = step.narrow(2 + other, 0, step.shape[2 + other] - 1)
        columns.append(step)
    return torch.linalg.det(torch.stack(columns, 2).movedim((1, 2), (-2, -1)))


def stronger(times):
    usual = DeformationRanges()
    widths = ("rotation", "scale", "shear", "translation", "elastic")
    return dataclasses.replace(usual, **{name: times * getattr(usual, name) for name in widths})


@pytest.mark.parametrize("shape", [SHAPE, (8, 10), (9, 1, 7), (1, 2, 3)])
def test_without_strength_the_labels_stay(shape):
    spacing = SPACING[: len(shape)]
    deformation = draw_deformation(2, shape, spacing, STILL, random())
    coarse = coarse_positions(deformation, shape=shape, box=shape, spacing=spacing)
    moved = warp_labels(labels(shape), refine(coarse, shape), jacobian(coarse, shape))
    assert torch.equal(moved, labels(shape))


@pytest.mark.parametrize("box", [(12, 14, 10), (11, 13, 9), (8, 11, 7)])
def test_a_box_is_read_about_the_patch_that_its_sampler_centred(box):
    where = positions(draw_deformation(2, SHAPE, SPACING, STILL, random()), box=box)
    first = [(b - n) // 2 for b, n in zip(box, SHAPE, strict=True)]
    middle = tuple(slice(f, f + n) for f, n in zip(first, SHAPE, strict=True))
    assert torch.equal(warp_labels(labels(box), where), labels(box)[(slice(None), *middle)])


def test_a_translation_is_in_millimetres():
    deformation = draw_deformation(1, SHAPE, SPACING, STILL, random())
    deformation = dataclasses.replace(deformation, shift=torch.tensor([[1.0, 0.0, 2.0]]))
    moved = warp_labels(labels(batch=1), positions(deformation))
    assert torch.equal(moved[:, :-1, :, :-1], labels(batch=1)[:, 1:, :, 1:])


def test_image_and_labels_move_together():
    where = positions(draw_deformation(2, SHAPE, SPACING, DeformationRanges(), random()))
    block = torch.zeros(2, *SHAPE, dtype=torch.int64)
    block[:, 2:6, 3:7, 2:4] = 1
    image = warp_image(block[:, None].float(), where)[:, 0]
    assert (image[warp_labels(block, where) == 1] >= 0.1).all()


@pytest.mark.parametrize("dims", [2, 3])
def test_rotations_keep_lengths_and_orientation(dims):
    matrix = rotation_matrices(torch.randn(5, dims * (dims - 1) // 2, generator=random()), dims)
    torch.testing.assert_close(matrix @ matrix.mT, torch.eye(dims).expand(5, -1, -1))
    torch.testing.assert_close(torch.linalg.det(matrix), torch.ones(5))


@pytest.mark.parametrize("times", [1, 2, 4])
@pytest.mark.parametrize(
    ("shape", "spacing"), [((40, 56, 40), (1.0,) * 3), ((48, 48, 12), (1.0, 1.0, 3.0)), ((64, 64), (1.0, 1.0))]
)
def test_nothing_folds_and_all_labels_are_kept(times, shape, spacing):
    where = positions(draw_deformation(8, shape, spacing, stronger(times), random(times)), shape, shape, spacing)
    assert determinants(where).min() > 0
    if times == 1:
        blocks = (torch.arange(shape[0]) // (shape[0] // 4)).view(-1, *[1] * (len(shape) - 1)).expand(8, *shape)
        assert all(set(w.unique().tolist()) == set(range(4)) for w in warp_labels(blocks, where))


def test_the_flow_of_a_constant_velocity_is_a_translation_and_that_of_minus_v_goes_back():
    constant = torch.tensor([1.5, -2.0]).view(1, 2, 1, 1).expand(1, 2, 9, 9)
    torch.testing.assert_close(flow(constant, [24.0, 24.0]), constant)
    shape, spacing = (48, 48), (1.0, 1.0)
    nodes = torch.randn(4, 2, *nodes_of(shape, spacing, 12.0), generator=random())
    velocity = velocity_on((48, 48), 1.5 * nodes)
    there, back = flow(velocity, [47.0, 47.0]), flow(-velocity, [47.0, 47.0])
    grid = torch.stack(torch.meshgrid(torch.arange(48.0), torch.arange(48.0), indexing="ij"))
    closed = there + warp_image(back, grid + there)
    inside = slice(8, 40)
    assert closed[..., inside, inside].abs().max() < 0.15 < there.abs().max()


def test_the_velocity_has_the_deviation_that_was_asked_for():
    nodes = torch.randn(400, 1, *nodes_of((49, 49), (1.0, 1.0), 12.0), generator=random())
    assert velocity_on((49, 49), nodes).std().item() == pytest.approx(1.0, rel=0.03)


@pytest.mark.parametrize("alone", [0, 1, 2])
def test_slices_stay_in_their_plane(alone):
    shape = tuple(1 if axis == alone else n for axis, n in enumerate((20, 24, 22)))
    deformation = draw_deformation(5, shape, (1.0,) * 3, stronger(2), random(), flips=True)
    where = positions(deformation, shape, shape, (1.0,) * 3)
    assert torch.equal(where[:, alone], torch.zeros_like(where[:, alone]))
    others = [axis for axis in range(3) if axis != alone]
    assert where[:, others].isfinite().all() and (where[:, others].amax((2, 3, 4)) > 1).all()


def test_the_derivative_of_an_affine_map_is_its_matrix():
    ranges = dataclasses.replace(DeformationRanges(), elastic=0.0)
    deformation = draw_deformation(3, (20, 24, 22), (1.0,) * 3, ranges, random())
    slope = jacobian(
        coarse_positions(deformation, shape=(20, 24, 22), box=(30, 30, 30), spacing=(1.0,) * 3), (20, 24, 22)
    )
    expected = deformation.matrix.view(3, 3, 3, 1, 1, 1).expand_as(slope)
    torch.testing.assert_close(slope, expected, atol=1e-4, rtol=0)
