"""Significant digits instead of decimals: nothing of a small scan is rounded away."""

import math

import pytest

from l2s_auto.core.digits import extent_in, relative, shown, significant
from tests.scaled import FACTORS, scaled


@pytest.mark.parametrize("value", [1.0, 0.7, 123.456, 9.99999, 0.00012345])
@pytest.mark.parametrize("factor", [1e-6, 0.001, 0.1, 1.0, 1000.0])
def test_digits_are_the_same_in_every_unit(value, factor):
    for digits in (3, 4, 6):
        rounded = significant(value * factor, digits)
        assert rounded == pytest.approx(value * factor, rel=0.5 * 10 ** (1 - digits))
        assert significant(rounded, digits) == rounded
        text = shown(value * factor)
        assert float(text) == pytest.approx(value * factor, rel=0.5e-3), "four digits, or more"


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.9765625, 0.9765625, 3.0), (0.7, 0.5, 2.1), (1.0, 3.0, 1.0)])
@pytest.mark.parametrize("factor", FACTORS)
def test_ratios_are_the_same_in_every_unit(spacing, factor):
    assert relative(scaled(spacing, factor)) == relative(spacing)
    assert min(relative(spacing)) == 1.0
    once_rounded = tuple(significant(edge, 6) for edge in scaled(spacing, factor))
    assert relative(once_rounded) == relative(spacing)


def test_a_voxel_of_one_millimetre_is_its_own_unit():
    assert relative((1.0, 1.0, 2.5)) == (1.0, 1.0, 2.5) and relative((4.0, 4.0)) == (1.0, 1.0)


@pytest.mark.parametrize("factor", FACTORS)
def test_halves_are_rounded_alike_in_every_unit(factor):
    for voxels in range(1, 200):
        for old, new, halves in ((1.5, 1.0, 3), (0.7, 1.4, 1), (2.5, 1.0, 5)):
            own, other = scaled((old, new), factor)
            assert extent_in(voxels, own, other) == extent_in(voxels, old, new)
            assert round(extent_in(voxels, own, other)) == round(voxels * halves / 2)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.008, "0.008"), (0.0081234, "0.008123"), (12.345678, "12.35"), (12345.678, "12346"), (24.0, "24"), (0, "0"),
     (1.5e-9, "1.5e-09"), (-0.5, "-0.5"), (0.99999, "1"), (100.0, "100"), (math.inf, "inf")],
)  # fmt: skip
def test_what_is_shown(value, text):
    assert shown(value) == text


def test_thousands_are_set_apart_where_that_is_wanted():
    assert shown(1234567.8, grouped=True) == "1,234,568" and shown(0.008, grouped=True) == "0.008"
