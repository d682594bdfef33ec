"""Families of training images that are rendered from label maps: which mean and deviation each class has."""

import pytest
import torch

from l2s_auto.core.composition import Composition, uniform
from l2s_auto.core.plan import ClassPrior, EnrichedLabel, GenerationPlan
from l2s_auto.synthesis.families import RENDERED
from l2s_auto.synthesis.families.real_like import LEAST_STD
from l2s_auto.synthesis.generator import Generator
from tests.synthesis.made import known, random

CPU = torch.device("cpu")


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("name", RENDERED)
def test_rendered_families_give_each_class_a_mean_and_a_deviation(name, channels):
    mixtures = [RENDERED[name].mixture(5, known(channels=channels, spread=0.1), random(seed)) for seed in (1, 1, 2)]
    assert mixtures[0].mean.shape == mixtures[0].std.shape == (5, channels, 3) and (mixtures[0].std > 0).all()
    assert torch.equal(mixtures[0].mean, mixtures[1].mean) and not torch.equal(mixtures[0].mean, mixtures[2].mean)


def test_real_like_images_have_the_statistics_of_the_real_ones():
    mixture = RENDERED["real-like"].mixture(4000, known((0.3, 0.5, 0.9), spread=0.02), random())
    torch.testing.assert_close(mixture.mean.mean((0, 1)), torch.tensor([0.3, 0.5, 0.9]), atol=0.002, rtol=0)
    torch.testing.assert_close(mixture.mean.std((0, 1)), torch.full((3,), 0.02), atol=0.002, rtol=0)
    assert mixture.std.min() == pytest.approx(LEAST_STD), "a deviation is never below the least"


def test_reversed_images_exchange_dark_and_bright_but_air_stays_dark():
    mixture = RENDERED["reversed"].mixture(5, known((0.01, 0.2, 0.9)), random())
    torch.testing.assert_close(mixture.mean, torch.tensor([0.01, 0.8, 0.1]).expand(5, 1, 3))


def test_a_dark_label_is_a_fluid_that_is_bright_when_reversed():
    """Air is a class that nobody labelled; the generator knows which."""
    values = {"mean_spread": (0.0,), "std": (0.01,), "std_spread": (0.0,)}
    generation = GenerationPlan(
        enriched=(
            EnrichedLabel(name="air", target=0, generation_class=0, centre=0.02),
            EnrichedLabel(name="tissue", target=0, generation_class=1, centre=0.8),
            EnrichedLabel(name="fluid", target=1, generation_class=2),
        ),
        priors=tuple(ClassPrior(mean=(m,), **values) for m in (0.02, 0.8, 0.03)),
    )
    given = {"channels": 1, "spacing": (1.0,) * 3, "shape": (8, 10, 6), "composition": Composition({"reversed": 1.0})}
    draw = Generator(generation, device=CPU, **given).draw(3, random())
    torch.testing.assert_close(draw.mixture.mean, torch.tensor([0.02, 0.2, 0.97]).expand(3, 1, 3))


@pytest.mark.parametrize("name", uniform())
def test_random_contrasts_need_no_real_image_and_are_uniform(name):
    mixture = RENDERED[name].mixture(4000, known(()), random())
    assert mixture.mean.mean().item() == pytest.approx(0.5, abs=0.02)
    assert mixture.mean.std().item() == pytest.approx(12**-0.5, abs=0.02)
    assert mixture.std.min() >= 0.01 and mixture.std.max() <= 0.12


def test_random_contrasts_tell_tissues_or_labels_apart():
    structures, tissues = (0, 1, 2, 2), (0, 1, 0, 1)
    given = known((0.1, 0.2, 0.3, 0.4), structures=structures, tissues=tissues)
    of_tissues, of_labels = (RENDERED[name].mixture(50, given, random()) for name in uniform())
    for mixture, alike, different in ((of_tissues, (0, 2), (2, 3)), (of_labels, (2, 3), (0, 2))):
        assert torch.equal(mixture.mean[..., alike[0]], mixture.mean[..., alike[1]])
        assert torch.equal(mixture.std[..., alike[0]], mixture.std[..., alike[1]])
        assert not torch.equal(mixture.mean[..., different[0]], mixture.mean[..., different[1]])


def test_without_tissues_structures_are_told_apart_in_both():
    given = known((), structures=(0, 1, 1))
    for name in uniform():
        mean = RENDERED[name].mixture(50, given, random()).mean
        assert torch.equal(mean[..., 1], mean[..., 2]) and not torch.equal(mean[..., 0], mean[..., 1])
