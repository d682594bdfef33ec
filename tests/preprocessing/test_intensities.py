"""Mean and deviation of each class: those that numpy gives for its voxels."""

from __future__ import annotations

import numpy as np

from l2s_auto.core.plan import EnrichedLabel, GenerationPlan
from l2s_auto.preprocessing.intensities import class_intensities

GENERATION = GenerationPlan(
    enriched=tuple(EnrichedLabel(name=str(i), target=i, generation_class=c) for i, c in enumerate((0, 1, 1, 2, 3)))
)


def test_are_those_of_the_classes_voxels() -> None:
    rng = np.random.default_rng(0)
    enriched = rng.integers(0, 4, (30, 20, 11)).astype(np.uint8)
    enriched[0, 0, :5] = 4
    image = (1000 + rng.normal(size=(2, 30, 20, 11)) * np.array([1, 3])[:, None, None, None]).astype(np.float32)
    found = class_intensities(image, enriched, GENERATION)
    assert found.shape == (2, 2, 4) and np.isnan(found[:, :, 3]).all(), "five voxels tell nothing"
    for number, members in enumerate(([0], [1, 2], [3])):
        voxels = image[:, np.isin(enriched, members)].astype(np.float64)
        assert np.allclose(found[0, :, number], voxels.mean(axis=1), rtol=1e-6)
        assert np.allclose(found[1, :, number], voxels.std(axis=1), rtol=1e-4)
