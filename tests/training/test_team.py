"""Two processes are one process with the joint batch; whatever a leader says, all hear."""

import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from l2s_auto.core.component import Component
from l2s_auto.core.errors import ProcessLost, UserError
from l2s_auto.core.recipe import Recipe
from l2s_auto.hypergradients import HYPERGRADIENTS
from l2s_auto.training.methods import METHODS
from l2s_auto.training.team import ALONE, Team, require_samples, team_from_environment
from tests.training.team_worker import train

ROOT = Path(__file__).parents[2]


def recipes():
    """A training of each method, of each estimator, and a few that cut a batch up in other ways."""
    rule = Component(name="sgd", options={"rate": 0.1, "momentum": 0.9})
    shared = {"hyper_every": 2, "warm_up": 0.0, "optimiser": rule, "outer_optimiser": rule}
    for method in METHODS:
        # One level of noise: a range's ends follow from a small difference, in which rounding shows.
        yield method, Recipe(method=Component(name=method), augmenter=Component(name="parametric"), **shared)
    for estimator in HYPERGRADIENTS:
        yield estimator, Recipe(hypergradient=Component(name=estimator), **shared)
    implicit = Component(name="finite-difference-central", options={"direction": "implicit"})
    # With seed 0 its linear system enlarges rounding: one process with micro-batches differs by 1.4e-5, here by 3e-6.
    yield "implicit", Recipe(hypergradient=implicit, seed=2, **shared)
    share = Component(name="share+parametric")
    yield "share", Recipe(augmenter=share, **shared)
    yield "micro-batches", Recipe(micro_batch=1, **shared)
    yield "adam", Recipe(**{**shared, "optimiser": Component(name="adam", options={"rate": 1e-3})})
    yield "nonparametric", Recipe(augmenter=Component(name="nonparametric", options={"start": 0.1}), **shared)


RECIPES = dict(recipes())
#: In these a small difference divides, and rounding shows: one process with micro-batches of 1 differs from itself with
#: the whole batch as much (by 6e-4 of sigma in learn2synth-matched, on a CPU with AMX).
ROUNDED = ("adam", "learn2synth-matched")


@pytest.fixture
def odd_plan(plan):
    """A batch that two processes cannot share out evenly."""
    return plan.model_copy(update={"batch": 3})


@pytest.fixture
def together(odd_plan, cases, tmp_path):
    """What two processes reached with each recipe, and what they said."""
    jobs = [(odd_plan, cases, recipe) for recipe in RECIPES.values()]
    (tmp_path / "jobs.pkl").write_bytes(pickle.dumps(jobs))
    command = [sys.executable, "-m", "tests.training.team_worker", str(tmp_path)]
    processes = [
        subprocess.Popen([*command, str(rank), "2"], cwd=ROOT, stderr=subprocess.PIPE, text=True) for rank in range(2)
    ]
    errors = [process.communicate(timeout=300)[1] for process in processes]
    files = [tmp_path / f"done_{rank}.pkl" for rank in range(2)]
    assert all(file.exists() for file in files), errors
    return [pickle.loads(file.read_bytes()) for file in files], [process.returncode for process in processes], errors


def test_two_processes_are_one_with_the_joint_batch(together, odd_plan, cases):
    ((first, said_first), (second, said_second)), codes, errors = together
    for number, (name, recipe) in enumerate(RECIPES.items()):
        alone = train(odd_plan, cases, recipe, ALONE)
        for kind in ("phi", "theta"):
            close = {"rtol": 2e-3 if name in ROUNDED else 1e-4, "atol": 1e-5}
            for key, value in alone[kind].items():
                ours = first[number][kind][key]
                assert torch.equal(ours, second[number][kind][key]), (name, key)
                assert torch.allclose(ours, value, **close), (name, key, (ours - value).abs().max())
        for ours, theirs in zip(first[number]["losses"], alone["losses"], strict=True):
            assert [o for o in ours if o] == pytest.approx([t for t in theirs if t], rel=1e-4)
    assert said_first == said_second
    assert said_first == {"agreed": (10.0, True), "gathered": ["0 a", "0 b", "1 a", "1 b"], "from leader": 7}
    assert codes == [1, 1], errors
    assert "the leader stops" in errors[0]
    assert errors[1] == ""


@pytest.mark.parametrize("samples", [1, 2, 3, 7, 8])
@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_every_sample_and_value_has_one_process(samples, size):
    everything = list(range(samples))
    teams = [Team(rank, size) for rank in range(size)]
    shares = [everything[team.share(samples)] for team in teams]
    assert [s for share in shares for s in share] == everything
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert sorted(s for team in teams for s in team.some_of(everything)) == everything


def test_one_process_needs_no_messages(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    team, device = team_from_environment("cpu")
    assert (team, device) == (ALONE, "cpu")
    assert team.gather([1]) == [1]
    assert team.agree(3.0, True) == (3.0, True)
    with pytest.raises(KeyError):
        team.from_leader(lambda: {}["nothing"])


@pytest.mark.parametrize(
    ("message", "act"),
    [
        ("all_reduce", lambda team: team.sum({"a": torch.ones(2)})),
        ("all_reduce", lambda team: team.agree(1.0, False)),
        ("all_gather_object", lambda team: team.gather([1])),
        ("broadcast_object_list", lambda team: team.from_leader(lambda: 1)),
    ],
)
@pytest.mark.parametrize("rank", [0, 1])
def test_a_message_that_does_not_arrive_means_that_another_process_ended(monkeypatch, message, act, rank):
    def fails(*given, **options):
        raise RuntimeError("pair.cc:534 Connection closed\n by peer")

    monkeypatch.setattr(torch.distributed, message, fails)
    with pytest.raises(ProcessLost, match=r"another process of the team ended \(.*Connection closed by peer\)"):
        act(Team(rank, 2))


def test_a_leaders_error_is_its_own_though_nobody_hears_it(monkeypatch):
    def fails(*given, **options):
        raise RuntimeError("Connection closed by peer")

    monkeypatch.setattr(torch.distributed, "broadcast_object_list", fails)
    with pytest.raises(KeyError):
        Team(0, 2).from_leader(lambda: {}["nothing"])


def test_a_device_number_is_refused_where_each_process_has_its_own(monkeypatch):
    told = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match="a device each"):
        team_from_environment("cuda:1")


def test_a_batch_of_fewer_samples_than_processes_is_refused():
    require_samples(Team(0, 2), 2)
    with pytest.raises(UserError, match="more processes than samples"):
        require_samples(Team(0, 3), 2)
