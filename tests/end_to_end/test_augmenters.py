"""Trainings with several augmenters at once, as a user asks for them."""

import json

import pytest

from l2s_auto import cli
from tests.end_to_end.test_commands import history, train


def test_a_training_with_several_augmenters_writes_their_theta(dataset, tmp_path):
    run = tmp_path / "run"
    # Theta rests for the first 30 %, and then moves on every iteration.
    options = ["--augmenter", "contrast+parametric-range", "--iterations", "8", "--hyper-every", "1"]
    assert train(dataset, run, *options) == 0
    expected = {"exponent_low", "exponent_middle", "exponent_high", "sigma_min", "sigma_max"}
    expected |= {"contrast_shift", "contrast_spread", "contrast_std", "contrast_log_std_spread"}
    first, last = history(run)[0]["theta"], history(run)[-1]["theta"]
    assert set(last) == expected
    assert last["contrast_shift"] > 0 and last["sigma_max"] != first["sigma_max"]
    assert last["sigma_min"] <= last["sigma_max"]
    assert json.loads((run / "recipe.json").read_text())["augmenter"]["name"] == "contrast+parametric-range"
    assert "contrast_spread" in (run / "report.html").read_text(encoding="utf-8")
    assert train(dataset, run, *options, "--iterations", "10", "--resume") == 0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("contrast+parametrik", "Did you mean 'parametric'"),
        ("blur+blur", "expected blur once"),
        ("math:sin", "cannot be made"),
        ("tests.training.test_checks:NeedsMore", "missing 1 required keyword-only argument"),
        ("tests.training.test_checks:Empty", "nothing to learn"),
        ("tests.training.test_checks:Idle", "idle_one"),
    ],
)
def test_a_wrong_part_is_known_before_anything_is_written(dataset, tmp_path, name, message, capsys):
    trust = ["--trust-code", name] if ":" in name else []
    assert train(dataset, tmp_path / "run", "--augmenter", name, *trust) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_users_own_augmenter_needs_trust_on_each_call(dataset, tmp_path, capsys):
    run, own = tmp_path / "run", "tests.training.test_checks:Plain"
    options = ["--augmenter", own, "--iterations", "2"]
    assert train(dataset, run, *options) == 2
    assert f"--trust-code {own}" in capsys.readouterr().err and not run.exists()
    assert train(dataset, run, *options, "--trust-code", own) == 0
    assert f"--trust-code {own}" in (run / "report.html").read_text(encoding="utf-8")
    assert train(dataset, run, "--augmenter", own, "--iterations", "3", "--resume") == 2
    assert train(dataset, run, "--augmenter", own, "--iterations", "3", "--resume", "--trust-code", own) == 0
    again = [*options, "--init", str(run), "--trust-code", own]
    assert train(dataset, tmp_path / "again", *again) == 0
    capsys.readouterr()
    assert train(dataset, tmp_path / "third", "--iterations", "2", "--init", str(run)) == 2
    assert f"--trust-code {own}" in " ".join(capsys.readouterr().err.split())
    scans = ["-i", str(dataset / "images"), "-o", str(tmp_path / "out"), "-m", str(run), "--device", "cpu"]
    assert cli.predict(scans) == 2
    assert cli.predict([*scans, "--trust-code", own]) == 0


def test_all_augmenters_are_named_in_the_help(capsys):
    from l2s_auto.augmenters import AUGMENTERS

    with pytest.raises(SystemExit):
        cli.plan_and_train(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert all(f" {name}," in text for name in AUGMENTERS)
