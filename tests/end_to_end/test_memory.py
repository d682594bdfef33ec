"""Options that save memory, from the command line."""

import pytest
from safetensors.torch import load_file

from l2s_auto import cli


@pytest.fixture(autouse=True)
def spared(monkeypatch):
    """How often the allocator was to be thrifty; it stays as it is in the process of the tests."""
    calls = []
    monkeypatch.setattr(cli, "spare_memory", lambda: calls.append(1))
    return calls


def train(dataset, run, *options):
    command = [str(dataset), "-o", str(run), "--iterations", "3", "--hyper-every", "1", "--device", "cpu"]
    return cli.plan_and_train([*command, *options])


def test_a_checkpointed_training_has_the_same_weights_and_predicts(dataset, tmp_path, spared):
    for name, options in (("plain", []), ("checkpointed", ["--checkpointing"])):
        assert train(dataset, tmp_path / name, *options) == 0
        assert bool(spared) == (name == "checkpointed")
    first, second = (load_file(tmp_path / n / "fold_0" / "weights.safetensors") for n in ("plain", "checkpointed"))
    assert list(first) == list(second)
    arguments = ["-i", str(dataset / "images"), "-o", str(tmp_path / "out"), "-m", str(tmp_path / "checkpointed")]
    assert cli.predict([*arguments, "--device", "cpu"]) == 0


def test_a_plan_that_does_not_fit_is_the_users_error(dataset, tmp_path, capsys):
    assert train(dataset, tmp_path / "run", "--dry-run") == 0
    assert train(dataset, tmp_path / "run", "--memory-gb", "0.001") == 2
    error = " ".join(capsys.readouterr().err.split())
    assert "more memory than is allowed" in error and "plan.json" in error


def test_a_training_goes_on_with_less_memory(dataset, tmp_path, capsys):
    run = tmp_path / "run"
    assert train(dataset, run) == 0
    assert train(dataset, run, "--resume", "--iterations", "5", "--micro-batch", "1", "--checkpointing") == 0
    assert "goes on from iteration 3" in capsys.readouterr().out
    assert train(dataset, run, "--resume", "--hypergradient", "unrolled") == 2
