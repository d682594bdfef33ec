"""Training counts in voxels: plans that differ only in the size of their voxels train alike, bit by bit."""

import dataclasses

import pytest
import torch

from l2s_auto.core.component import Component
from l2s_auto.core.composition import Composition, uniform
from l2s_auto.core.recipe import Recipe
from l2s_auto.training.build import make_augmenter, make_generator
from tests.scaled import FACTORS, scaled

RANDOM = Composition(uniform())
EDGES = [(1.0, 1.0, 1.0), (0.9765625, 0.9765625, 3.0), (0.7, 1.3, 2.9)]


def at(plan, spacing, factor):
    return plan.model_copy(update={"spacing": scaled(spacing, factor), "patch": (12, 10, 8)})


@pytest.mark.parametrize("factor", [1e-5, *FACTORS])
@pytest.mark.parametrize("spacing", EDGES)
def test_synthetic_images_are_the_same(plan, spacing, factor):
    boxes = torch.randint(0, 4, (6, 16, 14, 12), generator=torch.Generator().manual_seed(0))
    made = []
    for f in (1.0, factor):
        generator = make_generator(at(plan, spacing, f), RANDOM, device=torch.device("cpu"))
        draw = generator.draw(6, torch.Generator().manual_seed(1))
        made.append((draw, generator.apply(boxes, draw)))
    (draw, own), (other_draw, other) = made
    assert torch.equal(draw.deformation.velocity, other_draw.deformation.velocity)
    assert torch.equal(draw.resolution.factor, other_draw.resolution.factor)
    assert torch.equal(own.image, other.image) and torch.equal(own.target, other.target)


def test_lengths_are_those_of_one_millimetre_voxels(plan):
    generator = make_generator(at(plan, (0.1, 0.1, 0.25), 1.0), RANDOM, device=torch.device("cpu"))
    assert generator.spacing == (1.0, 1.0, 2.5)
    deformation = generator.ranges.deformation
    assert dataclasses.astuple(deformation)[3:6] == (4.0, 1.4, 12.0)
    shift = generator.draw(500, torch.Generator().manual_seed(0)).deformation.shift.abs().amax()
    assert 3.9 < shift.item() <= 4.0, "four voxels, whatever their size"


@pytest.mark.parametrize("factor", [1e-5, *FACTORS])
@pytest.mark.parametrize("spacing", EDGES)
def test_augmenters_are_the_same_and_theta_is_read_in_millimetres(plan, spacing, factor):
    recipe = Recipe(augmenter=Component(name="blur+parametric"))
    image = torch.rand(2, 1, 12, 10, 8, generator=torch.Generator().manual_seed(0))
    found = []
    for f in (1.0, factor):
        augmenter = make_augmenter(at(plan, spacing, f), recipe)
        noise = augmenter.draw(image, torch.Generator().manual_seed(1))
        made = augmenter(image, noise)
        slopes = torch.autograd.grad(made.square().mean(), list(augmenter.parameters()))
        found.append((made, slopes, augmenter.bounded()))
    (own, slopes, read), (other, other_slopes, other_read) = found
    assert torch.equal(own, other) and all(map(torch.equal, slopes, other_slopes))
    assert other_read["blur_sigma"] == pytest.approx(read["blur_sigma"] * factor, rel=1e-5)
    assert read["blur_sigma"] == pytest.approx(0.5 * min(spacing), rel=1e-5)


@pytest.mark.parametrize("factor", FACTORS)
def test_adversarial_changes_are_the_same(plan, make_parts, factor):
    image = torch.rand(2, 1, 12, 10, 8, generator=torch.Generator().manual_seed(0))
    found = []
    for f in (1.0, factor):
        parts, method, _ = make_parts("advchain")
        chain = method.chain(dataclasses.replace(parts, plan=at(plan, EDGES[1], f)))
        values = chain.draw(image, torch.Generator().manual_seed(1))
        found.append(chain.positions((12, 10, 8), values))
    assert torch.equal(*found)
