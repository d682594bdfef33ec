"""Clusters become regions: no salt and pepper, edges where they were, nothing outside of the mask."""

from __future__ import annotations

import cc3d
import numpy as np
import pytest
from scipy import ndimage

from l2s_auto.core.plan import EnrichedLabel, GenerationPlan
from l2s_auto.synthesis.classes import adapt, assign, enrich, target_of
from l2s_auto.synthesis.regions import SPECK, regular

WIDTH = (1.0, 1.0, 1.0)
MEANS = np.array([0.1, 0.5, 0.9])


def blocks(noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(image, region) of three slabs with a bar through them."""
    region = np.repeat([0, 1, 2], 8)[:, None, None] * np.ones((24, 20, 16), dtype=int)
    region[:, 8:12, 6:10] = 2
    return MEANS[region] + np.random.default_rng(seed).normal(0, noise, region.shape), region


def speckled(index: np.ndarray) -> float:
    """Share of the voxels in pieces of fewer than ten."""
    pieces = cc3d.connected_components(index.astype(np.uint8) + 1, connectivity=6)
    size = np.bincount(pieces.ravel())
    return float(np.mean(size[pieces] < SPECK))


def regularised(image: np.ndarray, centres: np.ndarray = MEANS) -> np.ndarray:
    where = np.ones(image.shape, dtype=bool)
    return regular(image, where, assign(image, centres), centres, width=WIDTH)


@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_a_clean_image_is_left_as_it_is(noise: float) -> None:
    image, region = blocks(noise)
    assert np.array_equal(regularised(image), region)


@pytest.mark.parametrize("noise", [0.15, 0.25])
def test_salt_and_pepper_goes_and_tissues_come_out(noise: float) -> None:
    image, region = blocks(noise)
    before, after = assign(image, MEANS), regularised(image)
    assert speckled(before) > 0.04 and speckled(after) == 0
    assert np.mean(after != region) < 0.5 * np.mean(before != region)


def test_is_deterministic_and_twice_is_nearly_once() -> None:
    image, _ = blocks(0.15)
    once = regularised(image)
    assert np.array_equal(once, regularised(image))
    where = np.ones(image.shape, dtype=bool)
    twice = regular(image, where, once, MEANS, width=WIDTH)
    assert np.mean(once != twice) < 0.01


def test_what_lies_outside_does_not_matter() -> None:
    image, _ = blocks(0.2)
    where = np.zeros(image.shape, dtype=bool)
    where[3:20, 2:15, 4:13] = True
    where[5:9, 6:9, 7:9] = False
    other = np.where(where, image, 7.0)
    first = assign(image, MEANS)
    assert np.array_equal(*(regular(x, where, first, MEANS, width=WIDTH)[where] for x in (image, other)))


def test_a_flip_flips_the_result() -> None:
    image, _ = blocks(0.2)
    assert np.array_equal(regularised(image[::-1])[::-1], regularised(image))


def test_thick_slices_do_not_smooth_into_each_other() -> None:
    rng = np.random.default_rng(0)
    region = rng.integers(0, 2, (6, 1, 1)) * np.ones((6, 20, 20), dtype=int)
    image = np.array([0.3, 0.7])[region] + rng.normal(0, 0.12, region.shape)
    where, centres = np.ones(image.shape, dtype=bool), np.array([0.3, 0.7])
    result = regular(image, where, assign(image, centres), centres, width=(0.1, 1.0, 1.0))
    assert np.mean(result == region) > 0.995


def test_a_speck_that_touches_no_larger_piece_stays() -> None:
    where = np.zeros((9, 9, 9), dtype=bool)
    where[1, 1, 1:4] = where[6:9, 6:9, 6:9] = True
    image = np.where(np.arange(9) > 5, 0.9, 0.1) * np.ones((9, 9, 9)) + 0.01 * np.arange(9)
    first = assign(image, MEANS)
    assert np.array_equal(regular(image, where, first, MEANS, width=WIDTH)[where], first[where])


@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 1, 4), (12, 12, 1)])
def test_single_voxels_and_slices(shape) -> None:
    image = np.random.default_rng(0).uniform(0, 1, shape)
    assert regularised(image).shape == shape
    first = assign(image, MEANS)
    assert np.array_equal(regular(image, np.zeros(shape, dtype=bool), first, MEANS, width=WIDTH), first)


def generation(*centres: float) -> GenerationPlan:
    tissue = [EnrichedLabel(name=f"c{i}", target=0, generation_class=i, centre=c) for i, c in enumerate(centres)]
    label = EnrichedLabel(name="label", target=1, generation_class=len(centres))
    return GenerationPlan(enriched=(*tissue, label), smoothing_mm=0.7)


def test_labels_as_they_are_never_change() -> None:
    image, _ = blocks(0.3)
    target = (np.random.default_rng(1).random(image.shape) < 0.3).astype(np.int64)
    plan = generation(*MEANS)
    assert np.array_equal(target_of(plan)[enrich(image[None], target, plan, WIDTH)], target)


@pytest.mark.parametrize("lacking", [0, 1, 2, 3])
@pytest.mark.parametrize("scale", [0.93, 1.0, 1.08])
@pytest.mark.parametrize("noise", [0.02, 0.08])
def test_a_cluster_is_the_same_tissue_also_in_a_case_that_lacks_one(lacking: int, scale: float, noise: float) -> None:
    rng = np.random.default_rng(lacking)
    means = np.array([0.1, 0.37, 0.63, 0.9])
    field = ndimage.gaussian_filter(rng.normal(size=(30, 30, 30)), 4)
    region = np.searchsorted(np.quantile(field, [0.33, 0.66]), field)
    region = np.delete(np.arange(4), lacking)[region]
    image = (scale * means[region] + rng.normal(0, noise, region.shape))[None]
    found = enrich(image, np.zeros(region.shape, dtype=np.int64), generation(*means), WIDTH)
    inside = np.abs(ndimage.maximum_filter(region, 5) - ndimage.minimum_filter(region, 5)) == 0
    assert np.mean(found[inside] == region[inside]) > 0.97


def test_a_centre_stays_between_the_midpoints_to_its_neighbours() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        centres = np.sort(rng.uniform(0, 1, 5))
        values = rng.normal(rng.uniform(0, 1), rng.uniform(0.01, 0.3), 500)
        moved, middles = adapt(values, centres), (centres[1:] + centres[:-1]) / 2
        assert np.all(moved[:-1] <= middles + 1e-9) and np.all(moved[1:] >= middles - 1e-9)


def test_the_centre_of_a_lacking_tissue_stays() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(0.2, 0.05, 5000), rng.normal(0.8, 0.05, 5000)])
    assert adapt(values, np.array([0.2, 0.5, 0.8])) == pytest.approx([0.2, 0.5, 0.8], abs=0.01)
