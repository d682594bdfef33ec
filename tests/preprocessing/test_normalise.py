from __future__ import annotations

import numpy as np
import pytest

from l2s_auto.core.plan import Normalisation
from l2s_auto.preprocessing.normalise import finite, normalise

PERCENTILE = (Normalisation(scheme="percentile", lower=0.5, upper=99.5),)
FIXED = (Normalisation(scheme="fixed", lower=-500, upper=500),)


@pytest.mark.parametrize(("gain", "offset"), [(1.0, 0.0), (3e5, 0.0), (1e-4, 0.0), (2.5, 100.0), (0.3, -1e4)])
def test_gain_and_offset_do_not_matter(gain, offset) -> None:
    image = np.random.default_rng(0).gamma(2, 100, (1, 12, 13, 14)).astype(np.float32) + 1
    np.testing.assert_allclose(normalise(gain * image + offset, PERCENTILE), normalise(image, PERCENTILE), atol=2e-4)


def test_percentiles_become_0_and_1_and_the_range_is_clipped() -> None:
    image = np.linspace(0, 1000, 10_000).reshape(1, 10, 10, 100).copy()
    image[0, 0, 0, 0], image[0, -1, -1, -1] = -1e6, 1e6
    out = normalise(image, PERCENTILE)
    assert np.percentile(out, [0.5, 99.5]) == pytest.approx([0, 1], abs=1e-3)
    assert out.dtype == np.float32 and out.min() == -0.5 and out.max() == 1.5


def test_many_zeros_are_not_counted() -> None:
    image = np.zeros((1, 10, 10, 10))
    image[0, :, :, :5] = np.random.default_rng(0).uniform(100, 200, (10, 10, 5))
    out = normalise(image, PERCENTILE)
    assert np.all(out[0, :, :, 5:] == -0.5)
    assert np.percentile(out[0, :, :, :5], [0.5, 99.5]) == pytest.approx([0, 1], abs=1e-3)


def test_fixed_scheme_keeps_units() -> None:
    image = np.array([-2000, -1000, -500, 0, 40, 500, 3000.0]).reshape(1, 7, 1, 1)
    assert normalise(image, FIXED).ravel() == pytest.approx([-0.5, -0.5, 0, 0.5, 0.54, 1, 1.5])


@pytest.mark.parametrize("value", [0.0, 7.0, -3e8])
def test_constant_image_becomes_zero(value) -> None:
    assert np.array_equal(normalise(np.full((1, 4, 4, 4), value), PERCENTILE), np.zeros((1, 4, 4, 4)))


def test_few_bright_voxels_in_a_constant_image_survive() -> None:
    image = np.zeros((1, 20, 20, 20))
    image[0, 3, 4, 5] = 9
    image[0, 3, 4, 6] = 18
    out = normalise(image + 1, PERCENTILE)
    assert out[0, 3, 4, 6] == 1 and out[0, 3, 4, 5] == pytest.approx(0.5) and out[0, 0, 0, 0] == 0


def test_nan_and_inf_become_the_minimum_with_a_warning() -> None:
    image = np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4) + 5
    broken = image.copy()
    broken[0, 0, 0, :3] = np.nan, np.inf, -np.inf
    with pytest.warns(UserWarning, match="3 of 24 voxels are NaN or infinite"):
        out = finite(broken)
    assert np.all(out[0, 0, 0, :3] == 8) and np.array_equal(out.ravel()[3:], image.ravel()[3:])
    assert np.isnan(broken[0, 0, 0, 0]), "the input is left alone"


def test_an_image_of_nan_only_becomes_zero() -> None:
    with pytest.warns(UserWarning, match="NaN"):
        assert np.array_equal(normalise(np.full((1, 2, 2, 2), np.nan), PERCENTILE), np.zeros((1, 2, 2, 2)))
