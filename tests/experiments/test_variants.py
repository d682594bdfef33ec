"""What an experiment compares, by name."""

import json
import shlex
from pathlib import Path

import pytest

from l2s_auto.commands import parsers
from l2s_auto.core.composition import uniform
from l2s_auto.core.errors import UserError
from l2s_auto.core.recipe import Recipe
from l2s_auto.experiments.methods import methods
from l2s_auto.experiments.methods.trainings import Work
from l2s_auto.experiments.methods.variants import command_of, recipe_of, variant_and_aim


@pytest.mark.parametrize(
    ("variant", "options"),
    [
        ("supervised", ["--method", "supervised"]),
        ("learn2synth-random", ["--contrasts", "random", "--home", "0.0"]),
        ("learn2synth:nonparametric", ["--augmenter", "nonparametric"]),
    ],
)
def test_the_command_trains_what_is_recommended(variant, options, tmp_path):
    assert shlex.split(command_of(variant, tmp_path / "my data")) == [
        "l2s_plan_and_train", str(tmp_path / "my data"), *options,
    ]  # fmt: skip
    recipe = recipe_of(variant)
    args = parsers.plan_and_train().parse(["data", *options])
    assert (args.method, args.augmenter) == (recipe.method.name, recipe.augmenter.name)
    assert (args.contrasts == "random") == (recipe.families == uniform())


def test_the_form_of_the_paper_has_no_command(tmp_path):
    assert command_of("learn2synth-paper", tmp_path) == ""


def test_a_colon_asks_for_a_name():
    with pytest.raises(UserError, match=r"(?s)no such method.*learn2synth:AUGMENTER"):
        recipe_of("learn2synth:")


def test_variants():
    assert recipe_of("learn2synth:nonparametric").augmenter.name == "nonparametric"
    paper, random = recipe_of("learn2synth-paper", iterations=3), recipe_of("learn2synth-random", iterations=3)
    assert (
        paper.families == uniform() and paper.hyper_every == 1 and paper.loss.name == "dice" and paper.iterations == 3
    )
    assert random == Recipe(families=uniform(), home=0.0, iterations=3)


def test_a_variant_may_have_fractions_and_an_aim():
    recipe = recipe_of("mixed@original=0.5,random-curve=0.5", iterations=3)
    assert recipe.method.name == "mixed" and recipe.families == {"original": 0.5, "random-curve": 0.5}
    assert variant_and_aim("learn2synth^home") == ("learn2synth", "home") and variant_and_aim("mixed") == (
        "mixed",
        None,
    )
    assert recipe_of("learn2synth^each").aim == "each"
    assert "--aim home" in command_of("learn2synth^home", Path("data"))


@pytest.mark.parametrize(
    ("variant", "message"),
    [
        ("learn2synth^abroad", r"(?s)cannot be chosen for that.*home, both, anywhere, each"),
        ("supervised^home", r"(?s)one end only.*learn2synth\^home"),
        ("learn2synth-random^home", "one end only"),
        ("learn2synth@real-like=0.5", r"(?s)such images.*sum to 1"),
        ("learn2synth@original=1", r"(?s)never learns from a scan as it is.*mixed"),
    ],
)
def test_a_variant_that_cannot_be_is_refused(variant, message):
    with pytest.raises(UserError, match=message):
        recipe_of(variant)


def test_one_training_serves_all_aims_but_the_choice_for_each_scan(tmp_path):
    def trained(name):
        return Work(tmp_path, {"iterations": 3}, 0, 5, name).trained

    assert trained("learn2synth^home") == trained("learn2synth^anywhere") == trained("learn2synth")
    assert trained("learn2synth^each") not in (trained("learn2synth"), trained("learn2synth^home"))


def test_each_aim_has_a_row_and_all_but_one_share_a_training(dataset, tmp_path):
    names = ["learn2synth", "learn2synth^home", "learn2synth^anywhere", "learn2synth^each"]
    methods(tmp_path, data=dataset, methods=names, iterations=16, tests=2)
    result = json.loads((tmp_path / "methods.json").read_text())
    assert [row["variant"] for row in result["rows"]] == names and not result["missing"]
    weights = sorted(path.parent.parent.parent.parent.name for path in tmp_path.rglob("weights.safetensors"))
    assert weights == ["learn2synth", "learn2synth^each"]
    assert {row["iterations"] for row in result["rows"]} == {16}
    methods(tmp_path, data=dataset, methods=names[:2], iterations=16, tests=2)
    assert (tmp_path / "learn2synth^home").is_dir()
