from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from l2s_auto.core.errors import UserError
from l2s_auto.core.plan import LabelPlan
from l2s_auto.core.types import Volume
from l2s_auto.inference.posterior import Posterior
from l2s_auto.preprocessing import restore
from l2s_auto.preprocessing.pipeline import (
    Geometry,
    prepare,
    prepare_grid,
    prepare_labels,
    restore_labels,
    restore_logits,
    restore_slabs,
)


def probabilities_on_the_own_grid(logits: torch.Tensor, geometry, folder: Path) -> np.ndarray:
    """(K, *S) logits -> (K, X, Y, Z), as a prediction gathers them from slabs."""
    posterior = Posterior(geometry, len(logits), folder)
    middle = logits.shape[1] // 2
    halves = [(slice(0, middle), logits[:, :middle]), (slice(middle, logits.shape[1]), logits[:, middle:])]
    assert sum(part.shape[1] for _, part in posterior.noting(halves)) == logits.shape[1]
    return np.stack(list(posterior.volumes()))


def one_hot(classes: np.ndarray, count: int) -> torch.Tensor:
    return 10 * torch.nn.functional.one_hot(torch.from_numpy(classes).long(), count).movedim(-1, 0).float()


def test_labels_are_restored_exactly_at_the_same_spacing(scan, label_map, plan_at) -> None:
    plan = plan_at(tuple(np.linalg.norm(scan.affine[:3, :3], axis=0).round(6)))
    prepared = prepare(scan, plan)
    assert prepared.image.size < scan.data.size, "the outside of zeros is cropped"
    classes = prepare_labels(label_map, prepared.geometry, plan)
    assert classes.dtype == np.int16 and classes.shape == prepared.image.shape[1:]
    assert set(np.unique(classes)) == {0, 1, 2}
    for restored in (
        restore_labels(classes, prepared.geometry, plan),
        restore_logits(one_hot(classes, 3), prepared.geometry, plan),
    ):
        assert restored.dtype == np.int32 and np.array_equal(restored, label_map)


def test_labels_survive_resampling(scan, label_map, plan_at) -> None:
    plan = plan_at((0.5, 0.5, 0.5))
    prepared = prepare(scan, plan)
    classes = prepare_labels(label_map, prepared.geometry, plan)
    for restored in (
        restore_labels(classes, prepared.geometry, plan),
        restore_logits(one_hot(classes, 3), prepared.geometry, plan),
    ):
        assert restored.shape == label_map.shape
        for value in (2, 77):
            a, b = restored == value, label_map == value
            assert 2 * np.sum(a & b) / (a.sum() + b.sum()) > 0.97


def test_slabs_of_any_thickness_give_the_same(scan, plan_at, monkeypatch, tmp_path) -> None:
    plan = plan_at((1.3, 0.9, 1.0))
    geometry = prepare(scan, plan).geometry
    logits = torch.randn(3, *geometry.resampled, generator=torch.Generator().manual_seed(0))
    whole = restore_logits(logits, geometry, plan)
    probabilities = probabilities_on_the_own_grid(logits, geometry, tmp_path)
    for axis, size in enumerate(geometry.resampled):
        for step in (1, 2, 5, size):
            cuts = [slice(start, min(size, start + step)) for start in range(0, size, step)]
            slabs = [(cut, logits.narrow(axis + 1, cut.start, cut.stop - cut.start)) for cut in cuts]
            assert np.array_equal(restore_slabs(slabs, geometry, plan, axis=axis), whole)
    monkeypatch.setattr(restore, "_SLAB", 1)
    monkeypatch.setattr(restore, "_ROWS", 8)
    assert np.array_equal(restore_logits(logits, geometry, plan), whole)
    np.testing.assert_allclose(probabilities_on_the_own_grid(logits, geometry, tmp_path), probabilities, atol=1e-6)


def test_interpolated_logits_agree_with_one_interpolation_of_all(scan, plan_at, tmp_path) -> None:
    plan = plan_at((1.3, 0.9, 1.0))
    geometry = prepare(scan, plan).geometry
    logits = torch.randn(3, *geometry.resampled, generator=torch.Generator().manual_seed(0))
    expected = torch.nn.functional.interpolate(logits[None], size=geometry.cropped, mode="trilinear")[0].softmax(0)
    inside = np.stack([geometry.enter(part) for part in probabilities_on_the_own_grid(logits, geometry, tmp_path)])
    np.testing.assert_allclose(inside, expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("classes", [3, 12])
def test_the_largest_interpolated_logit_wins(scan, plan_at, classes) -> None:
    """With few classes exactly; with many, among those that win in a voxel beside: nearly the same."""
    plan = plan_at((1.3, 0.9, 1.0))
    labels = tuple(LabelPlan(value=k, name=str(k)) for k in range(classes))
    plan = plan.model_copy(update={"labels": labels})
    geometry = prepare(scan, plan).geometry
    rough = torch.randn(1, classes, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    logits = torch.nn.functional.interpolate(rough, size=geometry.resampled, mode="trilinear")[0]
    expected = torch.nn.functional.interpolate(logits[None], size=geometry.cropped, mode="trilinear")[0].argmax(0)
    found = geometry.enter(restore_logits(logits, geometry, plan))
    assert np.mean(found != expected.numpy()) <= (0.0 if classes == 3 else 5e-3)


def test_probabilities_sum_to_one_and_agree_with_the_labels(scan, plan_at, tmp_path) -> None:
    plan = plan_at((1.3, 0.9, 1.0))
    geometry = prepare(scan, plan).geometry
    logits = torch.randn(3, *geometry.resampled, generator=torch.Generator().manual_seed(0)).half()
    probabilities = probabilities_on_the_own_grid(logits, geometry, tmp_path)
    assert probabilities.shape == (3, *scan.data.shape[1:]) and probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=0), 1, atol=1e-5)
    labels = np.array(plan.label_values)[probabilities.argmax(axis=0)]
    assert np.array_equal(labels, restore_logits(logits, geometry, plan))
    assert probabilities[0, 0, 0, 0] == 1, "cropped away: background"


def test_an_inverted_scan_is_the_mirror_in_intensity_and_is_not_cropped(scan, plan_at) -> None:
    inverted = Volume(1000 - scan.data, scan.affine)
    assert prepare(inverted, plan_at()).geometry.cropped == prepare(inverted, plan_at()).geometry.canonical


@pytest.mark.parametrize("shape", [(1, 1, 1), (20, 18, 1), (1, 18, 20), (3, 2, 1)])
@pytest.mark.parametrize("value", [0.0, 5.0, None])
def test_single_slices_and_constant_images_pass(shape, value, plan_at) -> None:
    plan = plan_at((0.8, 0.8, 0.8))
    data = np.random.default_rng(0).uniform(1, 9, (1, *shape)) if value is None else np.full((1, *shape), value)
    prepared = prepare(Volume(data, np.diag([1.0, 1.0, 4.0, 1.0])), plan)
    assert np.isfinite(prepared.image).all() and prepared.image.dtype == np.float32
    classes = np.full(prepared.image.shape[1:], 2)
    assert np.all(restore_labels(classes, prepared.geometry, plan) == 77)
    assert np.all(restore_logits(one_hot(classes, 3), prepared.geometry, plan) == 77)


def test_prepared_image_stays_in_range_after_cubic_interpolation(scan, plan_at) -> None:
    image = prepare(scan, plan_at((0.6, 0.6, 0.6))).image
    assert image.min() >= -0.5 and image.max() <= 1.5


def test_label_map_without_image_is_not_cropped(label_map, plan_at) -> None:
    plan = plan_at((1.0, 1.0, 1.0))
    geometry = prepare_grid(label_map.shape, np.diag([-1.0, 1.0, 1.0, 1.0]), plan)
    classes = prepare_labels(label_map, geometry, plan)
    assert classes.shape == label_map.shape
    assert np.array_equal(restore_labels(classes, geometry, plan), label_map)


def test_geometry_survives_json(scan, plan_at) -> None:
    geometry = prepare(scan, plan_at()).geometry
    again = Geometry.from_json(json.loads(json.dumps(geometry.to_json())))
    assert again == geometry and np.array_equal(again.affine, geometry.affine)


def test_unknown_label_values_are_named(scan, label_map, plan_at) -> None:
    plan = plan_at()
    geometry = prepare(scan, plan).geometry
    label_map[9, 9, 9], label_map[9, 10, 9] = 5, -1
    with pytest.raises(UserError, match=r"found -1, 5; expected values among 0, 2, 77"):
        prepare_labels(label_map, geometry, plan)


def test_wrong_number_of_channels_is_named(scan, plan_at) -> None:
    with pytest.raises(UserError, match=r"number of channels: found 2; expected 1 \(MRI\)"):
        prepare(Volume(np.repeat(scan.data, 2, axis=0), scan.affine), plan_at())


@pytest.mark.parametrize(
    ("edge", "message"),
    [(20.0, "too coarse for the model(.|\n)*20 x 20 x 20 mm"), (300.0, "too large for the model once it is resampled")],
)
def test_a_header_that_would_make_a_scan_huge_is_refused(plan_at, edge, message) -> None:
    data = np.random.default_rng(0).random((1, 9, 9, 9)).astype(np.float32)
    with pytest.raises(UserError, match=message):
        prepare(Volume(data, np.diag([edge, edge, edge, 1.0])), plan_at((1.0, 1.0, 1.0)))
    prepare(Volume(data, np.diag([5.0, 5.0, 5.0, 1.0])), plan_at((1.0, 1.0, 1.0)))
