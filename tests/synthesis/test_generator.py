"""The generator: identity without strength, replayable, labels kept, statistics as drawn."""

import dataclasses
import pickle

import pytest
import torch

from l2s_auto.core.composition import RENDERED, Composition, of_shares, uniform
from l2s_auto.core.plan import ClassPrior, EnrichedLabel, GenerationPlan
from l2s_auto.synthesis.drawn import Drawn
from l2s_auto.synthesis.generator import Draw, Generator, Ranges
from l2s_auto.synthesis.intensity import Mixture, gamma, paint, rescale
from l2s_auto.synthesis.resolution import ResolutionRanges
from l2s_auto.synthesis.texture import TextureRanges
from l2s_auto.synthesis.view import ViewRanges
from tests.synthesis.made import OFF, OFF_BUT_TEXTURE, STILL

SHAPE, SPACING = (8, 10, 6), (1.0, 1.0, 2.0)
RANDOM, REAL_LIKE = Composition(uniform()), Composition({"real-like": 1.0})


def random(seed=0):
    return torch.Generator().manual_seed(seed)


def labels(box=SHAPE, batch=2, classes=4):
    return torch.randint(0, classes, (batch, *box), generator=random(1))


GENERATION = GenerationPlan(
    enriched=(
        EnrichedLabel(name="dark tissue", target=0, generation_class=0, centre=0.2),
        EnrichedLabel(name="bright tissue", target=0, generation_class=1, centre=0.8),
        EnrichedLabel(name="left", target=1, generation_class=2),
        EnrichedLabel(name="right", target=2, generation_class=2),
    ),
    priors=tuple(ClassPrior(mean=(m,), mean_spread=(0.01,), std=(0.02,), std_spread=(0.001,)) for m in (0.2, 0.8, 0.5)),
)


def make(**options):
    usual = {"composition": of_shares(0.4, 0.3), "channels": 1, "spacing": SPACING, "shape": SHAPE}
    options = {**usual, **options}
    return Generator(GENERATION, device=torch.device("cpu"), **options)


def leaves_of(draw):
    """Every tensor of a draw, by its path."""
    for name, value in vars(draw).items():
        if isinstance(value, torch.Tensor):
            yield name, value
        elif not isinstance(value, tuple):
            yield from ((f"{name}.{inner}", tensor) for inner, tensor in leaves_of(value))


def test_the_same_seed_gives_the_same_images_and_another_gives_others():
    generator, boxes = make(), labels()
    one, two, other = (generator.apply(boxes, generator.draw(2, random(s))) for s in (5, 5, 6))
    assert torch.equal(one.image, two.image) and torch.equal(one.target, two.target)
    assert not torch.equal(one.image, other.image)


@pytest.mark.parametrize("shape", [SHAPE, (8, 10), (8, 10, 1), (1, 10, 6)])
def test_a_draw_used_twice_gives_the_same_image_in_2d_and_3d(shape):
    generator = make(shape=shape, spacing=(1.0, 1.0, 2.0)[: len(shape)], flips=True, pairs=[(1, 2)])
    draw = generator.draw(2, random())
    one, two = (generator.apply(labels(shape), draw) for _ in range(2))
    assert one.image.shape == (2, 1, *shape) and one.image.isfinite().all()
    assert torch.equal(one.image, two.image) and torch.equal(one.target, two.target)


@pytest.mark.parametrize("shape", [SHAPE, (8, 10)])
def test_without_strength_the_image_is_the_painted_label_map(shape):
    generator = make(shape=shape, spacing=SPACING[: len(shape)], ranges=OFF, flips=True)
    draw = generator.draw(2, random())
    batch = generator.apply(labels(shape), draw)
    assert torch.equal(batch.target, generator.target_of[labels(shape)])
    painted = paint(generator.class_of[labels(shape)], draw.mixture, draw.texture.white).clamp(0, 1)
    torch.testing.assert_close(batch.image, painted, atol=1e-6, rtol=0)


def test_samples_of_a_draw_give_the_images_of_these_samples():
    generator, boxes = make(flips=True, pairs=[(1, 2)]), labels(batch=3)
    draw = generator.draw(3, random())
    whole = generator.apply(boxes, draw)
    for piece in (slice(0, 1), slice(1, 3)):
        part = generator.apply(boxes[piece], draw.of(piece))
        torch.testing.assert_close(part.image, whole.image[piece]), torch.equal(part.target, whole.target[piece])


def test_a_draw_is_plain_data_with_the_batch_first_and_does_not_depend_on_labels():
    generator = make(flips=True)
    draw = generator.draw(3, random())
    again = pickle.loads(pickle.dumps(draw))
    assert isinstance(again, Draw)
    for (name, one), (_, two) in zip(leaves_of(draw), leaves_of(again), strict=True):
        assert len(one) == 3 and torch.equal(one, two), name


def test_the_gradient_by_the_mixture_agrees_with_a_numerical_one():
    generator = make(shape=(6, 5, 4), composition=RANDOM, flips=True)
    draw = in_float64(generator.draw(2, random(3)))
    layout = generator.layout(labels((6, 5, 4)), draw)
    mean = (0.3 + 0.4 * draw.mixture.mean).requires_grad_()
    std = (draw.mixture.std * 0.1).requires_grad_()
    assert torch.autograd.gradcheck(lambda m, s: generator.render(layout, draw, Mixture(m, s)), (mean, std))


def in_float64(drawn):
    values = {k: in_float64(v) if isinstance(v, Drawn) else v for k, v in vars(drawn).items()}
    kept = ("matrix", "shift", "velocity")
    return type(drawn)(
        **{
            k: v.double() if isinstance(v, torch.Tensor) and v.is_floating_point() and k not in kept else v
            for k, v in values.items()
        }
    )


def test_flips_exchange_pairs_and_twice_is_the_identity():
    still = Ranges(deformation=dataclasses.replace(STILL, flip=1.0), **OFF_BUT_TEXTURE)
    generator = make(ranges=still, flips=True, pairs=[(1, 2)])
    draw = generator.draw(2, random())
    assert draw.deformation.flip.all()
    boxes = labels()
    once = generator.layout(boxes, draw).target
    exchanged = torch.tensor([0, 2, 1])
    assert torch.equal(once, exchanged[generator.target_of[boxes]].flip(1))
    enriched = torch.tensor([0, 1, 3, 2])[boxes].flip(1)
    assert torch.equal(generator.layout(enriched, draw).target, generator.target_of[boxes])
    scans = generator.draw_scans(("original",) * 2, random())
    assert scans.deformation.flip.all() and torch.equal(generator.layout(boxes, scans).target, once)


def test_the_left_label_is_on_the_left_in_every_image():
    ranges = Ranges(deformation=dataclasses.replace(STILL, flip=0.5), **OFF_BUT_TEXTURE)
    generator = make(ranges=ranges, flips=True, pairs=[(1, 2)])
    boxes = torch.zeros(20, *SHAPE, dtype=torch.int64)
    boxes[:, :3, 2:8], boxes[:, 6:, 2:8] = 2, 3
    draw = generator.draw(20, random())
    assert 0 < draw.deformation.flip.sum() < 20
    target = generator.layout(boxes, draw).target
    assert (target[:, :4] != 2).all() and (target[:, 4:] != 1).all() and (target == 1).any() and (target == 2).any()


@pytest.mark.parametrize("options", [{"flips": False}, {"flips": True, "shape": (1, 10, 6)}])
def test_nothing_is_mirrored_where_it_is_not_allowed_or_there_is_no_axis(options):
    assert not make(**options).draw(50, random()).deformation.flip.any()


def test_unlabelled_tissue_is_removed_where_labels_cover_an_organ():
    ranges = Ranges(STILL, TextureRanges(0), ResolutionRanges(0, 0, 0), ViewRanges(0, 0, 0, 0, stripped=1.0), 0.0)
    generator = make(ranges=ranges, composition=RANDOM)
    boxes = labels()
    draw = generator.draw(2, random())
    batch = generator.apply(boxes, draw)
    assert (batch.image[:, 0][batch.target == 0] == 0).all() and (batch.image[:, 0][batch.target > 0] > 0).any()
    few = torch.where(torch.rand(boxes.shape, generator=random()) < 0.9, boxes % 2, boxes)
    assert (generator.apply(few, draw).image[:, 0][generator.target_of[few] == 0] > 0).any()


def test_images_are_in_range_and_targets_are_output_classes():
    generator = make()
    batch = generator.apply(labels(), generator.draw(2, random()))
    assert batch.image.shape == (2, 1, *SHAPE) and batch.target.shape == (2, *SHAPE)
    assert batch.image.min() >= 0 and batch.image.max() <= 1
    assert set(batch.target.unique().tolist()) == {0, 1, 2}


def test_labels_of_one_generation_class_share_their_intensities():
    generator = make(channels=1)
    draw = generator.draw(2, random())
    flat = draw.mixture.std.zero_()
    clean = paint(generator.class_of[labels()], Mixture(draw.mixture.mean, flat), draw.texture.white)
    left, right = (clean[0, 0][labels()[0] == k] for k in (2, 3))
    assert left.unique().numel() == 1 and torch.equal(left.unique(), right.unique())


def test_images_like_the_real_ones_are_as_noisy_as_those_are():
    values = {"mean": (0.5,), "mean_spread": (0.0,), "std": (0.1,), "std_spread": (0.0,)}
    for noise, expected in (((), 0.1), ((0.03,), 0.03)):
        prior = ClassPrior(**values, noise=noise, noise_spread=(0.0,) if noise else ())
        generation = GenerationPlan(enriched=GENERATION.enriched, priors=(prior,) * GENERATION.classes)
        generator = Generator(
            generation,
            channels=1,
            spacing=(1.0, 1.0),
            shape=(8, 8),
            composition=REAL_LIKE,
            device=torch.device("cpu"),
        )
        assert generator.draw(5, random()).mixture.std.unique().tolist() == pytest.approx([expected])


def test_painted_classes_have_the_drawn_mean_and_deviation():
    classes = torch.zeros(1, 40, 40, 40, dtype=torch.int64)
    mixture = Mixture(torch.tensor([[[0.3, 0.9]]]), torch.tensor([[[0.05, 0.0]]]))
    image = paint(classes, mixture, torch.randn(1, 1, 40, 40, 40, generator=random()))
    assert image.mean().item() == pytest.approx(0.3, abs=0.002)
    assert image.std().item() == pytest.approx(0.05, rel=0.02)


def test_gamma_of_one_is_the_identity():
    image = torch.rand(2, 1, *SHAPE, generator=random())
    torch.testing.assert_close(gamma(image, torch.ones(2, 1)), image)


def test_the_slope_of_gamma_is_finite_where_there_is_nothing():
    image = torch.tensor([[[-0.1, 0.0, 1e-9, 0.5, 1.2]]], dtype=torch.float64, requires_grad=True)
    out = gamma(image, torch.full((1, 1), 0.4, dtype=torch.float64))
    assert out[0, 0, [0, 1, 4]].tolist() == [0, 0, 1] and out[0, 0, 3].item() == pytest.approx(0.5**0.4)
    (slope,) = torch.autograd.grad(out.sum(), image)
    assert slope.isfinite().all() and slope[0, 0, 0] == 0


def test_rescaling_ignores_units():
    image = torch.rand(2, 2, *SHAPE, generator=random(), dtype=torch.float64)
    out = rescale(image)
    torch.testing.assert_close(rescale(image * 250 - 30), out)
    assert -0.1 < out.min() < 0.02 and 0.98 < out.max() < 1.1


def test_rescaling_a_constant_gives_finite_numbers():
    assert rescale(torch.full((1, 1, *SHAPE), 3.0)).isfinite().all()


def test_a_number_of_images_are_of_the_rendered_families_of_the_composition():
    generator = make(
        composition=Composition({"real-like": 0.25, "reversed": 0.25, "random-curve": 0.25, "original": 0.25})
    )
    assert generator.draw(6, random()).families == ("real-like",) * 3 + ("reversed",) * 3
    assert set(make(composition=Composition({"original": 1.0})).draw(4, random()).families) <= set(uniform())


def test_all_but_class_intensities_and_scanner_is_the_same_in_every_family():
    """So that two families can be compared on the same images."""
    draws = [make(flips=True).draw((name,) * 3, random()) for name in RENDERED]
    for draw in draws[1:]:
        for part in ("deformation", "texture", "view"):
            pairs = zip(leaves_of(getattr(draws[0], part)), leaves_of(getattr(draw, part)), strict=True)
            assert all(torch.equal(one, two) for (_, one), (_, two) in pairs)
        assert not torch.equal(draws[0].mixture.mean, draw.mixture.mean)


def test_one_scanner_changes_less_from_scan_to_scan_than_all_kinds_do():
    """Resolution and gamma of real-like images; the others have those of scanners of all kinds."""
    draw = make().draw(("real-like",) * 500 + ("uniform-tissues",) * 500, random())
    assert draw.gamma[:500].log().std() < draw.gamma[500:].log().std() / 3
    assert draw.resolution.blur[:500].max() == 0 < draw.resolution.blur[500:].max()


def test_ranges_are_respected():
    draw = make(ranges=Ranges(resolution=ResolutionRanges(blur=0.5), gamma=0.0)).draw(50, random())
    assert draw.resolution.blur.max() <= 0.5 and torch.equal(draw.gamma, torch.ones(50, 1))


def test_without_deformation_a_layout_is_the_label_map_as_it_is():
    generator, boxes = make(flips=True), labels()
    draw = generator.draw(2, random())
    plain = generator.undeformed(boxes, draw)
    assert torch.equal(plain.classes, generator.class_of[boxes])
    inside = plain.target > 0
    assert inside.any() and torch.equal(plain.target[inside], generator.target_of[boxes][inside])
    still = make(ranges=OFF)
    draw = still.draw(2, random())
    one, two = still.undeformed(boxes, draw), still.layout(boxes, draw)
    assert torch.equal(one.classes, two.classes) and torch.equal(one.target, two.target)
