"""Whatever is differenced or differentiated twice is computed in the full precision of float32, and nothing else is."""

import pytest
import torch

from l2s_auto.augmenters import Parametric
from l2s_auto.hypergradients import HYPERGRADIENTS
from l2s_auto.hypergradients.precision import full_precision
from l2s_auto.networks import parameters
from l2s_auto.optimisers import SGD
from tests.hypergradients.problem import Problem, make_network

FLAGS = ((torch.backends.cudnn, "allow_tf32"), (torch.backends.cuda.matmul, "allow_tf32"))


@pytest.fixture(params=[False, True])
def before(request):
    """What a user's program has chosen."""
    kept = [getattr(place, name) for place, name in FLAGS]
    for place, name in FLAGS:
        setattr(place, name, request.param)
    yield [request.param] * 2
    for (place, name), value in zip(FLAGS, kept, strict=True):
        setattr(place, name, value)


def flags():
    return [getattr(place, name) for place, name in FLAGS]


def test_a_users_choice_comes_back(before):
    with full_precision():
        assert flags() == [False, False]
    assert flags() == before
    with pytest.raises(ZeroDivisionError), full_precision():
        raise ZeroDivisionError
    assert flags() == before


@pytest.mark.parametrize("name", HYPERGRADIENTS)
def test_the_real_pass_is_fast_and_what_is_differenced_is_not(name, before):
    network, model = make_network(), Parametric().double()
    problem, seen = Problem(network, model, 0), {"synthetic": [], "real": []}
    synth_loss, real_loss = problem.synth_loss, problem.real_loss

    def spy_synthetic(*given, **options):
        seen["synthetic"].append(flags())
        return synth_loss(*given, **options)

    def spy_real(*given, **options):
        seen["real"].append(flags())
        return real_loss(*given, **options)

    problem.synth_loss, problem.real_loss = spy_synthetic, spy_real
    estimator, rule, phi = HYPERGRADIENTS[name](), SGD(rate=0.1), parameters(network)
    estimator(problem, phi, parameters(model), rule, rule.init(phi))
    assert seen["real"] == [before]
    first, *differenced = seen["synthetic"]
    assert first == (before if estimator.fast_synthetic else [False, False])
    assert all(value == [False, False] for value in differenced)
