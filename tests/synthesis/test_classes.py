from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from l2s_auto.core.plan import EnrichedLabel, GenerationPlan
from l2s_auto.synthesis.classes import adapt, assign, class_of, enrich, enriched_type, target_of

SPACING = (1.0, 1.0, 1.0)


def plan(*centres: float, smoothing: float = 0.0) -> GenerationPlan:
    """Clusters of background, and two labels that share a generation class."""
    n = len(centres)
    clusters = [EnrichedLabel(name=f"c{i}", target=0, generation_class=i, centre=c) for i, c in enumerate(centres)]
    labels = [EnrichedLabel(name=f"l{t}", target=t, generation_class=n) for t in (1, 2)]
    return GenerationPlan(enriched=(*clusters, *labels), smoothing_mm=smoothing)


def tissue(means, noise=0.03, seed=0) -> tuple[np.ndarray, np.ndarray]:
    """((1, *S) image, which of `means` each voxel has), smooth regions."""
    rng = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(rng.normal(size=(24, 24, 24)), 3)
    region = np.searchsorted(np.quantile(field, np.linspace(0, 1, len(means) + 1)[1:-1]), field)
    return (np.array(means)[region] + rng.normal(0, noise, field.shape))[None].astype(np.float32), region


def test_lookups() -> None:
    generation = plan(0.2, 0.8)
    assert target_of(generation).tolist() == [0, 0, 1, 2] and class_of(generation).tolist() == [0, 1, 2, 2]
    assert enriched_type(generation) == np.uint8


def test_target_is_kept_exactly() -> None:
    image, _ = tissue([0.2, 0.5, 0.9])
    target = np.random.default_rng(1).integers(0, 3, image.shape[1:])
    generation = plan(0.2, 0.5, 0.9)
    enriched = enrich(image, target, generation, SPACING)
    assert enriched.dtype == np.uint8 and np.array_equal(target_of(generation)[enriched], target)


@pytest.mark.parametrize("shift", [0.0, 0.08, -0.08])
def test_clusters_are_the_tissues_also_in_a_shifted_case(shift) -> None:
    image, region = tissue([0.2, 0.5, 0.8])
    enriched = enrich(image + shift, np.zeros(region.shape, dtype=np.int64), plan(0.2, 0.5, 0.8), SPACING)
    assert np.mean(enriched == region) > 0.99


def test_cluster_order_follows_the_centres_not_the_list() -> None:
    image, region = tissue([0.2, 0.8])
    enriched = enrich(image, np.zeros(region.shape, dtype=np.int64), plan(0.8, 0.2), SPACING)
    assert np.mean(enriched == 1 - region) > 0.999


def test_a_tissue_goes_on_across_the_border_of_a_label() -> None:
    image, region = tissue([0.2, 0.5, 0.8])
    target = np.zeros(region.shape, dtype=np.int64)
    target[8:16, 6:18, 6:18] = 1
    centres = (0.2, 0.5, 0.8)
    parts = [
        EnrichedLabel(name=f"{t} {i}", target=t, generation_class=3 * t + i, centre=c)
        for t in (1, 0)
        for i, c in enumerate(centres)
    ]
    generation = GenerationPlan(enriched=tuple(parts))
    enriched = enrich(image, target, generation, SPACING)
    assert np.array_equal(target_of(generation)[enriched], target)
    assert np.mean(class_of(generation)[enriched] % 3 == region) > 0.99
    alone = enrich(image, np.zeros_like(target), GenerationPlan(enriched=tuple(parts[3:])), SPACING)
    assert np.array_equal(enriched % 3, alone), "the tissues do not depend on the labels"


def test_smoothing_finds_more_of_noisy_tissue() -> None:
    image, region = tissue([0.3, 0.7], noise=0.4)
    target = np.zeros(region.shape, dtype=np.int64)
    rough = np.mean(enrich(image, target, plan(0.3, 0.7), SPACING) == region)
    smooth = np.mean(enrich(image, target, plan(0.3, 0.7, smoothing=1.0), SPACING) == region)
    assert smooth > 0.9 and smooth > rough


def test_smoothing_is_in_millimetres() -> None:
    image = np.zeros((1, 9, 9, 9), dtype=np.float32)
    image[0, 4] = 1
    target = np.zeros((9, 9, 9), dtype=np.int64)
    near = enrich(image, target, plan(0.0, 0.9, smoothing=2.0), (20.0, 1.0, 1.0))
    assert np.all(near[4] == 1) and np.all(near[3] == 0), "across thick slices nothing is smoothed"


def test_empty_cluster_keeps_its_centre_and_constant_values_change_nothing() -> None:
    centres = np.array([0.1, 0.5, 5.0])
    assert adapt(np.array([0.1, 0.2, 0.6, 0.7]), centres) == pytest.approx([0.15, 0.65, 5.0], abs=0.01)
    assert np.array_equal(adapt(np.full(9, 0.4), centres), centres)
    assert np.array_equal(adapt(np.zeros(0), centres), centres)


def test_assign_is_nearest_centre() -> None:
    values, centres = np.random.default_rng(0).uniform(0, 1, (5, 6)), np.array([0.1, 0.4, 0.45, 0.9])
    assert np.array_equal(assign(values, centres), np.abs(values[..., None] - centres).argmin(axis=-1))


def test_without_clusters_no_image_is_needed() -> None:
    whole = [EnrichedLabel(name=str(t), target=t, generation_class=t) for t in range(3)]
    generation = GenerationPlan(enriched=(whole[2], whole[0], whole[1]))
    target = np.random.default_rng(0).integers(0, 3, (4, 5, 6))
    for image in (None, np.zeros((0, 4, 5, 6))):
        assert np.array_equal(enrich(image, target, generation, SPACING), (target + 1) % 3)


@pytest.mark.parametrize("shape", [(1, 1, 1), (7, 1, 5)])
def test_single_slices_and_constant_images(shape) -> None:
    enriched = enrich(np.zeros((1, *shape)), np.zeros(shape, dtype=np.int64), plan(0.2, 0.8, smoothing=0.7), SPACING)
    assert np.all(enriched == 0)


def test_many_labels_need_a_wider_type() -> None:
    labels = tuple(EnrichedLabel(name=str(t), target=t, generation_class=0) for t in range(300))
    target = np.arange(300).reshape(10, 10, 3)
    enriched = enrich(None, target, GenerationPlan(enriched=labels), SPACING)
    assert enriched.dtype == np.int16 and np.array_equal(enriched, target)
