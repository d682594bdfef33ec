"""Commands in the report lead to what they promise."""

import shlex

import pytest

from l2s_auto import cli
from l2s_auto.commands import parsers
from l2s_auto.core.component import Component
from l2s_auto.core.recipe import Recipe
from l2s_auto.report.commands import options_of, train_longer
from l2s_auto.report.run_data import FoldData, RunData


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--method", "supervised"],
        ["--contrasts", "random"],
        ["--aim", "anywhere"],
        ["--augmenter", "contrast+gamma+parametric", "--loss", "dice", "--seed", "1234567"],
        ["--hypergradient", "unrolled", "--direction", "implicit", "--hyper-every", "3", "--hyper-part", "0.5"],
        ["--network", "residual-unet", "--missing-channels"],
    ],
)
def test_a_run_goes_on_with_the_options_that_it_was_begun_with(options, tmp_path, monkeypatch):
    """What the command line makes of the report's options is the recipe again."""
    recipes = []

    def taken(**given):
        recipes.append(given["recipe"])
        return tmp_path

    monkeypatch.setattr("l2s_auto.training.run.plan_and_train", taken)
    assert cli.plan_and_train(["data", *options]) == 0
    assert cli.plan_and_train(["data", *options_of(recipes[0])]) == 0
    assert recipes[0] == recipes[1]


@pytest.mark.parametrize(
    ("folds", "cv", "fold"),
    [(["0"], False, None), (["all"], False, "all"), (["2"], False, "2"), (["0", "1"], True, None)],
)
def test_the_same_folds_go_on(folds, cv, fold, tmp_path):
    found = tuple(FoldData(f"fold_{name}", (), None, True) for name in folds)
    run = RunData(tmp_path / "my run", None, None, Recipe(method=Component(name="synthseg")), found, None, ())
    (command,) = train_longer(run)
    name, *arguments = shlex.split(command)
    assert name == "l2s_plan_and_train"
    args = parsers.plan_and_train().parse(arguments)
    assert (args.output, args.cv, str(args.fold), args.resume) == (tmp_path / "my run", cv, str(fold), True)
    assert args.method == "synthseg" and args.time_budget == 8 * 3600
