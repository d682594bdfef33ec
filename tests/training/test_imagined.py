"""Synthetic images of whole label maps, on which a training without images is validated."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from l2s_auto.training import validate
from l2s_auto.training.imagined import IMAGES, imagine, imagined
from l2s_auto.training.validate import mean_dice, to_check


@pytest.fixture
def parts(make_parts):
    return make_parts("synthseg")[0]


@pytest.fixture
def maps(cases):
    return [replace(case, image=None) for case in cases]


def test_each_map_has_images_of_its_own_contrasts_that_are_always_the_same(parts, maps):
    first, again = imagined(parts, maps[:2]), imagined(parts, maps[:2])
    assert len(first) == 2 * IMAGES and {case.id for case in first} == {"case_0", "case_1"}
    before = parts.random.get_state()
    for one, two in zip(first, again, strict=True):
        image = one.image
        assert image.shape == (1, *one.enriched.shape) and image.dtype == np.float32 and np.isfinite(image).all()
        np.testing.assert_array_equal(image, two.image)
    assert torch.equal(parts.random.get_state(), before)  # the training goes on as without it
    means = [[one.image[0][one.enriched == label].mean() for label in range(4)] for one in first]
    assert all(np.abs(np.subtract(a, b)).max() > 0.02 for i, a in enumerate(means) for b in means[i + 1 :])


def test_an_image_shows_its_label_map_where_it_is(parts, maps):
    """Neither deformed nor mirrored: with the same contrast, the borders are where the labels change."""
    enriched = np.asarray(maps[0].enriched)
    apart = []
    for seed in range(20):
        image = imagine(parts, enriched, seed=seed)[0]
        inside = [image[enriched == label] for label in range(4)]
        between = np.var([part.mean() for part in inside])
        apart.append(between / np.mean([part.var() for part in inside]))
    assert np.median(apart) > 1  # of an image that lies elsewhere, classes would differ by no more than by chance


def test_only_cases_without_images_are_imagined(parts, cases, maps):
    found = to_check(parts, [cases[0], maps[1]])
    assert found[0] is cases[0] and [case.id for case in found[1:]] == ["case_1"] * IMAGES


def test_dice_is_measured_on_them(parts, maps, monkeypatch):
    """A network that knows the images has the Dice 1, one that finds nothing 0."""
    checked = to_check(parts, maps[:2])
    targets = parts.generator.target_of.numpy()
    truth = [targets[case.enriched] for case in checked]
    answers = iter(truth)
    monkeypatch.setattr(validate, "sliding_window_classes", lambda *_: torch.from_numpy(next(answers).copy()))
    assert mean_dice(parts, {}, checked) == 1.0
    answers = iter([np.zeros_like(one) for one in truth])
    assert mean_dice(parts, {}, checked) == 0.0
    assert mean_dice(parts, {}, []) is None
