"""Mean and deviation of each class: those that numpy gives for its voxels."""

from __future__ import annotations

import numpy as np
import pytest

from l2s_auto.core.plan import EnrichedLabel, GenerationPlan
from l2s_auto.preprocessing.intensities import class_intensities, grain

GENERATION = GenerationPlan(
    enriched=tuple(EnrichedLabel(name=str(i), target=i, generation_class=c) for i, c in enumerate((0, 1, 1, 2, 3)))
)


def test_are_those_of_the_classes_voxels() -> None:
    rng = np.random.default_rng(0)
    enriched = rng.integers(0, 4, (30, 20, 11)).astype(np.uint8)
    enriched[0, 0, :5] = 4
    image = (1000 + rng.normal(size=(2, 30, 20, 11)) * np.array([1, 3])[:, None, None, None]).astype(np.float32)
    found = class_intensities(image, enriched, GENERATION)
    assert found.shape == (3, 2, 4) and np.isnan(found[:, :, 3]).all(), "five voxels tell nothing"
    for number, members in enumerate(([0], [1, 2], [3])):
        voxels = image[:, np.isin(enriched, members)].astype(np.float64)
        assert np.allclose(found[0, :, number], voxels.mean(axis=1), rtol=1e-6)
        assert np.allclose(found[1, :, number], voxels.std(axis=1), rtol=1e-4)
        assert np.allclose(found[2, :, number], (1, 3), rtol=0.15)


@pytest.mark.parametrize("shape", [(40, 36, 32), (90, 80, 1), (1, 60, 70)])
def test_noise_is_not_what_changes_slowly_nor_at_edges(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(1)
    x, y = (np.arange(n, dtype=float) for n in shape[:2])
    slow = 0.004 * x[:, None, None] + 0.003 * y[None, :, None] + np.zeros(shape)
    classes = (y[None, :, None] > shape[1] / 2) * np.ones(shape, dtype=np.uint16)
    edges = 0.5 * (np.indices(shape).sum(axis=0) % 10 == 0)
    noise = np.where(classes > 0, 0.05, 0.02) * rng.normal(size=shape)
    found = grain((slow + classes + edges + noise).astype(np.float32), classes, 3)
    assert found[0] == pytest.approx(0.02, rel=0.35) and found[1] == pytest.approx(0.05, rel=0.35)
    assert np.isnan(found[2]), "a class without a voxel has none"
    assert found[1] < 0.5 * (slow + edges + noise)[classes > 0].std()


def test_noise_is_that_of_an_axis_along_which_nothing_was_interpolated() -> None:
    white = np.random.default_rng(2).normal(size=(40, 40, 41))
    between = (white[..., :-1] + white[..., 1:]) / 2
    twice = np.stack([white[..., :-1], between], axis=-1).reshape(40, 40, 80)
    found = grain(twice, np.zeros(twice.shape, np.uint16), 1)
    assert found[0] == pytest.approx(np.sqrt(0.75), rel=0.05), "half of the voxels have half of the variance"
    assert grain(np.ones((9, 9, 9)), np.zeros((9, 9, 9), np.uint16), 1)[0] == 0


def test_noise_of_a_large_scan_is_that_of_some_of_its_planes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("l2s_auto.preprocessing.intensities._PAIRS", 4000)
    values, classes = np.random.default_rng(3).normal(size=(40, 50, 30)), np.zeros((40, 50, 30), np.uint16)
    assert grain(values, classes, 1)[0] == pytest.approx(1, rel=0.1)
