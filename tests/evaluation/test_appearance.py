"""Changes of appearance: what they keep, and which method they recommend."""

import numpy as np
import pytest

from l2s_auto.evaluation.appearance import APPEARANCES, AS_THEY_ARE, CHANGES, changed, mean_of_changed
from l2s_auto.evaluation.recommendation import Scores, recommendation, recommended

SCAN = (1000 * np.random.default_rng(0).gamma(2.0, size=(1, 12, 13, 14)) - 500).astype(np.float32)


@pytest.mark.parametrize("name", APPEARANCES)
def test_a_change_is_the_same_every_time_and_keeps_type_and_shape(name):
    first, second = changed(SCAN, name), changed(SCAN.copy(), name)
    assert np.array_equal(first, second) and first.dtype == np.float32 and first.shape == SCAN.shape


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_does_not_depend_on_the_unit(name):
    """Twice the intensities are changed to twice of what they would be, up to what is random."""
    if name not in ("bias", "noise"):
        assert np.allclose(changed(2 * SCAN, name), 2 * changed(SCAN, name), rtol=1e-4, atol=1e-2)


def test_as_they_are_nothing_changes():
    assert np.array_equal(changed(SCAN, AS_THEY_ARE), SCAN)


def test_inverting_twice_is_nothing():
    assert np.allclose(changed(changed(SCAN, "inverted"), "inverted"), SCAN, atol=0.2)


def test_gamma_keeps_the_order_and_the_zigzag_does_not():
    order = np.argsort(SCAN.ravel())
    assert (np.diff(changed(SCAN, "gamma").ravel()[order]) >= 0).all()
    assert (np.diff(changed(SCAN, "not monotone").ravel()[order]) < 0).any()


def test_noise_is_as_strong_as_it_says():
    low, high = np.percentile(SCAN, (0.5, 99.5))
    added = (changed(SCAN, "noise") - SCAN) / (high - low)
    assert added.std() == pytest.approx(0.15, rel=0.05)


def test_a_constant_scan_stays_finite():
    for name in APPEARANCES:
        assert np.isfinite(changed(np.full((1, 4, 4, 4), 7.0), name)).all()


def test_slices_have_a_field_too():
    assert np.isfinite(changed(SCAN[:, :, :, :1], "bias")).all()


def test_mean_of_the_changes_leaves_the_scan_as_it_is_out():
    assert mean_of_changed({**dict.fromkeys(CHANGES, 0.5), AS_THEY_ARE: 1.0}) == pytest.approx(0.5)


def test_the_method_that_bears_changes_is_recommended():
    methods = {"supervised": Scores(0.87, 0.51), "learn2synth": Scores(0.85, 0.82)}
    assert recommended(methods) == "learn2synth"
    sentence = recommendation(methods)
    assert sentence.startswith("For these data learn2synth is recommended: Dice 0.850")
    but = "but loses 0.360 on changed ones (learn2synth 0.030)"
    assert f"supervised is more accurate by 0.020 on scans exactly like these, {but}" in sentence
    assert sentence.count(".") - sentence.count("0.") == 1, "one sentence"


def test_of_equal_ones_it_is_that_which_bears_changes_best_in_any_order():
    methods = {"a": Scores(0.85, 0.82), "b": Scores(0.858, 0.815)}
    assert recommended(methods) == recommended(dict(reversed(methods.items()))) == "a"


def test_a_method_alone_is_not_compared():
    assert "no other method" in recommendation({"learn2synth": Scores(0.85, 0.82)})
