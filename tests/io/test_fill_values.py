"""Voxels outside of the field of view are told from the image, and everything else is left as it is."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from l2s_auto.io.fill_values import fill_values, not_finite
from l2s_auto.io.repair import repair
from tests.io.scans_of_kinds import BRAIN, ORGAN, OUTSIDE, SHAPE, ct, mri

NOTHING_TO_DO = {
    "mri": lambda: mri(),
    "masked with 0": lambda: np.where(BRAIN, mri(), 0),
    "quantitative map masked with 0": lambda: np.where(BRAIN, 900 + mri() / 20, 0),
    "z-scores masked with 0": lambda: np.where(BRAIN, (mri() - 550) / 100, 0),
    "saturated at its top": lambda: mri().clip(0, 500),
    "metal, saturated": lambda: np.where(ndimage.binary_dilation(ORGAN), 2000 + mri(), mri()).clip(0, 2400),
    "a bright structure of one value": lambda: np.where(ORGAN, 5000, mri()),
    "three values": lambda: np.where(ORGAN, 1000, np.where(BRAIN, 100, 0)),
    "ct": lambda: ct(),
    "ct clipped at -1000": lambda: ct().clip(-1000),
    "brain of a ct, the rest air": lambda: np.where(BRAIN, ct().clip(0, 80), -1024),
    "noise": lambda: np.random.default_rng(0).normal(0, 1, SHAPE),
    "one damaged voxel": lambda: np.where(np.arange(mri().size).reshape(SHAPE) == 7, -32768, mri()),
    "one slice": lambda: mri()[:, :, :1],
}


@pytest.mark.parametrize("name", NOTHING_TO_DO)
def test_scans_without_a_fill_value_are_left_as_they_are(name: str) -> None:
    for dtype in (np.float32, None):
        image = NOTHING_TO_DO[name]()
        image = image if dtype is None else image.astype(dtype)
        before = image.copy()
        repaired = repair(image, ct=False)
        assert repaired.data is image and repaired.notes == () and np.array_equal(image, before)


@pytest.mark.parametrize(
    "fill", [-32768, -9999, -3024, -1024, -1000, -1, 65535, 32767, 1e30, -1e30, np.finfo(np.float32).min]
)
@pytest.mark.parametrize("outside", [OUTSIDE, ~BRAIN], ids=["circle", "mask"])
def test_what_is_outside_becomes_what_a_mask_of_zeros_leaves(fill: float, outside: np.ndarray) -> None:
    image = mri().astype(np.float32)
    (found,) = fill_values(np.where(outside, np.float32(fill), image))
    assert found.value == np.float32(fill) and found.count == outside.sum()
    repaired = repair(np.where(outside, np.float32(fill), image), ct=False)
    assert np.array_equal(repaired.data, np.where(outside, 0, image))
    assert f"the value {np.float32(fill):g}" in repaired.notes[0] and "set to 0" in repaired.notes[0]


def test_several_fill_values_at_one_end_are_all_found() -> None:
    image = np.where(OUTSIDE, -32768, mri()).astype(np.float32)
    image[:, :14] = -9999
    repaired = repair(image, ct=False)
    assert repaired.data.min() == 0 and len(repaired.notes) == 2
    assert "-32768" in repaired.notes[0] and "-9999" in repaired.notes[1]


def test_integers_stay_integers_where_they_can() -> None:
    image = np.where(OUTSIDE, np.int16(-32768), mri())
    assert repair(image, ct=False).data.dtype == np.int16
    wide = np.where(OUTSIDE, 65535, mri()).astype(np.uint16)
    assert repair(wide, ct=False).data.dtype == np.uint16
    assert repair(wide, ct=True).data.dtype == np.float32  # which air is below


def test_an_image_far_from_zero_is_filled_with_its_own_minimum() -> None:
    image = (30_000 + mri()).astype(np.float32)
    image[:4] = -1e6
    repaired = repair(image, ct=False)
    assert np.array_equal(repaired.data, np.maximum(image, image[4:].min()))
    assert "the smallest of the others" in repaired.notes[0]


def test_much_of_it_becomes_the_zeros_that_do_not_count() -> None:
    image = np.where(BRAIN, 30_000 + mri(), -1e6).astype(np.float32)
    assert np.array_equal(repair(image, ct=False).data, np.where(BRAIN, image, 0))


def test_a_fill_value_at_each_end() -> None:
    image = mri().astype(np.float32)
    image[:3], image[-3:] = -32768, 32767
    low, high = fill_values(image)
    assert (low.value, high.value) == (-32768, 32767)
    assert low.lowest == high.lowest == image[3:-3].min() and low.highest == image[3:-3].max()
    assert repair(image, ct=False).data.max() == image[3:-3].max()


def test_what_interpolation_makes_at_the_border_of_a_fill_value_is_outside_too() -> None:
    shape = (80, 80, 80)
    grid = np.stack(np.meshgrid(*[np.arange(n) - 40 for n in shape], indexing="ij"))
    ball = (grid**2).sum(axis=0) < 36**2
    image = np.where(ball, 400 + np.random.default_rng(0).normal(0, 40, shape), -32768).astype(np.float32)
    turned = ndimage.zoom(image, 1.1, order=1)
    repaired = repair(turned, ct=False).data
    assert repaired.min() >= -2000 and (repaired < 0).mean() < 1e-3


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_nan_around_the_image_is_outside(value: float) -> None:
    image = np.where(BRAIN, mri(), value).astype(np.float32)
    image[18:20, 18:20, 12] = value  # a hole in the mask
    repaired = repair(image, ct=False)
    assert np.array_equal(repaired.data, np.where(np.isfinite(image), image, 0)) and "NaN" in repaired.notes[0]


@pytest.mark.parametrize(
    "broken",
    [
        np.where(np.random.default_rng(0).random(SHAPE) < 0.05, np.nan, mri()),
        np.where(ORGAN, np.nan, mri()),
        np.where(np.arange(mri().size).reshape(SHAPE) < 3, np.nan, mri()),
        np.full(SHAPE, np.nan),
    ],
    ids=["scattered", "inside", "three voxels", "all"],
)
def test_nan_in_the_image_is_damage(broken: np.ndarray) -> None:
    assert not_finite(broken) is None and repair(broken, ct=False).data is broken


def test_numbers_below_air_are_left_to_the_normalisation_of_a_ct() -> None:
    for value in (-2000, -3024, -32768):
        image = np.where(OUTSIDE, np.int16(value), ct())
        repaired = repair(image, ct=True)
        assert repaired.data is image and repaired.notes == () and repaired.units.kind == "hounsfield"


@pytest.mark.parametrize("value", [np.nan, 32767.0])
def test_the_outside_of_a_ct_becomes_air(value: float) -> None:
    repaired = repair(np.where(OUTSIDE, np.float32(value), ct().astype(np.float32)), ct=True)
    assert (repaired.data[OUTSIDE] == -1024).all() and np.array_equal(repaired.data[~OUTSIDE], ct()[~OUTSIDE])
    assert "set to air" in repaired.notes[0]
