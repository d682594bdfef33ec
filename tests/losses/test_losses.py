"""Losses: range, perfection, permutation, numerical gradient."""

import pytest
import torch

from l2s_auto.losses import LOSSES, SoftDice

GENERATOR = torch.Generator().manual_seed(0)
TARGET = torch.randint(0, 3, (2, 4, 5, 6), generator=GENERATOR)
LOGITS = torch.randn(2, 3, 4, 5, 6, generator=GENERATOR, dtype=torch.float64)


def perfect(target, confidence=50.0):
    return confidence * torch.nn.functional.one_hot(target, 3).movedim(-1, 1).double()


@pytest.mark.parametrize("name", LOSSES)
def test_perfect_prediction_costs_nothing(name):
    assert LOSSES[name]()(perfect(TARGET), TARGET) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_gradient_is_the_numerical_one(name):
    loss, target = LOSSES[name](), TARGET[:1, :2, :2, :2]
    logits = LOGITS[:1, :, :2, :2, :2].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(x, target), logits)


@pytest.mark.parametrize("name", LOSSES)
def test_order_of_the_voxels_does_not_matter(name):
    loss = LOSSES[name]()
    torch.testing.assert_close(loss(LOGITS, TARGET), loss(LOGITS.flip(2, 4), TARGET.flip(1, 3)))


def test_dice_is_the_formula_by_hand():
    probability = LOGITS.softmax(1)
    scores = []
    for k in (1, 2):
        y, p = (k == TARGET).double(), probability[:, k]
        axes = (1, 2, 3)
        scores.append((2 * (p * y).sum(axes) + 1) / (p.sum(axes) + y.sum(axes) + 1))
    torch.testing.assert_close(SoftDice()(LOGITS, TARGET), 1 - sum(scores).mean() / 2)


@pytest.mark.parametrize("name", LOSSES)
def test_loss_of_a_batch_is_the_mean_of_its_samples(name):
    """So micro-batches and processes add up to the batch."""
    loss = LOSSES[name]()
    alone = [loss(LOGITS[i : i + 1], TARGET[i : i + 1]) for i in range(len(LOGITS))]
    torch.testing.assert_close(loss(LOGITS, TARGET), torch.stack(alone).mean())


def test_a_class_that_is_nowhere_costs_nothing():
    target = torch.zeros_like(TARGET)
    assert SoftDice()(perfect(target), target) == pytest.approx(0, abs=1e-6)


def test_a_class_that_a_sample_lacks_is_left_to_cross_entropy():
    """Else the pull on it is strongest where next to nothing of it is predicted, and it stays at nothing."""
    target = TARGET.clone()
    target[0][target[0] == 2] = 1
    loss = SoftDice(absent=False)
    one, other = LOGITS.clone(), LOGITS.clone()
    other[0, [0, 2]] = LOGITS[0, [2, 0]]
    assert loss(one, target) == pytest.approx(loss(other, target).item()), "0 and 2 are both not 1"
    assert SoftDice()(one, target) != pytest.approx(SoftDice()(other, target).item())


def test_where_all_classes_are_there_it_does_not_matter_whether_absent_ones_count():
    torch.testing.assert_close(SoftDice(absent=False)(LOGITS, TARGET), SoftDice()(LOGITS, TARGET))


def test_where_no_class_is_there_nothing_is_asked():
    target = torch.zeros_like(TARGET)
    logits = LOGITS.clone().requires_grad_()
    (grad,) = torch.autograd.grad(SoftDice(absent=False)(logits, target), logits)
    assert grad.abs().max() == 0


def test_smooth_must_be_positive():
    with pytest.raises(ValueError, match="smooth must be positive"):
        SoftDice(smooth=0)
