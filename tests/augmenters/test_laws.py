"""What holds for every A_theta: replayable, gradients as numerical ones, finite at the bounds, identity at zero."""

import inspect

import pytest
import torch

from l2s_auto.augmenters import AUGMENTERS, Randomised
from l2s_auto.networks import call, parameters
from tests.augmenters.common import SHAPES, SILENT, generator, image_of, make, make_all

NAMES = tuple(AUGMENTERS)
NOT_OF_IMAGES = ("contrast", "share")  # what they learn is not how an image that is there changes
IMAGES = [name for name in NAMES if name not in NOT_OF_IMAGES]
CASES = [(shape, channels) for shape in SHAPES for channels in (1, 2)]


def build(name, shape, channels, **options):
    maker = make_all if name == "all" else lambda **given: make(name, **given)
    return maker(channels=channels, dimensions=len(shape), **options)


def gradients(model, image, noise):
    theta = {k: p.requires_grad_() for k, p in parameters(model).items()}
    made = call(model, theta, image, noise)
    weight = torch.rand(made.shape, generator=generator(9), dtype=made.dtype)
    return torch.autograd.grad((weight * made).sum(), list(theta.values()), allow_unused=True)


@pytest.mark.parametrize(("shape", "channels"), CASES)
@pytest.mark.parametrize("name", IMAGES)
def test_gradient_is_the_numerical_one(name, shape, channels):
    model, image = build(name, shape, channels), image_of(shape, channels)
    noise, theta = model.draw(image, generator()), parameters(model)

    def apply(*values):
        return call(model, dict(zip(theta, values, strict=True)), image, noise)

    assert torch.autograd.gradcheck(apply, [p.requires_grad_() for p in theta.values()])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("shape", "channels"), CASES)
@pytest.mark.parametrize("name", IMAGES)
def test_gradient_is_finite_where_every_strength_is_zero(name, shape, channels, dtype):
    model, image = build(name, shape, channels, options=SILENT).to(dtype), image_of(shape, channels, dtype=dtype)
    found = gradients(model, image, model.draw(image, generator()))
    assert all(g.isfinite().all() for g in found)
    assert any((g != 0).any() for g in found), "a start at the bound is one that learning leaves again"


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("parametric")])
def test_gradient_is_finite_at_the_upper_bound(name):
    model, image = AUGMENTERS[name](exponents=(1, 1, 1)).double(), image_of((5, 6))
    assert model.bounded()["exponent_low"] == 1.0
    assert all(g.isfinite().all() and (g != 0).all() for g in gradients(model, image, model.draw(image, generator())))


@pytest.mark.parametrize("name", [*NAMES, "all"])
@pytest.mark.parametrize("shape", SHAPES)
def test_without_strength_it_is_the_identity(name, shape):
    model, image = build(name, shape, 2, options=SILENT), image_of(shape, 2)
    torch.testing.assert_close(model(image, model.draw(image, generator())), image, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", [*NAMES, "all"])
def test_the_same_draw_gives_the_same_image(name):
    image = image_of((6, 7, 8))
    model = build(name, (6, 7, 8), 1)
    one, two = (model(image, model.draw(image, generator())) for _ in range(2))
    assert torch.equal(one, two) and one.shape == image.shape
    assert name in NOT_OF_IMAGES or not torch.equal(one, image)


@pytest.mark.parametrize("name", [*NAMES, "all"])
def test_draws_depend_neither_on_theta_nor_on_what_the_image_shows(name):
    image = image_of((6, 7))
    model = build(name, (6, 7), 1)
    before = model.draw(image, generator())
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.3)
    after = model.draw(1 - image, generator())
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert all(len(value) == len(image) for value in before.values())


@pytest.mark.parametrize("name", [*NAMES, "all"])
def test_a_part_of_the_batch_alone_is_that_part_of_the_whole(name):
    image = image_of((6, 7, 5), 2, batch=3)
    model = build(name, (6, 7, 5), 2)
    noise = model.draw(image, generator())
    some = slice(1, 3)
    alone = model(image[some], {key: value[some] for key, value in noise.items()})
    torch.testing.assert_close(model(image, noise)[some], alone)


@pytest.mark.parametrize("name", [*NAMES, "all"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 5, 3)])
def test_axes_of_one_voxel(name, shape):
    image = image_of(shape)
    model = build(name, shape, 1)
    assert model(image, model.draw(image, generator())).isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_theta_stays_in_its_bounds_wherever_it_moves(name):
    model, image = build(name, (6, 5), 1), image_of((6, 5))
    for value in (-3.7, 0.0, 1.0, 2.4):
        with torch.no_grad():
            for p in model.parameters():
                p.fill_(value)
        for read, number in model.bounded().items():
            assert number >= 0 or read == "log_gamma_mean"
            assert number <= 1 or not read.startswith("exponent")
        assert model(image, model.draw(image, generator())).isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_options_are_keywords(name):
    kinds = {p.kind for p in inspect.signature(AUGMENTERS[name]).parameters.values()}
    assert kinds == {inspect.Parameter.KEYWORD_ONLY}


def test_randomised_without_strength_is_the_identity_and_has_nothing_to_learn():
    model, image = Randomised(exponent=0, sigma=0), image_of((6, 7, 8))
    torch.testing.assert_close(model(image, model.draw(image, generator())), image)
    assert model.bounded() == {} and not list(model.parameters())


def test_randomised_changes_each_image_by_strengths_of_its_own():
    model, image = Randomised(), torch.ones(2, 1, 8, 8, 8)
    made = model(image, model.draw(image, generator()))
    assert made.shape == image.shape and made[0].std() != made[1].std()


def test_negative_ranges_are_errors():
    with pytest.raises(ValueError, match="must not be negative"):
        Randomised(sigma=-1)


@pytest.mark.parametrize("name", [*NAMES, "all"])
def test_the_nearest_theta_within_its_bounds(name):
    model = build(name, SHAPES[0], 1)
    theta = parameters(model)
    torch.testing.assert_close(model.nearest(theta), theta, rtol=0, atol=0)
    for outside in (-0.3, 1.7):
        near = model.nearest({key: torch.full_like(p, outside) for key, p in theta.items()})
        for key, p in near.items():
            part = getattr(model, key.split(".")[0]) if name == "all" else model
            own = key.split(".")[-1]
            expected = outside
            if own in part.SHARES:
                expected = min(max(outside, 0), 1)
            elif own in part.LEVELS:
                expected = max(outside, 0)
            assert torch.equal(p, torch.full_like(p, expected))


def test_every_reflected_number_has_its_bounds_declared():
    """Where a parameter is reflected, a negative value reads as a positive one."""
    for name in set(NAMES) - {"nonparametric"}:
        model = build(name, SHAPES[0], 1)
        for own, p in model.named_parameters():
            if own in model.LEVELS + model.SHARES:
                continue
            with torch.no_grad():
                p.fill_(0.4)
                up = model.bounded()
                p.fill_(-0.4)
                assert model.bounded() != up, f"{own} of {name} is reflected, and in none of LEVELS and SHARES"
