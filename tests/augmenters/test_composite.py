"""Augmenters joined with +: order, names, options, and what is wrong with them."""

import pytest
import torch
from torch import nn

from l2s_auto.augmenters import AUGMENTERS, AugmenterModule, Composite, Contrast, Gamma, Parametric, build_augmenter
from l2s_auto.core.component import Component
from l2s_auto.core.errors import UserError
from l2s_auto.core.trust import trusting
from l2s_auto.synthesis.intensity import Mixture
from tests.augmenters.common import LOUD, generation, generator, image_of, make

OWN = ("tests.augmenters.test_composite:Shift", "tests.augmenters.test_composite:Simple", "json:JSONDecoder")


@pytest.fixture(autouse=True)
def trust():
    with trusting(OWN):
        yield


class Shift(AugmenterModule):
    """A user's own: a constant is added."""

    def __init__(self, *, sigma: float = 0.5):
        super().__init__()
        self.sigma = nn.Parameter(torch.tensor(sigma))

    def draw(self, image, generator):
        return {}

    def forward(self, image, noise):
        return image + self.sigma

    def bounded(self):
        return {"sigma": self.sigma.item()}


class Simple:
    """Neither a module nor with bounded()."""

    def draw(self, image, generator):
        return {}

    def forward(self, image, noise):
        return image


def named(name, **options):
    return build_augmenter(Component(name=name, options=options), generation=generation())


@pytest.mark.parametrize("name", AUGMENTERS)
def test_a_composite_of_one_is_the_part(name):
    part, image = make(name), image_of((6, 7, 5))
    composite = Composite({name: part})
    draw, own = composite.draw(image, generator()), part.draw(image, generator())
    assert draw.keys() == {f"{name}.{key}" for key in own}
    assert torch.equal(composite(image, draw), part(image, own))
    assert composite.bounded() == part.bounded()
    assert composite.changes_mixture == part.changes_mixture


def test_parts_apply_in_their_order():
    image = image_of((5, 6))
    gamma, blur = Gamma(**LOUD["gamma"]).double(), make("blur")
    composite = Composite({"gamma": gamma, "blur": blur})
    noise = composite.draw(image, generator())
    own = [{k.partition(".")[2]: v for k, v in noise.items() if k.startswith(n)} for n in ("gamma", "blur")]
    torch.testing.assert_close(composite(image, noise), blur(gamma(image, own[0]), own[1]))
    other = Composite({"blur": blur, "gamma": gamma})(image, noise)
    torch.testing.assert_close(other, gamma(blur(image, own[1]), own[0]))
    assert not torch.allclose(other, composite(image, noise))


def test_mixtures_are_chained_and_say_that_they_are():
    composite = named("gamma+contrast+blur")
    assert composite.changes_mixture
    assert not named("gamma+blur").changes_mixture
    noise = composite.draw(torch.zeros(3, 1, 4, 4, 4), generator())
    given = Mixture(torch.zeros(3, 1, 3), torch.zeros(3, 1, 3))
    found, expected = composite.mixture(given, noise), Contrast(generation=generation())
    expected = expected.mixture(given, {k.removeprefix("contrast."): v for k, v in noise.items()})
    assert torch.equal(found.mean, expected.mean) and torch.equal(found.std, expected.std)


def test_theta_has_the_names_of_the_parts():
    names = [name for name, _ in named("contrast+parametric-range+gamma").named_parameters()]
    assert {name.partition(".")[0] for name in names} == {"contrast", "parametric-range", "gamma"}
    assert "gamma.mean" in names


def test_a_name_that_two_parts_have_is_read_with_the_part():
    model = named("parametric+tests.augmenters.test_composite:Shift+gamma")
    assert list(model.bounded()) == [
        *("exponent_low", "exponent_middle", "exponent_high", "parametric.sigma", "Shift.sigma"),
        *("log_gamma_mean", "log_gamma_spread"),
    ]


def test_options_are_given_by_part_and_what_is_known_to_all():
    model = named("parametric+contrast+tests.augmenters.test_composite:Shift", parametric={"sigma": 0.0})
    assert model.bounded()["parametric.sigma"] == 0.0
    assert model.contrast.mean().shape == (1, 3)
    own = "tests.augmenters.test_composite:Shift"
    assert named(f"gamma+{own}", **{own: {"sigma": 2.0}}).bounded()["sigma"] == 2.0


def test_a_single_name_is_that_augmenter_with_its_options():
    model = named("parametric", sigma=0.1)
    assert isinstance(model, Parametric) and model.bounded()["sigma"] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("gamma+parametrik", {}, "Did you mean 'parametric'"),
        ("gamma+", {}, "There is no augmenter of that name"),
        ("gamma+blur+gamma", {}, "expected gamma once"),
        ("gamma+blur", {"spread": 0.1}, "belong to none of its parts"),
        ("gamma+blur", {"gamma": 0.1}, "belong to none of its parts"),
        ("gamma+blur", {"rician": {"sigma": 0.1}}, "belong to none of its parts"),
        ("gamma+blur", {"gamma": {"sigma": 0.1}}, "has no such option"),
        ("gamma+json:JSONDecoder", {}, "without draw, forward"),
        ("gamma+tests.augmenters.test_composite:Simple", {}, "without bounded, torch.nn.Module"),
        ("tests.augmenters.test_composite:Simple", {}, "without bounded, torch.nn.Module"),
    ],
)
def test_what_is_wrong_is_the_users_error(name, options, message):
    with pytest.raises(UserError, match=message):
        named(name, **options)
