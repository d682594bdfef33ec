"""The warning of kinks: when it comes and what it says."""

import logging

import pytest

from l2s_auto.core.component import Component
from l2s_auto.core.recipe import Recipe
from l2s_auto.training.methods import METHODS
from l2s_auto.training.smoothness import warn_of_kinks


@pytest.fixture
def warnings(plan, caplog, monkeypatch):
    """(activation, estimator, method) -> messages, whether or not an earlier training has set our logger up."""
    logger = logging.getLogger("l2s_auto")
    monkeypatch.setattr(logger, "propagate", False)
    logger.addHandler(caplog.handler)

    def messages(activation, estimator, method="learn2synth"):
        network = Component(name="unet", options={"activation": activation})
        recipe = Recipe(network=network, hypergradient=Component(name=estimator), method=Component(name=method))
        caplog.clear()
        warn_of_kinks(plan, recipe, METHODS[method]())
        return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]

    yield messages
    logger.removeHandler(caplog.handler)


@pytest.mark.parametrize("estimator", ["finite-difference", "finite-difference-central"])
@pytest.mark.parametrize(("activation", "name"), [("leaky-relu", "LeakyReLU"), ("relu", "ReLU")])
def test_it_names_what_was_found_and_the_mends(warnings, activation, name, estimator):
    (message,) = warnings(activation, estimator)
    assert f"({name})" in message and f"--hypergradient {estimator})" in message and "\n" not in message
    assert "elu, silu or gelu" in message and "--hypergradient unrolled" in message


@pytest.mark.parametrize("activation", ["elu", "silu", "gelu"])
def test_none_for_smooth_activations(warnings, activation):
    assert warnings(activation, "finite-difference") == []


@pytest.mark.parametrize("estimator", ["unrolled", "forward"])
def test_none_for_exact_estimators(warnings, estimator):
    assert warnings("leaky-relu", estimator) == []


@pytest.mark.parametrize("method", ["synthseg", "supervised"])
def test_none_where_theta_is_not_learned(warnings, method):
    assert warnings("leaky-relu", "finite-difference", method) == []
