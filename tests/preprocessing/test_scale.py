"""What a network reads does not depend on the size of the voxels, only on their ratios."""

import numpy as np
import pytest

from l2s_auto.core.plan import EnrichedLabel, GenerationPlan
from l2s_auto.core.types import Volume
from l2s_auto.preprocessing.pipeline import prepare, prepare_labels, restore_labels
from l2s_auto.preprocessing.resample import coarse_axes, resampled_shape
from l2s_auto.preprocessing.spline import slice_axis
from l2s_auto.synthesis.classes import enrich
from tests.scaled import FACTORS, scaled, scaled_affine

GRIDS = [(1.0, 1.0, 1.0), (0.9, 0.8, 1.7), (0.8, 1.1, 2.0), (0.3, 0.3, 0.9)]


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("spacing", GRIDS)
@pytest.mark.parametrize("resampling", ["smooth", "spline"])
def test_a_scaled_scan_becomes_the_same_image(scan, label_map, plan_at, spacing, factor, resampling):
    found = []
    for f in (1.0, factor):
        plan = plan_at(scaled(spacing, f), resampling=resampling)
        prepared = prepare(Volume(data=scan.data.copy(), affine=scaled_affine(scan.affine, f)), plan)
        target = prepare_labels(label_map, prepared.geometry, plan)
        found.append((prepared.image, target, restore_labels(target, prepared.geometry, plan)))
    for own, other in zip(*found, strict=True):
        assert np.array_equal(own, other)


@pytest.mark.parametrize("factor", [1e-5, *FACTORS])
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 3.0), (0.7, 0.7, 2.1), (0.7, 0.7, 2.2), (0.5, 1.6, 0.5)])
def test_slices_are_those_more_than_three_times_as_thick(spacing, factor):
    expected = tuple(axis for axis, edge in enumerate(spacing) if round(edge / min(spacing), 3) > 3)
    assert coarse_axes(scaled(spacing, factor)) == expected
    assert slice_axis(scaled(spacing, factor), (factor,) * 3) == (expected[0] if expected else None)


@pytest.mark.parametrize("factor", [1e-5, *FACTORS])
def test_half_a_voxel_is_rounded_alike(factor):
    for n in range(1, 60):
        shape = resampled_shape((n, n, n), scaled((1.5, 0.7, 1.0), factor), scaled((1.0, 1.4, 1.0), factor))
        assert shape == tuple(max(1, round(x)) for x in (1.5 * n, 0.5 * n, n))


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.9765625, 0.9765625, 3.0)])
def test_tissue_is_told_apart_alike(spacing, factor):
    rng = np.random.default_rng(0)
    image = rng.uniform(0, 1, (1, 20, 22, 18)).astype(np.float32)
    target = np.zeros(image.shape[1:], dtype=np.int64)
    clusters = tuple(
        EnrichedLabel(name=str(c), target=0, generation_class=i, centre=c) for i, c in enumerate((0.3, 0.6))
    )

    def split(f: float) -> np.ndarray:
        return enrich(
            image, target, GenerationPlan(enriched=clusters, smoothing_mm=0.7 * min(spacing) * f), scaled(spacing, f)
        )

    assert np.array_equal(split(factor), split(1.0))
