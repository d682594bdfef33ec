"""A_theta: identity at zero, replayable, gradients as numerical ones, bounds."""

import pytest
import torch

from l2s_auto.augmenters import AUGMENTERS, Nonparametric, Randomised
from l2s_auto.augmenters.fields import NODES, draw_fields, log_field
from l2s_auto.networks import call, parameters

PARAMETRIC = ("parametric", "parametric-random")
IMAGE = torch.rand(2, 1, 6, 7, 8, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def generator():
    return torch.Generator().manual_seed(4)


@pytest.mark.parametrize("name", AUGMENTERS)
def test_the_same_draw_gives_the_same_image(name):
    model = AUGMENTERS[name]().double()
    one, two = (model(IMAGE, model.draw(IMAGE, generator())) for _ in range(2))
    assert torch.equal(one, two)
    assert one.shape == IMAGE.shape


@pytest.mark.parametrize("name", AUGMENTERS)
def test_gradient_is_the_numerical_one(name):
    model = (Nonparametric(features=1, start=0.3) if name == "nonparametric" else AUGMENTERS[name]()).double()
    noise = model.draw(IMAGE, generator())
    theta = parameters(model)

    def apply(*values):
        return call(model, dict(zip(theta, values, strict=True)), IMAGE, noise)

    assert torch.autograd.gradcheck(apply, [p.clone().requires_grad_() for p in theta.values()])


@pytest.mark.parametrize("name", PARAMETRIC)
def test_without_strength_it_is_the_identity(name):
    model = AUGMENTERS[name](exponents=(1e-9,) * 3, sigma=1e-9).double()
    torch.testing.assert_close(model(IMAGE, model.draw(IMAGE, generator())), IMAGE, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", PARAMETRIC)
def test_theta_reads_as_it_was_given_and_stays_in_bounds(name):
    model = AUGMENTERS[name](exponents=(0.1, 0.5, 0.9), sigma=0.07)
    read = model.bounded()
    assert [round(v, 5) for v in read.values()] == [0.1, 0.5, 0.9, 0.07]
    with torch.no_grad():
        for p in model.parameters():
            p.fill_(-30.0)
    assert all(0 <= v < 1 for v in model.bounded().values())


def test_noise_has_the_standard_deviation_asked_for():
    model = AUGMENTERS["parametric"](exponents=(1e-9,) * 3, sigma=0.1)
    flat = torch.zeros(1, 1, 40, 40, 40)
    assert model(flat, model.draw(flat, generator())).std().item() == pytest.approx(0.1, rel=0.02)


def test_randomised_without_strength_is_the_identity():
    model = Randomised(exponent=0, sigma=0)
    torch.testing.assert_close(model(IMAGE, model.draw(IMAGE, generator())), IMAGE)
    assert model.bounded() == {} and not list(model.parameters())


@pytest.mark.parametrize("shape", [(9,), (6, 7), (6, 7, 8)])
def test_fields_are_within_their_range_in_any_dimension(shape):
    image = torch.zeros(2, 3, *shape)
    for n in NODES:
        field = log_field(draw_fields(image, generator())[f"field_{n}"], image.shape[2:]).exp()
        assert field.shape == image.shape
        assert field.min() >= 0.5 - 1e-6 and field.max() <= 2 + 1e-6


@pytest.mark.parametrize("wrong", [{"exponents": (0.5, 0.5)}, {"exponents": (0, 0.5, 0.5)}, {"sigma": 0}])
def test_impossible_starts_are_errors(wrong):
    with pytest.raises(ValueError, match="exponents in"):
        AUGMENTERS["parametric"](**wrong)


def test_negative_ranges_are_errors():
    with pytest.raises(ValueError, match="must not be negative"):
        Randomised(sigma=-1)


@pytest.mark.parametrize("shape", [(6, 7), (1, 5), (6, 7, 8), (1, 9, 3)])
@pytest.mark.parametrize("channels", [1, 2])
def test_nonparametric_starts_at_the_identity_on_any_grid(shape, channels):
    model, image = Nonparametric(channels=channels, dimensions=len(shape)), torch.rand(2, channels, *shape)
    assert torch.equal(model(image, model.draw(image, generator())), image)
    assert model.bounded() == {"last_layer_norm": 0.0}


def test_nonparametric_adds_noise_of_its_own_once_it_has_moved():
    model, image = Nonparametric(start=0.3), IMAGE.float()
    random = generator()
    one, two = (model(image, model.draw(image, random)) for _ in range(2))
    assert not torch.allclose(one, two) and not torch.allclose(one, image)
    assert model.bounded()["last_layer_norm"] > 0


def test_nonparametric_sees_each_sample_alone():
    model = Nonparametric(start=0.3).double()
    noise = model.draw(IMAGE, generator())
    alone = model(IMAGE[1:], {"noise": noise["noise"][1:]})
    torch.testing.assert_close(model(IMAGE, noise)[1:], alone)


@pytest.mark.parametrize("wrong", [{"dimensions": 1}, {"channels": 0}, {"features": 0}, {"start": -1.0}])
def test_impossible_nonparametric_augmenters_are_errors(wrong):
    with pytest.raises(ValueError, match="dimensions 2 or 3"):
        Nonparametric(**wrong)
