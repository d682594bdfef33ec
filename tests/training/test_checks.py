"""A recipe whose training would fail later is refused before it starts, with the parameters' names."""

import pytest
import torch
from torch import nn

from l2s_auto.augmenters import AUGMENTERS, AugmenterModule
from l2s_auto.core.component import Component
from l2s_auto.core.composition import uniform
from l2s_auto.core.errors import UserError
from l2s_auto.core.recipe import Recipe
from l2s_auto.core.trust import trusting
from l2s_auto.hypergradients import HYPERGRADIENTS
from l2s_auto.io.json_files import write_json
from l2s_auto.losses import LOSSES
from l2s_auto.optimisers import OPTIMISERS
from l2s_auto.training.build import check_names
from l2s_auto.training.checks import build_method, check_recipe, warn_of_unused
from l2s_auto.training.methods import METHODS
from l2s_auto.training.methods.learn2synth import Learn2Synth
from l2s_auto.training.run_folder import RunFolder


class Plain(AugmenterModule):
    """image · gain: a parameter that has a say, and a place for others."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))

    def draw(self, image, generator):
        return {"unused": torch.zeros(len(image))}

    def forward(self, image, noise):
        return image * self.gain

    def bounded(self):
        return {}


class Empty(Plain):
    def __init__(self):
        super().__init__()
        del self.gain

    def forward(self, image, noise):
        return image


class Frozen(Plain):
    def __init__(self):
        super().__init__()
        self.requires_grad_(False)


class PartlyFrozen(Plain):
    def __init__(self):
        super().__init__()
        self.fixed = nn.Parameter(torch.ones(()), requires_grad=False)


class Idle(Plain):
    def __init__(self):
        super().__init__()
        self.idle_one = nn.Parameter(torch.ones(2))


class Detached(Plain):
    def forward(self, image, noise):
        return super().forward(image, noise).detach()


class ZeroAtFirst(Plain):
    """Connected, with a gradient of 0."""

    def forward(self, image, noise):
        return image + 0 * self.gain


class NeedsLargeImages(Plain):
    def forward(self, image, noise):
        if image.shape[2] < 16:
            raise RuntimeError("too small")
        return super().forward(image, noise)


class NeedsChannels(Plain):
    def __init__(self, *, channels):
        super().__init__()
        self.channels = channels


class NeedsMore(Plain):
    def __init__(self, *, something):
        super().__init__()


class Slashed(Plain):
    def __init__(self):
        super().__init__()
        self.register_parameter("a/b", nn.Parameter(torch.ones(())))

    def forward(self, image, noise):
        return super().forward(image, noise) + getattr(self, "a/b")


class Mixes(Plain):
    """A parameter that acts on the class intensities alone."""

    changes_mixture = True

    def mixture(self, mixture, noise):
        return type(mixture)(mixture.mean * self.gain, mixture.std)

    def forward(self, image, noise):
        return image


class ThirdParty(Learn2Synth):
    """A method of a user's own that learns theta."""


class Lacking:
    """A method without a step."""

    needs_images = hyper_steps = False


@pytest.fixture(autouse=True)
def trust():
    """What the tests name here and elsewhere."""
    own = [f"{__name__}:{name}" for name, value in globals().items() if isinstance(value, type)]
    with trusting([*own, "math:sin", "builtins:dict", "fractions:Fraction"]):
        yield


def recipe_of(augmenter, method="learn2synth", **changes):
    name = augmenter if isinstance(augmenter, str) else f"{__name__}:{augmenter.__name__}"
    return Recipe(augmenter=Component(name=name), method=Component(name=method), **changes)


@pytest.mark.parametrize("name", [*AUGMENTERS, "contrast+gamma+blur+parametric", "contrast+nonparametric"])
def test_the_projects_augmenters_pass(name):
    not_matched = "nonparametric" in name or name == "share"  # too many numbers; not moved by it: refused, see below
    for method in set(METHODS) - {"learn2synth-matched" if not_matched else ""}:
        check_recipe(recipe_of(name, method))


@pytest.mark.parametrize("name", ["nonparametric", "contrast+nonparametric"])
def test_a_theta_of_too_many_numbers_is_refused_before_anything_takes_long(name):
    with pytest.raises(UserError, match=r"too many numbers(?s:.*)at most 64"):
        check_recipe(recipe_of(name, "learn2synth-matched"))


@pytest.mark.parametrize("name", ["contrast+parametric", "share+parametric"])
def test_contrasts_that_are_random_are_not_learned(name):
    recipe = recipe_of(name)
    check_recipe(recipe)
    with pytest.raises(UserError, match="random and learned at once"):
        check_recipe(recipe.model_copy(update={"families": uniform()}))


def test_a_share_that_the_method_would_not_move_is_refused_before_anything_takes_long():
    with pytest.raises(UserError, match="would not be learned"):
        check_recipe(recipe_of("share+parametric", "learn2synth-matched"))


def test_a_method_that_learns_theta_learns_from_no_scan_as_it_is():
    families = {"real-like": 0.5, "original": 0.5}
    with pytest.raises(UserError, match=r"never learns from a scan as it is(?s:.*)original=0.5 with the method learn2"):
        check_recipe(Recipe(families=families))
    check_recipe(Recipe(families=families, method=Component(name="mixed")))


def test_an_augmenter_that_cannot_be_tried_is_said(caplog):
    check_recipe(recipe_of(NeedsLargeImages))
    assert "could not be tried on images of 8 x 8 x 8 voxels" in caplog.text


@pytest.mark.parametrize("augmenter", [Plain, PartlyFrozen, ZeroAtFirst, NeedsLargeImages, NeedsChannels, Mixes])
def test_augmenters_that_can_learn_pass(augmenter):
    check_recipe(recipe_of(augmenter))


@pytest.mark.parametrize("method", ["learn2synth", f"{__name__}:ThirdParty"])
@pytest.mark.parametrize(
    ("augmenter", "message"),
    [
        (Empty, r"nothing to learn(?s:.*)--method synthseg"),
        (Frozen, r"nothing to learn(?s:.*)--method synthseg"),
        (Idle, r"without influence(?s:.*)found idle_one;"),
        (Detached, r"without influence(?s:.*)found gain;"),
    ],
)
def test_a_theta_that_cannot_be_learned_is_refused(augmenter, message, method):
    with pytest.raises(UserError, match=message):
        check_recipe(recipe_of(augmenter, method))


def test_a_part_that_detaches_takes_the_others_influence():
    name = f"contrast+gamma+{__name__}:Detached"
    with pytest.raises(UserError, match=r"contrast\.raw_mean(?s:.*)gamma(?s:.*)Detached\.gain"):
        check_recipe(recipe_of(name))


@pytest.mark.parametrize("method", ["synthseg", "supervised"])
@pytest.mark.parametrize("augmenter", [Empty, Frozen, Idle, Detached])
def test_methods_that_do_not_learn_theta_need_none(augmenter, method):
    check_recipe(recipe_of(augmenter, method))


def test_matching_needs_a_theta_but_no_gradient_by_it():
    for augmenter in (Idle, Detached):
        check_recipe(recipe_of(augmenter, "learn2synth-matched"))
    for augmenter in (Empty, Frozen):
        with pytest.raises(UserError, match="nothing to learn"):
            check_recipe(recipe_of(augmenter, "learn2synth-matched"))


@pytest.mark.parametrize("name", ["math:sin", "builtins:dict", f"{__name__}:NeedsMore"])
def test_an_augmenter_that_cannot_be_made_is_refused(name):
    with pytest.raises(UserError, match="cannot be made"):
        check_recipe(recipe_of(name))


@pytest.mark.parametrize(
    "changes",
    [
        {"hypergradient": Component(name="fractions:Fraction")},
        {"loss": Component(name="fractions:Fraction")},
        {"optimiser": Component(name="fractions:Fraction")},
        {"outer_optimiser": Component(name="fractions:Fraction")},
        {"schedule": Component(name="fractions:Fraction")},
        {"method": Component(name=f"{__name__}:Lacking")},
    ],
)
def test_a_part_of_another_kind_is_refused(changes):
    with pytest.raises(UserError, match=r"cannot be used(?s:.*)without"):
        check_recipe(Recipe(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"optimiser": Component(name="adam", options={"rate": -1.0})},
        {"hypergradient": Component(name="finite-difference", options={"step": 0.0})},
        {"augmenter": Component(name="nonparametric", options={"features": 0})},
        {"method": Component(name="learn2synth-matched", options={"follow": 2.0})},
    ],
)
def test_options_out_of_range_are_a_users_error(changes):
    with pytest.raises(UserError, match=r"cannot be made(?s:.*)ValueError"):
        check_recipe(Recipe(**changes))


def test_names_that_a_checkpoint_cannot_hold_are_refused():
    with pytest.raises(UserError, match=r"cannot be saved(?s:.*)a/b"):
        check_recipe(recipe_of(Slashed))
    with pytest.raises(UserError, match=r"network mine(?s:.*)a/b"):
        check_names(Slashed(), kind="network", name="mine")


@pytest.mark.parametrize("registry", [HYPERGRADIENTS, LOSSES, OPTIMISERS])
def test_the_projects_own_parts_pass(registry):
    field = {id(HYPERGRADIENTS): "hypergradient", id(LOSSES): "loss", id(OPTIMISERS): "optimiser"}[id(registry)]
    for name in registry:
        check_recipe(Recipe(**{field: Component(name=name)}))
    for name in METHODS:
        build_method(Recipe(method=Component(name=name)))


@pytest.mark.parametrize(
    ("method", "options", "said"),
    [
        ("synthseg", {"augmenter": Component(name="share")}, "no use of the augmenter share"),
        ("supervised", {"hypergradient": Component(name="unrolled"), "hyper_every": 3}, "hypergradient, hyper-every"),
        ("supervised", {"families": uniform()}, ""),
        ("learn2synth", {"families": uniform()}, ""),
        ("learn2synth", {"hyper_every": 3, "augmenter": Component(name="nonparametric")}, ""),
        ("synthseg", {}, ""),
    ],
)
def test_what_a_method_makes_no_use_of_is_said(method, options, said, caplog):
    recipe = Recipe(method=Component(name=method), **options)
    warn_of_unused(recipe, METHODS[method]())
    assert said in caplog.text if said else not caplog.text


@pytest.mark.parametrize(
    ("name", "mend"),
    [
        ("learn2synth:gamma", "Leave out --method and add --augmenter gamma"),
        ("learn2synth-random", "--contrasts random"),
    ],
)
def test_forms_of_the_method_are_known_by_their_options(name, mend):
    with pytest.raises(UserError, match=mend):
        check_recipe(Recipe(method=Component(name=name)))


def test_a_run_goes_on_with_other_options_in_no_case(tmp_path):
    run = RunFolder(tmp_path / "run")
    write_json(run.recipe, Recipe(families=uniform(), home=0.0))
    run.fold("0").mkdir()
    (run.fold("0") / "weights.safetensors").touch()
    asked = Recipe(method=Component(name="synthseg"), iterations=7)
    with pytest.raises(UserError) as caught:
        run.check(asked, ["0"], [], dataset=tmp_path, resume=True)
    assert [offence.found.split(" = ")[0] for offence in caught.value.offences] == [
        "method", "families (--families or --contrasts)", "home (--home)",
    ]  # fmt: skip
