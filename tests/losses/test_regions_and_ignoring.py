"""Regions are unions of labels; what nobody labelled costs nothing."""

import pytest
import torch

from l2s_auto.losses import LOSSES, Ignoring, WithRegions

GENERATOR = torch.Generator().manual_seed(0)
TARGET = torch.randint(0, 4, (2, 4, 5, 6), generator=GENERATOR)
LOGITS = torch.randn(2, 4, 4, 5, 6, generator=GENERATOR, dtype=torch.float64)
#: Voxels that nobody labelled: half of them.
UNKNOWN = TARGET.clone()
UNKNOWN[:, 2:] = 4


def perfect(target):
    return 50.0 * torch.nn.functional.one_hot(target, 4).movedim(-1, 1).double()


@pytest.mark.parametrize("name", LOSSES)
def test_where_all_is_labelled_nothing_is_ignored(name):
    loss = LOSSES[name]()
    torch.testing.assert_close(Ignoring(loss)(LOGITS, TARGET), loss(LOGITS, TARGET))


@pytest.mark.parametrize("name", LOSSES)
def test_what_is_said_of_unlabelled_voxels_does_not_matter(name):
    loss = Ignoring(LOSSES[name]())
    logits = LOGITS.clone().requires_grad_()
    value = loss(logits, UNKNOWN)
    (gradient,) = torch.autograd.grad(value, logits)
    assert (gradient[:, :, 2:] == 0).all() and (gradient[:, :, :2] != 0).all()
    other = LOGITS.clone()
    other[:, :, 2:] = 7 * torch.randn_like(other[:, :, 2:])
    torch.testing.assert_close(loss(other, UNKNOWN), value)


def test_dice_is_that_of_the_labelled_voxels():
    dice = LOSSES["dice"]()
    torch.testing.assert_close(Ignoring(dice)(LOGITS, UNKNOWN), dice(LOGITS[:, :, :2], TARGET[:, :2]))


def test_a_perfect_region_costs_nothing_whatever_its_labels_are():
    def nothing(logits, target):
        return logits.sum() * 0

    loss = WithRegions(nothing, [(1, 2), (1, 2, 3)])
    swapped = torch.tensor([0, 2, 1, 3])[TARGET]
    assert loss(perfect(swapped), TARGET).item() == pytest.approx(0, abs=1e-6)
    assert loss(perfect((TARGET + 1) % 4), TARGET).item() > 0.3


def test_a_region_is_scored_by_the_sum_of_its_labels_probabilities():
    base = LOSSES["cross-entropy"]()
    probability, scores = LOGITS.softmax(1), []
    for region in ((1, 2), (2, 3)):
        p, y = probability[:, list(region)].sum(1), sum((k == TARGET).double() for k in region)
        axes = (1, 2, 3)
        scores.append((2 * (p * y).sum(axes) + 1) / (p.sum(axes) + y.sum(axes) + 1))
    expected = base(LOGITS, TARGET) + 1 - torch.stack(scores).mean()
    torch.testing.assert_close(WithRegions(base, [(1, 2), (2, 3)])(LOGITS, TARGET), expected)


def test_a_region_that_a_sample_lacks_does_not_count():
    def nothing(logits, target):
        return logits.sum() * 0

    target = TARGET.clamp(max=2)  # the label 3 is nowhere
    two = WithRegions(nothing, [(1, 2), (3,)])
    torch.testing.assert_close(two(LOGITS, target), WithRegions(nothing, [(1, 2)])(LOGITS, target))
    assert WithRegions(nothing, [(3,)])(LOGITS, target) == 0


@pytest.mark.parametrize("name", LOSSES)
def test_both_have_the_numerical_gradient_and_add_up_over_samples(name):
    loss = Ignoring(WithRegions(LOSSES[name](), [(1, 2)]))
    target = UNKNOWN[:1, 1:3, :2, :2]
    logits = LOGITS[:1, :, 1:3, :2, :2].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(x, target), logits)
    alone = [loss(LOGITS[i : i + 1], UNKNOWN[i : i + 1]) for i in range(len(LOGITS))]
    torch.testing.assert_close(loss(LOGITS, UNKNOWN), torch.stack(alone).mean())
