"""Whatever is differenced or differentiated twice is computed in the full precision of float32, and nothing else is."""

import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from l2s_auto.augmenters import Parametric
from l2s_auto.hypergradients import HYPERGRADIENTS
from l2s_auto.hypergradients.precision import OPERATIONS, full_precision
from l2s_auto.networks import parameters
from l2s_auto.optimisers import SGD
from tests.hypergradients.problem import Problem, make_network

PLACES = [
    torch.backends.cudnn.conv,
    torch.backends.cuda.matmul,
    torch.backends.mkldnn.conv,
    torch.backends.mkldnn.matmul,
]
FULL = ["ieee"] * len(PLACES)


@pytest.fixture(params=["ieee", "tf32"])
def before(request):
    """What a user's program has chosen."""
    kept = flags()
    set_flags([request.param] * len(PLACES))
    yield [request.param] * len(PLACES)
    set_flags(kept)


def flags():
    return [place.fp32_precision for place in PLACES]


def set_flags(values):
    for place, value in zip(PLACES, values, strict=True):
        place.fp32_precision = value


def test_a_users_choice_comes_back(before):
    with full_precision():
        assert flags() == FULL
    assert flags() == before
    with pytest.raises(ZeroDivisionError), full_precision():
        raise ZeroDivisionError
    assert flags() == before


@pytest.mark.parametrize(
    "setting",
    [
        "pass",
        "backends.cuda.matmul.fp32_precision = 'tf32'",
        "backends.fp32_precision = 'tf32'",
        "backends.mkldnn.matmul.fp32_precision = 'bf16'",
        "backends.cuda.matmul.allow_tf32 = True",
        "backends.cudnn.allow_tf32 = False",
        "torch.set_float32_matmul_precision('medium')",
    ],
)
def test_settings_of_either_kind_come_back(setting):
    """In a process of their own, since PyTorch cannot take settings of both kinds back."""
    code = f"""
import torch
from torch import backends
from l2s_auto.hypergradients.precision import full_precision

def read(path):
    try:
        place, name = path.rsplit(".", 1)
        return getattr(eval(place), name)
    except RuntimeError:
        return "mixed"

NEW = [f"backends.{{path}}.fp32_precision" for path in {OPERATIONS}]
OLD = ["backends.cuda.matmul.allow_tf32", "backends.cudnn.allow_tf32"]
{setting}
before = [read(path) for path in NEW + OLD], torch.get_float32_matmul_precision() if {"fp32" not in setting} else None
with full_precision():
    assert [read(path) for path in NEW] == ["ieee"] * len(NEW)
assert before[0] == [read(path) for path in NEW + OLD], before
assert before[1] is None or before[1] == torch.get_float32_matmul_precision()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_switches_of_an_older_pytorch_come_back(monkeypatch):
    backends = SimpleNamespace(
        cudnn=SimpleNamespace(allow_tf32=True), cuda=SimpleNamespace(matmul=SimpleNamespace(allow_tf32=False))
    )
    monkeypatch.setattr(torch, "backends", backends)
    with full_precision():
        assert not backends.cudnn.allow_tf32 and not backends.cuda.matmul.allow_tf32
    assert backends.cudnn.allow_tf32 and not backends.cuda.matmul.allow_tf32


def test_there_is_no_autocast_in_full_precision():
    a = torch.ones(2, 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (a @ a).dtype == torch.bfloat16
        with full_precision():
            assert (a @ a).dtype == torch.float32
        assert (a @ a).dtype == torch.bfloat16


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
    assert first == (before if estimator.fast_synthetic else FULL)
    assert all(value == FULL for value in differenced)
