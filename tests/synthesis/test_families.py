"""Families of training images that are made of scans, each on its own and through the generator."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from l2s_auto.core.composition import OF_TISSUES, RANDOM_CURVE, RECONTRASTED, Composition, uniform
from l2s_auto.core.plan import ClassPrior, EnrichedLabel, GenerationPlan
from l2s_auto.synthesis.deform import DeformationRanges
from l2s_auto.synthesis.families import FROM_SCANS
from l2s_auto.synthesis.families.random_curve import FEWEST, MOST, through_curve
from l2s_auto.synthesis.families.recontrasted import STRONGEST, class_means
from l2s_auto.synthesis.generator import Generator, Ranges
from l2s_auto.synthesis.intensity import rescale
from l2s_auto.synthesis.like_nnunet import changed_like_nnunet
from tests.synthesis.made import known, random

SHAPES = [(8, 10, 6), (11, 12), (1, 12, 9), (8, 9, 1)]
CPU = torch.device("cpu")
IGNORED = 3
STILL = Ranges(deformation=DeformationRanges(rotation=0, scale=0, shear=0, translation=0, elastic=0, flip=0))


def scan_of(shape, *, batch=3, channels=1, classes=3):
    """Scans of classes with means of their own, and texture in each."""
    index = torch.randint(0, classes, (batch, *shape), generator=random(1))
    means = torch.rand(batch, channels, classes, generator=random(2))
    flat = means.gather(2, index.flatten(1)[:, None].expand(-1, channels, -1)).view(batch, channels, *shape)
    return flat + 0.05 * torch.randn(flat.shape, generator=random(3)), index


def generator_of(shape, *, channels=1, families=None, ranges=None, ignored=False, **options):
    enriched = [
        EnrichedLabel(name="dark tissue", target=0, generation_class=0, centre=0.2),
        EnrichedLabel(name="bright tissue", target=0, generation_class=1, centre=0.8),
        EnrichedLabel(name="left", target=1, generation_class=2),
        EnrichedLabel(name="right", target=IGNORED if ignored else 2, generation_class=2),
    ]
    values = {"mean_spread": (0.01,) * channels, "std": (0.02,) * channels, "std_spread": (0.001,) * channels}
    priors = tuple(ClassPrior(mean=(m,) * channels, **values) for m in (0.2, 0.8, 0.5))
    return Generator(
        GenerationPlan(enriched=tuple(enriched), priors=priors),
        channels=channels,
        spacing=(1.0,) * len(shape),
        shape=shape,
        composition=Composition(families or uniform()),
        device=CPU,
        ranges=ranges,
        **options,
    )


def boxes_of(shape, *, batch=3, labels=4):
    return torch.randint(0, labels, (batch, *shape), generator=random(4))


# Every family


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", FROM_SCANS)
def test_a_draw_makes_the_same_images_of_scans_twice_and_another_makes_others(name, shape, channels):
    family, given = FROM_SCANS[name], known(channels=channels, shape=shape)
    scans, classes = scan_of(shape, channels=channels)
    before = scans.clone()
    draws = [family.draw(3, given, random(seed)) for seed in (7, 7, 8)]
    assert all(len(value) == 3 for value in draws[0].values())
    one, two, other = (family(scans, classes, drawn, given) for drawn in draws)
    assert one.shape == scans.shape and one.dtype == scans.dtype and one.isfinite().all()
    assert torch.equal(one, two) and not torch.allclose(one, other) and torch.equal(scans, before)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", FROM_SCANS)
def test_an_image_of_a_scan_does_not_depend_on_the_others_of_its_batch(name, shape):
    generator, boxes = generator_of(shape, channels=2), boxes_of(shape)
    scans = torch.rand(3, 2, *shape, generator=random(5))
    draw = generator.draw_scans((name,) * 3, random())
    whole = generator.from_scans(scans, boxes, draw)
    for piece in (slice(0, 1), slice(1, 3)):
        part = generator.from_scans(scans[piece], boxes[piece], draw.of(piece))
        torch.testing.assert_close(part.image, whole.image[piece], atol=1e-5, rtol=1e-5)
        assert torch.equal(part.target, whole.target[piece])


@pytest.mark.parametrize("shape", SHAPES)
def test_several_families_in_one_batch_are_in_the_order_that_is_asked_for(shape):
    generator, boxes = generator_of(shape), boxes_of(shape, batch=4)
    scans = torch.rand(4, 1, *shape, generator=random(5))
    draw = generator.draw_scans((RANDOM_CURVE, RECONTRASTED, RECONTRASTED, "original"), random())
    batch = generator.from_scans(scans, boxes, draw)
    assert batch.image.shape == (4, 1, *shape) and batch.image.isfinite().all()
    for number, name in enumerate(draw.families):
        alone = draw.of(slice(number, number + 1))
        assert alone.families == (name,) and set(alone.values) == set(draw.values)
        part = generator.from_scans(scans[number : number + 1], boxes[number : number + 1], alone)
        torch.testing.assert_close(part.image[0], batch.image[number], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", FROM_SCANS)
@pytest.mark.parametrize(("scale", "shift"), [(3000.0, -1000.0), (1e-3, 0.0)])
def test_units_of_the_scan_do_not_matter(name, scale, shift):
    """CT in Hounsfield units, or normalised to mean 0: the image is the same."""
    generator, boxes = generator_of((8, 10, 6)), boxes_of((8, 10, 6))
    scans = torch.rand(3, 1, 8, 10, 6, generator=random(5))
    draw = generator.draw_scans((name,) * 3, random())
    one, two = (generator.from_scans(given, boxes, draw).image for given in (scans, scale * scans + shift))
    assert (one - two).abs().mean() < 2e-3


@pytest.mark.parametrize("name", FROM_SCANS)
def test_images_are_in_the_scale_that_the_network_reads_whatever_the_scan_is(name):
    generator, boxes = generator_of((8, 10, 6)), boxes_of((8, 10, 6))
    draw = generator.draw_scans((name,) * 3, random())
    image = generator.from_scans(100 * torch.rand(3, 1, 8, 10, 6, generator=random(5)), boxes, draw).image
    torch.testing.assert_close(image, rescale(image), atol=1e-4, rtol=1e-4)
    assert generator.from_scans(torch.full((3, 1, 8, 10, 6), -1000.0), boxes, draw).image.isfinite().all()


@pytest.mark.parametrize("name", FROM_SCANS)
def test_voxels_with_the_ignore_label_stay_ignored_and_image_and_target_are_deformed_alike(name):
    generator = generator_of((12, 10, 8), ignored=True)
    boxes = torch.zeros(4, 12, 10, 8, dtype=torch.int64)
    boxes[:, :, 3:8, 2:6] = torch.where(torch.arange(12) < 6, 2, 3)[:, None, None]
    scans = torch.where(boxes > 1, 1.0, 0.0)[:, None] + 0.01 * torch.rand(4, 1, 12, 10, 8, generator=random())
    draw = generator.draw_scans((name,) * 4, random(9))
    batch = generator.from_scans(scans, boxes, draw)
    assert set(batch.target.unique().tolist()) == {0, 1, IGNORED}
    assert torch.equal(batch.target, generator.layout(boxes, draw).target)
    for image, target in zip(batch.image[:, 0], batch.target, strict=True) if name == "original" else ():
        inside, outside = image[target > 0], image[target == 0]
        within = (inside.var() * len(inside) + outside.var() * len(outside)) / image.numel()
        assert within < 0.7 * image.var(), "what was bright in the scan is where the label is"


def test_a_mirrored_scan_has_its_pairs_exchanged():
    mirrored = Ranges(deformation=DeformationRanges(rotation=0, scale=0, shear=0, translation=0, elastic=0, flip=1.0))
    generator = generator_of((8, 10, 6), ranges=mirrored, flips=True, pairs=[(1, 2)])
    boxes = boxes_of((8, 10, 6))
    batch = generator.from_scans(torch.rand(3, 1, 8, 10, 6), boxes, generator.draw_scans((RANDOM_CURVE,) * 3, random()))
    assert torch.equal(batch.target, torch.tensor([0, 2, 1])[generator.target_of[boxes]].flip(1))


# A real scan through a random curve


def test_evenly_rising_values_are_the_identity():
    image = torch.rand(2, 3, 5, 6, 7, generator=random())
    values = torch.linspace(0, 1, MOST).expand(2, 3, MOST)
    torch.testing.assert_close(through_curve(image, values), image, atol=1e-6, rtol=0)


@pytest.mark.parametrize("knots", range(FEWEST, MOST + 1))
def test_a_curve_is_piecewise_linear_through_its_knots_and_flat_beyond(knots):
    values = torch.rand(2, 2, MOST, generator=random())
    image = torch.linspace(-0.3, 1.3, 2001).expand(2, 2, -1)
    found = through_curve(image, values, knots=torch.full((2, 2, 1), knots))
    for b in range(2):
        for c in range(2):
            expected = np.interp(image[b, c].numpy(), np.linspace(0, 1, knots), values[b, c, :knots].numpy())
            np.testing.assert_allclose(found[b, c].numpy(), expected, atol=1e-5)


def test_air_is_dark_in_half_of_the_images_whatever_the_curve():
    """Away from its borders; what is not air is the same with dark air and with bright air."""
    family, given = FROM_SCANS[RANDOM_CURVE], known(channels=1)
    given = replace(given, air=torch.arange(len(given.air)) == 0)
    classes = (torch.arange(36) // 12).view(1, 36, 1, 1).expand(2, 36, 10, 8)
    scans = torch.tensor([0.0, 0.9, 0.5])[classes][:, None]
    drawn = family.draw(2, given, random())
    drawn = {name: value[:1].expand_as(value) for name, value in drawn.items()}
    drawn["values"] = torch.linspace(1, 0, MOST).expand(2, 1, MOST)
    found = family(scans, classes, {**drawn, "dark": torch.tensor([True, False]).view(2, 1, 1)}, given)
    assert found[0, 0, :8].abs().max() < 1e-5 and (found[1, 0, :8] - 1).abs().max() < 1e-5
    torch.testing.assert_close(found[0, 0, 16:], found[1, 0, 16:])


def test_curves_are_drawn_for_each_image_and_channel_with_two_to_six_knots_half_with_dark_air_and_a_quarter_falling():
    drawn = FROM_SCANS[RANDOM_CURVE].draw(500, known(channels=2), random())
    values, knots = drawn["values"], drawn["knots"]
    assert values.shape == (500, 2, MOST) and values.min() >= 0 and values.max() <= 1
    assert len(values.view(-1, MOST).unique(dim=0)) == 1000 and values.mean().item() == pytest.approx(0.5, abs=0.03)
    for number in range(FEWEST, MOST + 1):
        assert (knots == number).float().mean().item() == pytest.approx(0.2, abs=0.04)
    assert drawn["dark"].float().mean().item() == pytest.approx(0.5, abs=0.06)
    falling = (values.diff(dim=2) < 0).all(2)
    assert falling.float().mean().item() == pytest.approx(0.25, abs=0.05)


# A real scan whose classes have new means


def test_means_are_those_drawn_and_what_varies_within_a_class_is_the_scans_up_to_sign_and_strength():
    """In blocks of classes, away from their borders, where the means mix."""
    family, given = FROM_SCANS[RECONTRASTED], known(channels=2)
    classes = (torch.arange(36) // 12).view(1, 36, 1, 1).expand(3, 36, 10, 8)
    scans = torch.tensor([0.2, 0.9, 0.5])[classes][:, None].expand(-1, 2, -1, -1, -1)
    scans = scans + 0.05 * torch.randn(scans.shape, generator=random(3))
    drawn = family.draw(3, given, random(6))
    found, before = family(scans, classes, drawn, given), rescale(scans)
    for k in range(3):
        whole, inner = slice(12 * k, 12 * k + 12), slice(12 * k + 4, 12 * k + 8)
        varies = before[:, :, inner] - before[:, :, whole].flatten(2).mean(2).view(3, 2, 1, 1, 1)
        mean, strength = (drawn[name][..., k].view(3, 2, 1, 1, 1) for name in ("mean", "strength"))
        torch.testing.assert_close(found[:, :, inner], mean + strength * varies, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("shape", SHAPES)
def test_with_the_scans_own_means_and_strengths_of_one_the_image_is_the_scan(shape):
    scans, classes = scan_of(shape, channels=2)
    image = rescale(scans)
    own = class_means(image, classes.flatten(1)[:, None].expand(-1, 2, -1), 3)
    found = FROM_SCANS[RECONTRASTED](scans, classes, {"mean": own, "strength": torch.ones_like(own)}, known(channels=2))
    torch.testing.assert_close(found, image, atol=1e-5, rtol=1e-5)


def test_signs_and_strengths_are_within_their_range_and_means_are_of_tissues_or_of_labels():
    structures, tissues = (0, 1, 2, 2), (0, 1, 0, 1)
    given = known((0.1, 0.3, 0.5, 0.7), structures=structures, tissues=tissues, channels=2)
    drawn = FROM_SCANS[RECONTRASTED].draw(2000, given, random())
    mean, strength = drawn["mean"], drawn["strength"]
    assert strength.abs().min() >= 1 / STRONGEST and strength.abs().max() <= STRONGEST
    assert (strength > 0).float().mean().item() == pytest.approx(0.5, abs=0.05)
    assert strength.abs().log().mean().item() == pytest.approx(0, abs=0.05)
    of_tissues = (mean[..., 0] == mean[..., 2]) & (mean[..., 1] == mean[..., 3])
    of_labels = mean[..., 2] == mean[..., 3]
    assert torch.equal(of_tissues, ~of_labels)
    assert of_tissues[:, 0].float().mean().item() == pytest.approx(OF_TISSUES, abs=0.03)
    assert mean.mean().item() == pytest.approx(0.5, abs=0.02)


def test_classes_that_an_image_lacks_do_no_harm():
    family, given = FROM_SCANS[RECONTRASTED], known()
    scans, classes = scan_of((8, 9, 10))
    classes = torch.where(classes == 2, 0, classes)
    drawn = family.draw(3, given, random())
    found = family(scans, classes, drawn, given)
    assert found.isfinite().all()
    one = family(scans, torch.zeros_like(classes), drawn, given)
    torch.testing.assert_close(one.flatten(2).mean(2), drawn["mean"][..., 0], atol=1e-4, rtol=0)
    means = class_means(scans, classes.flatten(1)[:, None], 3)
    assert (means[..., 2] == 0).all()
    torch.testing.assert_close(means[0, 0, 1], scans[0, 0][classes[0] == 1].mean())


# A real scan as it is


@pytest.mark.parametrize("shape", SHAPES)
def test_a_scan_as_it_is_has_nnunets_changes_and_no_others(shape):
    generator, boxes = generator_of(shape, ranges=STILL), boxes_of(shape)
    scans = torch.rand(3, 1, *shape, generator=random(5))
    draw = generator.draw_scans(("original",) * 3, random())
    seeds = draw.values["original"]["seed"].tolist()
    batch = generator.from_scans(scans, boxes, draw)
    expected = rescale(changed_like_nnunet(scans, seeds, spacing=generator.spacing))
    torch.testing.assert_close(batch.image, expected, atol=1e-3, rtol=1e-3)
    assert torch.equal(batch.target, generator.target_of[boxes]) and len(set(seeds)) == 3
