"""What a coarser network would have found: laws of its imitation."""

import pytest
import torch

from l2s_auto.synthesis.context import ContextDraw, coarse_shape, draw_context, imitated


def blocks(shape=(24, 20, 16)) -> torch.Tensor:
    """(2, *S) a large block of each of two classes, in background."""
    target = torch.zeros((2, *shape), dtype=torch.int64)
    target[:, 4:12, 4:16, 4:12] = 1
    target[:, 12:20, 4:16, 4:12] = 2
    return target


def undisturbed(batch: int, classes: int, coarse: tuple[int, ...]) -> ContextDraw:
    return ContextDraw(
        errors=torch.zeros(batch, classes, *coarse),
        phase=torch.full((batch, len(coarse)), 0.5),
        found_as=torch.arange(classes).expand(batch, classes).clone(),
    )


def test_without_errors_it_is_the_label_map_but_at_edges():
    target = blocks()
    found = imitated(target, undisturbed(2, 3, (12, 10, 8)))[:, 0]
    assert found.shape == target.shape
    inside = (slice(None), slice(7, 9), slice(8, 12), slice(7, 9))
    assert (found[inside] == 1).all() and (found[:, :2] == 0).all()
    assert (found == target).float().mean() > 0.85


def test_on_the_same_grid_a_flat_map_comes_back():
    flat = torch.ones((1, 6, 6, 6), dtype=torch.int64)
    assert (imitated(flat, undisturbed(1, 2, (6, 6, 6))) == 1).all()


def test_errors_move_borders_and_leave_far_places_alone():
    target, generator = blocks(), torch.Generator().manual_seed(0)
    draw = draw_context(2, 3, (24, 20, 16), generator)
    kept = ContextDraw(draw.errors, draw.phase, torch.arange(3).expand(2, 3).clone())
    found = imitated(target, kept)[:, 0]
    differs = found != target
    assert differs.any()
    assert not differs[:, :1].any() and not differs[:, -1:].any(), "more than 3 voxels from any border nothing changes"


def test_a_missing_structure_is_background_and_a_mistaken_one_another():
    draw = undisturbed(1, 3, (12, 10, 8))
    draw.found_as[0] = torch.tensor([0, 2, 0])
    found = imitated(blocks()[:1], draw)
    assert set(found.unique().tolist()) == {0.0, 2.0}
    assert found[0, 0, 8, 10, 8] == 2 and found[0, 0, 16, 10, 8] == 0


def test_how_often_structures_are_missing_or_mistaken():
    draw = draw_context(4000, 5, (1, 1, 1), torch.Generator().manual_seed(1))
    found, own = draw.found_as[:, 1:], torch.arange(1, 5)
    nothing = (found == 0).all(1)
    assert nothing.float().mean() == pytest.approx(0.1, abs=0.02)
    some = found[~nothing]
    assert (some == 0).float().mean() == pytest.approx(0.08 + 0.04 / 5, abs=0.01)
    assert ((some != own) & (some != 0)).float().mean() == pytest.approx(0.04 * 3 / 5, abs=0.01)
    assert (draw.found_as[:, 0] == 0).all()


def test_the_same_draw_gives_the_same_and_pieces_add_up():
    target = blocks()
    draw = draw_context(2, 3, (12, 10, 8), torch.Generator().manual_seed(2))
    whole = imitated(target, draw)
    assert torch.equal(whole, imitated(target, draw))
    assert torch.equal(whole[1:], imitated(target[1:], draw.of(slice(1, 2))))


def test_what_nobody_labelled_counts_as_background():
    target = blocks()
    ignored = torch.where(target == 2, 3, target)
    found = imitated(ignored, undisturbed(2, 3, (24, 20, 16)))
    assert set(found.unique().tolist()) == {0.0, 1.0}


def test_one_plane_and_two_dimensions():
    target = blocks()[..., 8]
    draw = draw_context(2, 3, coarse_shape(target.shape[1:], (1.0, 1.0), (2.0, 2.5)), torch.Generator().manual_seed(0))
    assert imitated(target, draw).shape == (2, 1, 24, 20)
    flat = target[..., None]
    draw = draw_context(2, 3, (12, 8, 1), torch.Generator().manual_seed(0))
    assert imitated(flat, draw).shape == (2, 1, 24, 20, 1)


def test_the_coarse_grid_covers_the_fine_one_and_is_never_finer():
    assert coarse_shape((64, 64, 30), (1.0, 1.0, 3.0), (2.5, 2.5, 3.0)) == (26, 26, 30)
    assert coarse_shape((8, 8, 1), (1.0, 1.0, 1.0), (0.5, 20.0, 2.0)) == (8, 1, 1)
