"""The generator: identity without strength, replayable, labels kept, statistics as drawn."""

import pytest
import torch

from l2s_auto.core.plan import ClassPrior, EnrichedLabel, GenerationPlan
from l2s_auto.synthesis.deform import DeformationRanges, draw_deformation, sampling_grid, warp_image, warp_labels
from l2s_auto.synthesis.generator import Generator, Ranges
from l2s_auto.synthesis.intensity import Mixture, PriorTensors, Shares, blur, draw_mixture, gamma, paint, rescale

STILL = DeformationRanges(rotation=0, scale=0, shear=0, translation=0, elastic=0)
SHAPE, SPACING = (8, 10, 6), (1.0, 1.0, 2.0)


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
    options = {"shares": Shares(prior=0.4, reversed=0.3), "channels": 1, **options}
    return Generator(GENERATION, spacing=SPACING, shape=SHAPE, device=torch.device("cpu"), **options)


def test_without_strength_the_labels_stay():
    deformation = draw_deformation(2, SHAPE, SPACING, STILL, random())
    grid = sampling_grid(deformation, shape=SHAPE, box=SHAPE, spacing=SPACING)
    assert torch.equal(warp_labels(labels(), grid), labels())


def test_box_and_patch_have_the_same_centre():
    box = (12, 14, 10)
    deformation = draw_deformation(2, SHAPE, SPACING, STILL, random())
    grid = sampling_grid(deformation, shape=SHAPE, box=box, spacing=SPACING)
    assert torch.equal(warp_labels(labels(box), grid), labels(box)[:, 2:-2, 2:-2, 2:-2])


def test_a_translation_is_in_millimetres():
    deformation = draw_deformation(1, SHAPE, SPACING, STILL, random())
    deformation = type(deformation)(deformation.matrix, torch.tensor([[1.0, 0.0, 2.0]]), deformation.elastic)
    moved = warp_labels(labels(batch=1), sampling_grid(deformation, shape=SHAPE, box=SHAPE, spacing=SPACING))
    assert torch.equal(moved[:, :-1, :, :-1], labels(batch=1)[:, 1:, :, 1:])


def test_image_and_labels_move_together():
    deformation = draw_deformation(2, SHAPE, SPACING, DeformationRanges(), random())
    grid = sampling_grid(deformation, shape=SHAPE, box=SHAPE, spacing=SPACING)
    block = torch.zeros(2, *SHAPE, dtype=torch.int64)
    block[:, 2:6, 3:7, 2:4] = 1
    image = warp_image(block[:, None].float(), grid)[:, 0]
    assert (image[warp_labels(block, grid) == 1] >= 0.1).all()


def test_the_same_seed_gives_the_same_images_and_another_gives_others():
    generator, boxes = make(), labels()
    one, two, other = (generator.apply(boxes, generator.draw(2, random(s))) for s in (5, 5, 6))
    assert torch.equal(one.image, two.image) and torch.equal(one.target, two.target)
    assert not torch.equal(one.image, other.image)


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
    clean = paint(generator.class_of[labels()], Mixture(draw.mixture.mean, flat), draw.texture)
    left, right = (clean[0, 0][labels()[0] == k] for k in (2, 3))
    assert left.unique().numel() == 1 and torch.equal(left.unique(), right.unique())


def test_a_share_of_the_images_follows_the_prior():
    tensors = PriorTensors(
        *(torch.full((1, 3), v) for v in (0.5, 0.01, 0.02, 0.001)),
    )
    mixture = draw_mixture(4000, 1, torch.arange(3), random(), prior=tensors, shares=Shares(prior=0.6))
    near = ((mixture.mean - 0.5).abs() < 0.05).all(2).float().mean().item()
    assert near == pytest.approx(0.6 + 0.4 * 0.1**3, abs=0.03)
    uniform = draw_mixture(4000, 1, torch.arange(3), random(), prior=tensors)
    assert uniform.mean.mean().item() == pytest.approx(0.5, abs=0.02)
    assert uniform.mean.std().item() == pytest.approx(12**-0.5, abs=0.02)


def test_without_priors_every_image_is_uniform():
    generation = GenerationPlan(enriched=GENERATION.enriched)
    generator = Generator(
        generation, channels=2, spacing=SPACING, shape=SHAPE, shares=Shares(prior=1.0), device=torch.device("cpu")
    )
    assert generator.prior is None
    assert generator.draw(3, random()).mixture.mean.shape == (3, 2, 3)


def test_painted_classes_have_the_drawn_mean_and_deviation():
    classes = torch.zeros(1, 40, 40, 40, dtype=torch.int64)
    mixture = Mixture(torch.tensor([[[0.3, 0.9]]]), torch.tensor([[[0.05, 0.0]]]))
    image = paint(classes, mixture, torch.randn(1, 1, 40, 40, 40, generator=random()))
    assert image.mean().item() == pytest.approx(0.3, abs=0.002)
    assert image.std().item() == pytest.approx(0.05, rel=0.02)


def test_blur_of_zero_is_the_identity_and_blur_keeps_a_constant():
    image = torch.rand(2, 1, *SHAPE, generator=random())
    torch.testing.assert_close(blur(image, torch.zeros(2, 3)), image)
    constant = torch.full((2, 1, *SHAPE), 0.7)
    torch.testing.assert_close(blur(constant, torch.full((2, 3), 0.8)), constant)


def test_blur_is_separate_for_each_image_and_axis():
    image = torch.zeros(2, 1, 5, 5, 5)
    image[:, :, 2, 2, 2] = 1
    out = blur(image, torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]))
    assert torch.equal(out[1], image[1])
    assert out[0, 0, 2, 2].gt(0).all() and out[0, 0, 1].abs().max() < 1e-6 and out[0, 0, 2, 1].abs().max() < 1e-6


def test_gamma_of_one_is_the_identity():
    image = torch.rand(2, 1, *SHAPE, generator=random())
    torch.testing.assert_close(gamma(image, torch.ones(2, 1)), image)


def test_rescaling_ignores_units():
    image = torch.rand(2, 2, *SHAPE, generator=random(), dtype=torch.float64)
    out = rescale(image)
    torch.testing.assert_close(rescale(image * 250 - 30), out)
    assert -0.1 < out.min() < 0.02 and 0.98 < out.max() < 1.1


def test_rescaling_a_constant_gives_finite_numbers():
    assert rescale(torch.full((1, 1, *SHAPE), 3.0)).isfinite().all()


def test_ranges_are_respected():
    draw = make(ranges=Ranges(largest_blur=0.5, gamma=0.0)).draw(50, random())
    assert draw.blur.max() <= 0.5 and torch.equal(draw.gamma, torch.ones(50, 1))


def test_parts_of_a_structure_look_alike_in_uniform_images_and_differ_in_those_like_real_ones():
    structures = torch.tensor([0, 1, 1])
    uniform = draw_mixture(50, 1, structures, random())
    assert torch.equal(uniform.mean[..., 1], uniform.mean[..., 2]) and torch.equal(
        uniform.std[..., 1], uniform.std[..., 2]
    )
    assert not torch.equal(uniform.mean[..., 0], uniform.mean[..., 1])
    tensors = PriorTensors(*(torch.tensor([v]) for v in ([0.2, 0.4, 0.9], [0.01] * 3, [0.02] * 3, [0.001] * 3)))
    like_real = draw_mixture(50, 1, structures, random(), prior=tensors, shares=Shares(prior=1.0))
    assert (like_real.mean[..., 2] > like_real.mean[..., 1]).all()


def test_reversed_images_exchange_dark_and_bright_but_air_stays_dark():
    tensors = PriorTensors(*(torch.tensor([v]) for v in ([0.01, 0.2, 0.9], [0.0] * 3, [0.02] * 3, [0.0] * 3)))
    mixture = draw_mixture(5, 1, torch.arange(3), random(), prior=tensors, shares=Shares(reversed=1.0))
    torch.testing.assert_close(mixture.mean, torch.tensor([0.01, 0.8, 0.1]).expand(5, 1, 3))


@pytest.mark.parametrize("wrong", [{"prior": -0.1}, {"prior": 0.7, "reversed": 0.4}])
def test_impossible_shares_are_errors(wrong):
    with pytest.raises(ValueError, match="shares must be"):
        Shares(**wrong)
