from __future__ import annotations

import itertools

import numpy as np
import pytest

from l2s_auto.core.types import Volume
from l2s_auto.preprocessing.orient import from_canonical, orientation_of, to_canonical

ALL_ORDERS = [
    (permutation, flips)
    for permutation in itertools.permutations(range(3))
    for flips in itertools.product([False, True], repeat=3)
]


def stored_as(array: np.ndarray, affine: np.ndarray, permutation, flips) -> tuple[np.ndarray, np.ndarray]:
    """The same volume in space, (..., X, Y, Z), with its axes in another order and direction."""
    lead = array.ndim - 3
    moved = np.transpose(array, (*range(lead), *(lead + axis for axis in permutation)))
    change = np.zeros((4, 4))
    change[3, 3] = 1
    for new, old in enumerate(permutation):
        size = array.shape[lead + old]
        change[old, new] = -1 if flips[new] else 1
        change[old, 3] = size - 1 if flips[new] else 0
    flipped = np.flip(moved, [lead + axis for axis, flip in enumerate(flips) if flip])
    return np.ascontiguousarray(flipped), affine @ change


@pytest.mark.parametrize(("permutation", "flips"), ALL_ORDERS)
def test_every_order_prepares_and_restores_alike(permutation, flips, scan, label_map, plan_at) -> None:
    """Bit-identical images and classes, restored labels equal up to the order: resampled, cropped and oblique."""
    import torch

    from l2s_auto.preprocessing.pipeline import prepare, prepare_labels, restore_labels, restore_logits

    plan = plan_at((1.0, 1.0, 1.5))
    reference = prepare(scan, plan)
    classes = prepare_labels(label_map, reference.geometry, plan)
    restored = restore_labels(classes, reference.geometry, plan)
    logits = torch.randn(3, *classes.shape, generator=torch.Generator().manual_seed(0))
    predicted = restore_logits(logits, reference.geometry, plan)

    data, affine = stored_as(scan.data, scan.affine, permutation, flips)
    labels, _ = stored_as(label_map, scan.affine, permutation, flips)
    other = prepare(Volume(data, affine), plan)
    assert np.array_equal(other.image, reference.image)
    assert np.array_equal(prepare_labels(labels, other.geometry, plan), classes)
    expected, _ = stored_as(restored, scan.affine, permutation, flips)
    assert np.array_equal(restore_labels(classes, other.geometry, plan), expected)
    expected, _ = stored_as(predicted, scan.affine, permutation, flips)
    assert np.array_equal(restore_logits(logits, other.geometry, plan), expected)


@pytest.mark.parametrize("angle", [np.pi / 4, -np.pi / 4, 3 * np.pi / 4])
def test_a_turn_by_45_degrees_is_decided_the_same_way_in_every_order(angle) -> None:
    affine = np.eye(4)
    affine[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    array = np.arange(24).reshape(2, 3, 4)
    reference = to_canonical(array, orientation_of(affine))
    for permutation, flips in ALL_ORDERS:
        other, its_affine = stored_as(array, affine, permutation, flips)
        assert np.array_equal(to_canonical(other, orientation_of(its_affine)), reference)


def test_from_canonical_inverts_to_canonical() -> None:
    array = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    for permutation, flips in ALL_ORDERS:
        orientation = orientation_of(stored_as(array, np.eye(4), permutation, flips)[1])
        assert np.array_equal(from_canonical(to_canonical(array, orientation), orientation), array)


def test_agrees_with_nibabel_on_oblique_affines() -> None:
    nibabel = pytest.importorskip("nibabel")
    rng = np.random.default_rng(0)
    array = np.arange(2 * 3 * 4).reshape(2, 3, 4)
    for _ in range(50):
        turn, _ = np.linalg.qr(np.eye(3) + 0.25 * rng.normal(size=(3, 3)))
        affine = np.eye(4)
        affine[:3, :3] = turn[:, rng.permutation(3)] @ np.diag(rng.uniform(0.5, 5, 3))
        image = nibabel.as_closest_canonical(nibabel.Nifti1Image(array.astype(np.int16), affine))
        assert np.array_equal(to_canonical(array, orientation_of(affine)), np.asarray(image.dataobj))
