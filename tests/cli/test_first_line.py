"""Each command says at once what it begins with: before PyTorch is loaded, which takes seconds."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import sys
from l2s_auto import cli

class Told:
    def find_spec(self, name, *_):
        if name == "torch":
            print("PyTorch is loaded", flush=True)
            raise ImportError("not in this test")

sys.meta_path.insert(0, Told())
getattr(cli, sys.argv[1])(sys.argv[2:])
"""


@pytest.mark.parametrize(
    ("function", "arguments", "first"),
    [
        ("plan_and_train", ["no data"], "l2s_plan_and_train 0.1.0: reading no data"),
        ("predict", ["-i", "in", "-o", "out", "-m", "no model"], "Model: no model"),
        ("evaluate", ["-p", "a", "-r", "b", "-m", "c"], "l2s_evaluate 0.1.0: reading a"),
        ("demo", ["-o", "here"], "l2s_demo 0.1.0: making phantoms in here"),
        ("export_model", ["no model", "x.zip"], "l2s_export 0.1.0: reading no model"),
        ("import_model", ["x.zip"], "l2s_import 0.1.0: reading x.zip"),
        ("experiment", ["recovery"], "l2s_experiment 0.1.0: recovery"),
    ],
)
def test_the_first_line_comes_first(function, arguments, first, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", CODE, function, *arguments], cwd=tmp_path, capture_output=True, encoding="utf-8"
    )
    version = done.stdout.splitlines()[0]
    assert version.startswith(first.partition(" 0.")[0]) and version.endswith(first.partition(": ")[2])
    assert "PyTorch is loaded" not in version


@pytest.mark.parametrize("function", ["plan_and_train", "predict", "evaluate", "demo", "export_model", "experiment"])
def test_help_fits_a_terminal_but_for_commands(function, monkeypatch, capsys):
    from l2s_auto import cli

    monkeypatch.setenv("COLUMNS", "300")
    with pytest.raises(SystemExit):
        getattr(cli, function)(["--help"])
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if len(line) > 80 and not line.startswith("  l2s_")] == []
    assert lines[0].startswith("usage: l2s_")
