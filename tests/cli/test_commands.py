"""Help, exit codes and messages of the commands. The rooms behind them are replaced by small stand-ins."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest

from l2s_auto import cli
from l2s_auto.commands import parsers
from l2s_auto.core.composition import uniform
from l2s_auto.core.dial import AIMS
from l2s_auto.core.errors import ProcessLost, UserError
from l2s_auto.experiments import EXPERIMENTS
from l2s_auto.experiments.methods.variants import USUAL
from l2s_auto.hypergradients.directions import DIRECTIONS
from l2s_auto.training.methods import METHODS

COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "l2s_plan_and_train": cli.plan_and_train,
    "l2s_predict": cli.predict,
    "l2s_evaluate": cli.evaluate,
    "l2s_demo": cli.demo,
    "l2s_export": cli.export_model,
    "l2s_import": cli.import_model,
    "l2s_experiment": cli.experiment,
}


def stand_in(monkeypatch: pytest.MonkeyPatch, name: str, **contents: object) -> None:
    """Put a module of that name with these contents in place of the real one."""
    module = types.ModuleType(name)
    vars(module).update(contents)
    monkeypatch.setitem(sys.modules, name, module)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    """Calls that reach the training; it returns the run folder without training."""
    calls: list[dict] = []

    def plan_and_train(**given: object) -> Path:
        calls.append(given)
        return Path("l2s_runs") / "heads"

    stand_in(monkeypatch, "l2s_auto.training.run", plan_and_train=plan_and_train)
    stand_in(monkeypatch, "l2s_auto.training.methods", METHODS={"learn2synth": None, "supervised": None})
    return calls


def raises(error: BaseException) -> Callable[..., None]:
    def body(*_: object, **__: object) -> None:
        raise error

    return body


@pytest.mark.parametrize("name", COMMANDS)
def test_help_ends_with_0_and_has_examples(name: str, capsys) -> None:
    with pytest.raises(SystemExit) as end:
        COMMANDS[name](["--help"])
    text = capsys.readouterr().out
    assert end.value.code == 0
    assert "examples:" in text and f"\n  {name}" in text
    assert all(len(line) <= 120 for line in text.splitlines())


def test_every_command_is_listed_and_has_a_script(capsys) -> None:
    assert cli.list_commands() == 0
    text = capsys.readouterr().out
    assert set(COMMANDS) == set(parsers.SUMMARIES)
    assert all(name in text for name in COMMANDS)
    setup = (Path(__file__).resolve().parents[2] / "setup.py").read_text(encoding="utf-8")
    for name, function in COMMANDS.items():
        assert f"{name}=l2s_auto.cli:{function.__name__}" in setup


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["data", "--time-bugdet", "10m"], "did you mean --time-budget?"),
        (["data", "--iter", "10"], "there is no such option: '--iter'"),
        (["data", "--time-budget", "soon"], "expected a duration such as"),
        (["data", "--fold", "one"], "expected a fold number"),
        (["data", "--memory-gb", "0"], "expected a number greater than 0"),
        (["data", "--hyper-part", "0"], "expected a number greater than 0 and at most 1"),
        (["data", "--micro-batch", "0"], "expected a whole number, at least 1"),
        (["data", "--patch", "64", "64"], "expected 3 arguments"),
        (["data", "--patch", "64", "0", "64"], "expected a whole number, at least 1"),
        (["data", "--spacing", "1", "1", "-1"], "expected a number greater than 0"),
        (["data", "--spacing", "1", "1", "10001"], "expected millimetres, at least 1e-07, at most 10000"),
        (["data", "--features", "321"], "expected a whole number from 1 to 320"),
        (["data", "--seed", "9" * 20], "expected a whole number, at most 2147483647"),
        (["data", "--fold", "1", "--cv"], "not allowed with"),
        (["data", "--aim", "abroad"], "'home', 'both', 'anywhere', 'each'"),
        ([], "DATASET"),
    ],
)
def test_wrong_option_ends_with_2_and_says_what_is_right(arguments: list[str], message: str, capsys) -> None:
    with pytest.raises(SystemExit) as end:
        cli.plan_and_train(arguments)
    text = " ".join(capsys.readouterr().err.split())  # lines are folded
    assert end.value.code == 2
    assert message in text and "l2s_plan_and_train --help" in text


def test_training_gets_what_was_asked_for(trained: list[dict], capsys) -> None:
    options = (
        "--method supervised --iterations 7 --time-budget 2m --fold all --seed 3 --workers 0 --device cpu --resume"
    )
    assert cli.plan_and_train(["Köpfe und Hälse", *options.split()]) == 0
    (call,) = trained
    recipe = call["recipe"]
    assert call["dataset"] == Path("Köpfe und Hälse") and call["output"] is None
    assert (recipe.method.name, recipe.iterations, recipe.time_budget, recipe.seed) == ("supervised", 7, 120.0, 3)
    assert (call["fold"], call["cv"], call["device"], call["workers"]) == ("all", False, "cpu", 0)
    assert call["resume"] is True and call["dry_run"] is False and call["memory_gb"] is None
    assert "l2s_predict -i IN -o OUT -m" in capsys.readouterr().out


def test_hyper_steps_are_as_asked_for_and_else_as_in_the_recipe(trained: list[dict]) -> None:
    options = "--hypergradient unrolled --hyper-every 5 --hyper-part 0.5 --micro-batch 1"
    assert cli.plan_and_train(["data", *options.split()]) == 0 == cli.plan_and_train(["data"])
    recipe, default = (call["recipe"] for call in trained)
    assert (recipe.hypergradient.name, recipe.hyper_every, recipe.hyper_part, recipe.micro_batch) == (
        "unrolled", 5, 0.5, 1,
    )  # fmt: skip
    assert default == type(default)()


def test_contrasts_may_be_random(trained: list[dict]) -> None:
    assert cli.plan_and_train(["data", "--contrasts", "random"]) == 0
    assert trained[0]["recipe"].families == uniform()


def test_fractions_of_the_families_are_typed_as_text(trained: list[dict], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.plan_and_train(["data", "--families", "real-like=0.6,random-curve=0.4"]) == 0
    assert trained[0]["recipe"].families == {"real-like": 0.6, "random-curve": 0.4}
    assert cli.plan_and_train(["data"]) == 0 and trained[1]["recipe"].families is None
    for wrong, said in (
        ("real-like=0.6", "must sum to 1"),
        ("curves=1", "unknown family curves"),
        ("x", "is not NAME="),
    ):
        with pytest.raises(SystemExit) as left:
            cli.plan_and_train(["data", "--families", wrong])
        assert left.value.code == 2 and said in " ".join(capsys.readouterr().err.split())


def test_contrasts_and_families_say_the_same_thing_twice(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        cli.plan_and_train(["data", "--contrasts", "random", "--families", "original=1"])
    assert left.value.code == 2 and "not allowed with" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("aim", AIMS)
def test_the_aim_is_a_part_of_the_recipe(aim: str, trained: list[dict]) -> None:
    assert cli.plan_and_train(["data", "--aim", aim]) == 0 == cli.plan_and_train(["data"])
    assert [call["recipe"].aim for call in trained] == [aim, "both"]


def test_a_direction_goes_with_any_estimator(trained: list[dict]) -> None:
    for options in (["--direction", "implicit"], ["--direction", "implicit", "--hypergradient", "unrolled"]):
        assert cli.plan_and_train(["data", *options]) == 0
    names = [(call["recipe"].hypergradient.name, call["recipe"].hypergradient.options) for call in trained]
    assert names == [("finite-difference", {"direction": "implicit"}), ("unrolled", {"direction": "implicit"})]


def test_the_plan_is_the_planners_where_nothing_else_is_asked_for(trained: list[dict]) -> None:
    options = "--spacing 1 1.5 2 --patch 64 48 32 --batch 3 --features 8"
    assert cli.plan_and_train(["data", *options.split()]) == 0 == cli.plan_and_train(["data"])
    asked, default = (call["choices"] for call in trained)
    assert (asked.spacing, asked.patch, asked.batch, asked.features) == ((1.0, 1.5, 2.0), (64, 48, 32), 3, 8)
    assert default == type(default)()


def test_what_help_names_is_what_there_is(capsys) -> None:
    assert set(parsers.METHODS) == set(METHODS) and set(parsers.EXPERIMENTS) == set(EXPERIMENTS)
    assert f"default: {', '.join(USUAL)})" in " ".join(parsers.experiment().format_help().split())
    assert set(parsers.DIRECTIONS) == set(DIRECTIONS)
    assert parsers.AIMS == AIMS
    assert cli.experiment(["recovry"]) == 2
    assert "no such experiment" in capsys.readouterr().err


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_that_writes_may_be_told_to_overwrite(name: str, capsys) -> None:
    with pytest.raises(SystemExit):
        COMMANDS[name](["--help"])
    assert "--overwrite" in capsys.readouterr().out


def test_the_wish_to_overwrite_reaches_the_training(trained: list[dict]) -> None:
    assert cli.plan_and_train(["data", "--overwrite"]) == 0 == cli.plan_and_train(["data"])
    assert trained[0]["overwrite"] is True and "overwrite" not in trained[1]


def test_the_loss_is_a_part_of_the_recipe(trained: list[dict]) -> None:
    assert cli.plan_and_train(["data", "--loss", "dice+cldice", "--device", "cpu"]) == 0
    assert cli.plan_and_train(["data", "--device", "cpu"]) == 0
    assert [call["recipe"].loss.name for call in trained] == ["dice+cldice", "dice+cross-entropy"]


def test_user_error_ends_with_2_and_no_traceback(monkeypatch, trained, capsys, tmp_path) -> None:
    error = UserError.single("Wrong.", where="a.nii.gz", found="shape 3", expected="4", mend="Mend it.")
    monkeypatch.setattr(sys.modules["l2s_auto.training.run"], "plan_and_train", raises(error))
    monkeypatch.chdir(tmp_path)
    assert cli.plan_and_train(["data", "--device", "cpu"]) == 2
    text = capsys.readouterr().err
    assert "a.nii.gz: found shape 3; expected 4. Mend it." in text and "Traceback" not in text
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("run_exists", [True, False])
def test_internal_error_ends_with_1_one_line_and_a_log(run_exists, monkeypatch, trained, capsys, tmp_path) -> None:
    monkeypatch.setattr(sys.modules["l2s_auto.training.run"], "plan_and_train", raises(RuntimeError("broken\nbadly")))
    monkeypatch.chdir(tmp_path)
    if run_exists:
        (tmp_path / "run").mkdir()
    assert cli.plan_and_train(["data", "-o", str(tmp_path / "run"), "--device", "cpu"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    log = tmp_path / ("run/log.txt" if run_exists else "l2s_error.log")
    assert str(log) in line and "RuntimeError: broken" in line
    assert "Traceback" in log.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        RuntimeError("Error while serializing: I/O: No space left on device"),
        OSError(27, "File too large"),  # a limit of file sizes
        RuntimeError("Error while serializing: I/O error: File too large (os error 27)"),
    ],
)
def test_a_full_disk_is_told_without_a_traceback(error, monkeypatch, trained, capsys, tmp_path) -> None:
    monkeypatch.setattr(sys.modules["l2s_auto.training.run"], "plan_and_train", raises(error))
    monkeypatch.chdir(tmp_path)
    assert cli.plan_and_train(["data", "--device", "cpu"]) == 2
    assert "The disk is full" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_internal_error_appends_to_the_log(monkeypatch, trained, tmp_path) -> None:
    monkeypatch.setattr(sys.modules["l2s_auto.training.run"], "plan_and_train", raises(RuntimeError("broken")))
    log = tmp_path / "log.txt"
    log.write_text("earlier\n", encoding="utf-8")
    assert cli.plan_and_train(["data", "-o", str(tmp_path), "--device", "cpu"]) == 1
    assert log.read_text(encoding="utf-8").startswith("earlier\n")


def test_a_lost_process_is_named_in_one_line_with_what_to_do(monkeypatch, trained, capsys, tmp_path) -> None:
    error = ProcessLost(RuntimeError("[pair.cc:534]\nConnection closed by peer"))
    monkeypatch.setattr(sys.modules["l2s_auto.training.run"], "plan_and_train", raises(error))
    monkeypatch.setenv("RANK", "1")
    assert cli.plan_and_train(["data", "-o", str(tmp_path), "--device", "cpu"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "another process of the team ended ([pair.cc:534] Connection closed by peer). " in line
    assert line.endswith("Go on with the same command and --resume.")
    assert "Traceback" in (tmp_path / "log.txt").read_text(encoding="utf-8")


def test_interruption_and_sigterm_end_with_130(monkeypatch, trained, capsys) -> None:
    def terminated(**_: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()

    handler = signal.getsignal(signal.SIGTERM)
    for body in (raises(KeyboardInterrupt()), terminated):
        monkeypatch.setattr(sys.modules["l2s_auto.training.run"], "plan_and_train", body)
        assert cli.plan_and_train(["data", "--device", "cpu"]) == 130
        assert "--resume" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is handler


def test_sigterm_does_not_cut_short_what_is_said_at_the_end(monkeypatch, trained, capsys) -> None:
    """torchrun sends it to the others as soon as one of them has ended."""

    class Lost(UserError):
        def __str__(self) -> str:
            os.kill(os.getpid(), signal.SIGTERM)
            return "said all the same"

    monkeypatch.setattr(sys.modules["l2s_auto.training.run"], "plan_and_train", raises(Lost("x")))
    assert cli.plan_and_train(["data", "--device", "cpu"]) == 2
    assert "said all the same" in capsys.readouterr().err


def test_a_command_ends_with_its_code_whatever_waits_in_the_background() -> None:
    """Pools that nobody ended are told to, what they do is done, and what was registered for the end runs."""
    script = """
import atexit, time
from concurrent.futures import ThreadPoolExecutor
from l2s_auto.commands.runner import run_command
pool = ThreadPoolExecutor(1)
pool.submit(print, "idle now").result()
pool.submit(lambda: (time.sleep(0.2), print("done")))
atexit.register(print, "registered")
run_command(lambda: 3, command="test", leaves=True)
print("never")
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 3 and ended.stdout.split("\n") == ["idle now", "done", "registered", ""]


def test_what_one_has_no_right_to_is_named(trained, tmp_path, monkeypatch, capsys) -> None:
    error = PermissionError(13, "Permission denied", "/data/scans")
    stand_in(monkeypatch, "l2s_auto.training.run", plan_and_train=raises(error))
    assert cli.plan_and_train([str(tmp_path)]) == 2
    assert "Permission denied: /data/scans. Give yourself the right" in capsys.readouterr().err


def test_an_empty_path_is_none(capsys) -> None:
    with pytest.raises(SystemExit) as end:
        cli.predict(["-i", "", "-o", "out"])
    assert end.value.code == 2 and "expected a path" in capsys.readouterr().err
