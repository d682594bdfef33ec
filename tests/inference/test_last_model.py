"""Which model a prediction uses when none is named, and what is said of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from l2s_auto import cli
from l2s_auto.core.errors import UserError
from l2s_auto.inference import last_model as module
from l2s_auto.inference.export import export_model
from l2s_auto.inference.last_model import RUNS, choose_model, last_model, remember_model, state_file
from l2s_auto.inference.usable import described, is_whole
from tests.inference.tiny_models import write_run


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A working folder and a home of the test's own."""
    for name in ("XDG_STATE_HOME", "LOCALAPPDATA", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def aged(run: Path, seconds: float) -> Path:
    """A run whose weights were written so many seconds after another's."""
    for file in run.glob("fold_*/weights.safetensors"):
        os.utime(file, (1.6e9 + seconds, 1.6e9 + seconds))
    return run


def validate(run: Path, dice: float, *, cases: int = 2) -> None:
    place = run / "fold_0" / "validation"
    place.mkdir(parents=True, exist_ok=True)
    rows = [{"case": f"c{n}", "labels": {}} for n in range(cases)]
    about = {"mean": {"dice": dice}, "labels": {}, "cases": rows, "notes": []}
    (place / "metrics.json").write_text(json.dumps(about), encoding="utf-8")


def test_the_newest_here_is_used_and_the_others_are_named():
    for number, name in enumerate(("b", "c", "a")):
        aged(write_run(RUNS / name), number)
    choice = choose_model()
    assert choice.path == RUNS / "a" and [path.name for path in choice.others] == ["c", "b"]
    assert choice.lines() == ["2 other models in l2s_runs: c, b. Name one with -m."]
    aged(RUNS / "b", 10)
    assert last_model() == RUNS / "b"


def test_the_newest_fold_counts_and_deeper_folders_too():
    aged(write_run(RUNS / "one"), 5)
    inner = aged(write_run(RUNS / "project" / "two", folds=("fold_0", "fold_1")), 0)
    os.utime(inner / "fold_1" / "weights.safetensors", (1.6e9 + 9, 1.6e9 + 9))
    assert choose_model().path == inner


@pytest.mark.parametrize("harm", ["none", "empty", "cut", "zeros", "plan", "no recipe", "foreign part"])
def test_a_run_without_usable_weights_is_passed_over_and_said(harm, tmp_path):
    aged(write_run(RUNS / "good"), 0)
    bad = write_run(RUNS / "bad")
    weights = bad / "fold_0" / "weights.safetensors"
    whole = weights.read_bytes()
    if harm == "none":
        weights.unlink()
    elif harm in ("empty", "cut", "zeros"):
        weights.write_bytes({"empty": b"", "cut": whole[:-5], "zeros": bytes(len(whole))}[harm])
        assert not is_whole(weights)
    elif harm == "plan":
        (bad / "plan.json").write_text("{")
    elif harm == "no recipe":
        (bad / "recipe.json").unlink()
    else:
        recipe = json.loads((bad / "recipe.json").read_text())
        recipe["network"]["name"] = "elsewhere:Net"
        (bad / "recipe.json").write_text(json.dumps(recipe))
    aged(bad, 60)
    choice = choose_model()
    assert choice.path == RUNS / "good" and "Passed over" in " ".join(choice.notes) and "bad" in " ".join(choice.notes)
    with pytest.raises(UserError, match="bad"):
        (RUNS / "good").rename(tmp_path / "away")
        choose_model()


def test_a_cascade_needs_its_first_network(monkeypatch):
    from tests.inference.tiny_models import make_plan

    run = write_run(RUNS / "cascade")
    about = make_plan().model_dump(mode="json")
    low = {name: about[name] for name in ("spacing", "patch", "batch", "topology", "iterations")}
    (run / "plan.json").write_text(json.dumps({**about, "low_resolution": low}), encoding="utf-8")
    with pytest.raises(UserError, match=r"first network of the cascade|plan"):
        choose_model()


def test_without_one_here_the_last_one_is_used_and_its_folder_is_said(tmp_path, caplog):
    run = write_run(tmp_path / "other place" / "run")
    remember_model(run)
    choice = choose_model()
    assert choice.path == run.resolve() and "from another folder" in " ".join(choice.notes)
    assert last_model() == run.resolve() and "from another folder" in caplog.text
    (run / "fold_0" / "weights.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match="cannot be used"):
        choose_model()


def test_a_newer_one_elsewhere_is_told(tmp_path):
    aged(write_run(RUNS / "here"), 0)
    other = aged(write_run(tmp_path / "elsewhere"), 5)
    remember_model(other)
    choice = choose_model()
    assert choice.path == RUNS / "here" and str(other) in " ".join(choice.notes)
    aged(other, -5)
    assert choose_model().notes == ()


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="users are not told apart here")
def test_another_users_model_is_said_and_another_users_note_is_refused(tmp_path, monkeypatch):
    run = write_run(RUNS / "mine")
    remember_model(write_run(tmp_path / "elsewhere"))
    owner = os.stat(run).st_uid
    monkeypatch.setattr(module.os, "getuid", lambda: owner + 1)
    assert "another user" in " ".join(choose_model().notes)
    run.rename(tmp_path / "away")
    with pytest.raises(UserError, match=r"another user.*\n.*last_model\.json.*-m"):
        choose_model()
    assert state_file().exists()


def test_an_imported_model_counts(tmp_path):
    run = aged(write_run(RUNS / "old"), 0)
    validate(run, 0.8, cases=3)
    zipped = export_model(run, tmp_path / "sent.zip")
    assert cli.import_model([str(zipped)]) == 0
    assert choose_model().path == RUNS / "sent"
    assert "mean Dice 0.800 on 3 validation cases" in described(RUNS / "sent")[0]


def test_what_is_printed_fits_and_tells_what_the_model_is():
    run = aged(write_run(RUNS / "run"), 0)
    assert "not validated" in described(run)[0]
    validate(run, 0.034)
    about, labels = described(run)
    assert "2020-09-13" in about and "mean Dice 0.034 on 2 validation cases" in about and labels.startswith("Labels: ")
    assert described(run / "fold_0") == [about, labels] and len(labels) <= 80


def test_the_model_is_named_before_pytorch_is_loaded(tmp_path):
    """And so within a second or two."""
    validate(aged(write_run(RUNS / "run"), 0), 0.034)
    code = """
import sys
from l2s_auto.commands.default_model import named_model
named_model(None, shown=True)
assert "torch" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True)
    assert done.stdout.splitlines()[0] == f"Model: {RUNS / 'run'}" and "0.034" in done.stdout


def test_a_model_that_finds_nothing_is_warned_of_once(tmp_path, capsys):
    import nibabel as nib
    import numpy as np

    run = write_run(RUNS / "run")
    validate(run, 0.01)
    scan = tmp_path / "scan.nii.gz"
    nib.save(nib.Nifti1Image(np.random.default_rng(0).random((12, 12, 12)).astype("f4"), np.eye(4)), scan)
    for number, named in enumerate(([], ["-m", str(run)])):
        out = tmp_path / f"out{number}" / "scan.nii.gz"
        assert cli.predict(["-i", str(scan), "-o", str(out), "--device", "cpu", *named]) == 0
        text = capsys.readouterr()
        assert text.out.startswith("Model: ")
        assert " ".join(text.err.split()).count("finds (almost) nothing: mean Dice 0.010") == 1
        assert all(len(line) <= 80 or "/" in line for line in (text.out + text.err).splitlines())
