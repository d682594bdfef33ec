"""Bias and noise: theta as given, levels of noise, starts from the fingerprint."""

import pytest
import torch

from l2s_auto.augmenters import AUGMENTERS, Parametric, ParametricRange, Rician
from l2s_auto.augmenters.fields import log_fields
from l2s_auto.augmenters.starts import USUAL_NOISE, noise_start
from tests.augmenters.common import generation, generator

SILENCE = {"exponents": (0, 0, 0)}
FLAT = torch.zeros(40, 1, 24, 24, 24)


@pytest.mark.parametrize("name", ["parametric", "parametric-random"])
@pytest.mark.parametrize("exponents", [(0.1, 0.5, 0.9), (1, 0, 0), (0.8, 0.8, 0.8)])
def test_theta_reads_as_it_was_given(name, exponents):
    read = AUGMENTERS[name](exponents=exponents, sigma=0.07).bounded()
    assert list(read) == ["exponent_low", "exponent_middle", "exponent_high", "sigma"]
    assert list(read.values()) == pytest.approx([*exponents, 0.07])


def test_a_range_reads_as_it_was_given_and_its_ends_never_cross():
    model = ParametricRange(sigma_min=0.025, sigma_max=0.2)
    assert list(model.bounded().values())[3:] == pytest.approx([0.025, 0.2])
    with torch.no_grad():
        model.raw_width.fill_(-3.0)
    assert model.bounded()["sigma_max"] > model.bounded()["sigma_min"]


def test_bias_is_the_product_of_fields_with_their_exponents():
    image = torch.ones(2, 1, 9, 8, dtype=torch.float64)
    model = Parametric(exponents=(1, 0, 0.5), sigma=0).double()
    noise = model.draw(image, generator())
    low, _, high = (log.exp() for log in log_fields(noise, image.shape[2:]))
    torch.testing.assert_close(model(image, noise), low * high.sqrt())


def levels(model):
    return model(FLAT, model.draw(FLAT, generator())).flatten(1).std(1)


def test_noise_has_the_level_asked_for():
    assert levels(Parametric(**SILENCE, sigma=0.1)).tolist() == pytest.approx([0.1] * 40, rel=0.05)


def test_random_noise_has_a_normal_level():
    found = levels(AUGMENTERS["parametric-random"](**SILENCE, sigma=0.1))
    assert found.square().mean().sqrt().item() == pytest.approx(0.1, rel=0.25)
    assert found.min() < 0.03 and found.max() > 0.15


def test_a_range_of_noise_is_filled_evenly():
    found = levels(ParametricRange(**SILENCE, sigma_min=0.025, sigma_max=0.2))
    assert 0.02 < found.min() < 0.05 and 0.175 < found.max() < 0.21
    assert found.mean().item() == pytest.approx(0.1125, abs=0.02)


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        ("parametric", {"exponents": (0.5, 0.5)}, "3 exponents"),
        ("parametric", {"exponents": (-0.1, 0.5, 0.5)}, "exponents in"),
        ("parametric", {"sigma": -0.1}, "sigma >= 0"),
        ("parametric-range", {"sigma_min": -0.1}, "sigma_min >= 0"),
        ("parametric-range", {"sigma_min": 0.2, "sigma_max": 0.1}, "sigma_max - sigma_min >= 0"),
    ],
)
def test_impossible_starts_are_errors(name, wrong, message):
    with pytest.raises(ValueError, match=message):
        AUGMENTERS[name](**wrong)


def test_noise_starts_no_stronger_than_the_quietest_tissue_allows():
    assert noise_start(None) == noise_start(generation(priors=False)) == USUAL_NOISE
    assert noise_start(generation(stds=(0.0, 0.02, 0.05))) == 0.02, "air says nothing"
    assert noise_start(generation(stds=(0.0, 0.2, 0.3))) == USUAL_NOISE


@pytest.mark.parametrize("model", [Parametric, Rician])
def test_a_start_that_is_given_counts(model):
    known = generation(stds=(0.0, 0.02, 0.05))
    assert list(model(generation=known).bounded().values())[-1] == pytest.approx(0.02)
    assert list(model(generation=known, sigma=0.1).bounded().values())[-1] == pytest.approx(0.1)
    assert ParametricRange(generation=known).bounded()["sigma_max"] == pytest.approx(0.02)
