"""Streams that are closed, or that nobody reads to the end, do not stop a command."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from l2s_auto.commands.runner import run_command
from l2s_auto.core.errors import UserError

SCRIPT = """
import sys
from l2s_auto.commands.runner import run_command

def body():
    for _ in range(20000):
        print("line")
    print("error", file=sys.stderr)
    open(sys.argv[1], "w").close()
    return 0

sys.exit(run_command(body, command="l2s_test", leaves=True))
"""


@pytest.mark.skipif(os.name == "nt", reason="shells differ")
@pytest.mark.parametrize("how", ["| head -1", ">&-", "2>&-", ">&- 2>&-", "2>&1 | head -1"])
def test_the_work_is_done_all_the_same(tmp_path, how):
    done, code = tmp_path / "done", tmp_path / "code"
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    shell = f"({sys.executable} {script} {done}; echo $? > {code}) {how}"
    found = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=False)
    assert done.exists() and code.read_text(encoding="utf-8").strip() == "0"
    assert "Traceback" not in found.stderr and "internal" not in found.stderr


@pytest.mark.parametrize("error", [UserError("a mistake"), KeyboardInterrupt(), OSError(28, "full"), ValueError("odd")])
def test_what_is_said_at_the_end_is_one_write(tmp_path, monkeypatch, error):
    """Otherwise another process that writes to the same terminal could end up within the line."""
    writes: list[str] = []
    monkeypatch.setattr(sys.stderr, "write", lambda text: writes.append(text) or len(text))

    def body():
        raise error

    assert run_command(body, command="l2s_test", log=tmp_path / "log.txt") != 0
    assert len(writes) == 1 and writes[0].startswith("l2s_test: ") and writes[0].endswith("\n")
