"""A network of a user's own that is compiled: which estimators go through it, and which one cannot."""

import locale
from contextlib import suppress

import pytest
import torch

from l2s_auto.augmenters import Parametric
from l2s_auto.hypergradients import HYPERGRADIENTS
from l2s_auto.networks import parameters
from l2s_auto.optimisers import SGD
from tests.hypergradients.problem import Problem, make_network, relative_error


def hyper_step(name, network, model):
    rule, phi = SGD(rate=0.1), parameters(network)
    return HYPERGRADIENTS[name]()(Problem(network, model, 0), phi, parameters(model), rule, rule.init(phi)).theta_grad


@pytest.fixture
def utf8():
    """Of the compiler's own files that are not ASCII, which it reads as the process's locale says."""
    before = locale.setlocale(locale.LC_CTYPE)
    with suppress(locale.Error):  # not all systems have it
        locale.setlocale(locale.LC_CTYPE, "C.UTF-8")
    yield
    locale.setlocale(locale.LC_CTYPE, before)


@pytest.fixture
def compiled(utf8):
    """As torch.compile does it by default, but for the code that it would write."""
    torch._dynamo.reset()
    yield torch.compile(make_network("silu"), backend="aot_eager")
    torch._dynamo.reset()


@pytest.mark.parametrize("name", sorted(set(HYPERGRADIENTS) - {"unrolled"}))
def test_estimators_without_a_double_backward_work_on_a_compiled_network(compiled, name):
    model = Parametric().double()
    plain = hyper_step(name, make_network("silu"), model)
    assert relative_error(hyper_step(name, compiled, model), plain) < 1e-6


def test_a_double_backward_through_a_compiled_network_is_refused_by_pytorch(compiled):
    with pytest.raises(RuntimeError, match="double backward"):
        hyper_step("unrolled", compiled, Parametric().double())
