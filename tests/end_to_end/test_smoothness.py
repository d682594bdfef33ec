"""The warning of kinks comes once a training call, not once a fold."""

import pytest

from l2s_auto.core.component import Component
from l2s_auto.core.recipe import Recipe
from l2s_auto.training import run as training


@pytest.mark.parametrize(("activation", "times"), [("leaky-relu", 1), ("elu", 0)])
def test_once_for_all_folds(dataset, tmp_path, monkeypatch, activation, times):
    folds = []
    monkeypatch.setattr(training, "train_fold", lambda name, *rest, **options: folds.append(name))
    for name in ("remember_model", "write_report"):
        monkeypatch.setattr(training, name, lambda path, **options: None)
    recipe = Recipe(
        network=Component(name="unet", options={"activation": activation}),
        hypergradient=Component(name="finite-difference"),
    )
    run = training.plan_and_train(
        dataset=dataset, output=tmp_path / "run", recipe=recipe, device="cpu", cv=True, workers=0
    )
    assert len(folds) == 5
    assert (run / "log.txt").read_text(encoding="utf-8").count("the network has kinks") == times
