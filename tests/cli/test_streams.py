"""Streams that are closed, or that nobody reads to the end, do not stop a command."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from l2s_auto.commands.runner import run_command
from l2s_auto.core.errors import UserError
from l2s_auto.core.messages import LogFile
from l2s_auto.core.streams import bar_stream, safe_stream

ROOT = Path(__file__).resolve().parents[2]

SCRIPT = """
import sys
from l2s_auto.commands.runner import run_command

def body():
    for _ in range(20000):
        print("line", chr(0x2192), chr(0xDCE9))
    print("error", file=sys.stderr)
    open(sys.argv[1], "w").close()
    return 0

sys.exit(run_command(body, command="l2s_test", leaves=True))
"""


@pytest.mark.skipif(os.name == "nt", reason="shells differ")
@pytest.mark.parametrize(
    "how",
    [
        "| head -1",
        ">&-",
        "2>&-",
        "<&- >&- 2>&-",
        "2>&1 | head -1",
        "> /dev/full",
        "2> /dev/full",
        "&> /dev/full",
        "1< /dev/null",
    ],
)
def test_the_work_is_done_all_the_same(tmp_path, how):
    done, code = tmp_path / "done", tmp_path / "code"
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    within, behind = ("", how) if "|" in how else (how, "")
    shell = f"({sys.executable} {script} {done} {within}; echo $? > {code}) {behind}"
    found = subprocess.run(["bash", "-c", shell], capture_output=True, encoding="utf-8", errors="replace", check=False)
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


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
@pytest.mark.parametrize(("options", "code"), [("--help", 0), ("--version", 0), ("--bad", 2), ("-i  -o y", 2)])
@pytest.mark.parametrize("how", ["> /dev/full 2> /dev/full", ">&- 2>&-"])
def test_streams_decide_no_exit_code(tmp_path, how, options, code):
    script = tmp_path / "l2s_predict"
    script.write_text("import sys\nfrom l2s_auto.cli import predict\nsys.exit(predict())\n", encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    found = subprocess.run(["bash", "-c", f"{sys.executable} {script} {options} {how}"], env=environment, check=False)
    assert found.returncode == code


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_text_is_shown_in_any_encoding_and_names_cannot_steer_the_terminal(encoding):
    program = (
        "from l2s_auto.commands.runner import run_command\n"
        "run_command(lambda: print('\\u2192 caf\\udce9 \\x1b[2J') or 0, command='l2s_test', leaves=True)"
    )
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONPATH": str(ROOT)}
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, env=environment, check=True)
    arrow = "\u2192" if encoding == "utf-8" else r"\u2192"
    assert found.stdout.decode(encoding) == rf"{arrow} caf\xe9 \x1b[2J" + "\n"


class Failing(io.StringIO):
    """A stream that fails for a while."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error: Exception | None = error

    def write(self, text: str) -> int:
        if self.error is not None:
            raise self.error
        return super().write(text)


@pytest.mark.parametrize(
    "error", [OSError(28, "full"), OSError(5, "gone"), BlockingIOError(11, "slow"), ValueError("shut")]
)
def test_what_a_stream_does_not_take_is_dropped_and_the_rest_is_written(error):
    stream = Failing(error)
    safe = safe_stream(stream)
    print("lost", file=safe)
    stream.error = None
    print("kept", file=safe)
    assert stream.getvalue() == "kept\n"


def test_progress_bars_keep_their_control_characters(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", safe_stream(stream))
    bar_stream().write("\r50%\x1b[A")
    sys.stderr.write("\rname")
    assert stream.getvalue() == "\r50%\x1b[A\\rname"


def test_a_log_file_that_cannot_be_written_is_named_once_and_ends_nothing(capsys, monkeypatch):
    if not os.path.exists("/dev/full"):
        pytest.skip("a device of Linux")
    handler = LogFile(Path("/dev/full"))
    for _ in range(3):
        handler.handle(logging.LogRecord("l2s_auto", logging.INFO, "", 0, "caf\udce9", None, None))
    handler.close()
    err = capsys.readouterr().err
    assert err.count("/dev/full cannot be written") == 1 and "Traceback" not in err


def test_a_log_file_shows_names_as_text(tmp_path):
    handler = LogFile(tmp_path / "log.txt")
    handler.handle(logging.LogRecord("l2s_auto", logging.INFO, "", 0, "caf\udce9 \x1b[2J", None, None))
    handler.close()
    assert (tmp_path / "log.txt").read_text(encoding="utf-8").endswith("INFO caf\\xe9 \\x1b[2J\n")


def test_messages_before_a_training_has_its_log_reach_the_terminal(capsys, monkeypatch):
    logger = logging.getLogger("l2s_auto")
    monkeypatch.setattr(logger, "handlers", [])

    def body():
        logger.info("Waiting for %s", "another process")
        logger.warning("Warning: odd")

    assert run_command(body, command="l2s_test") == 0
    assert capsys.readouterr() == ("Waiting for another process\n", "Warning: odd\n")
    assert logger.handlers == []


def test_a_report_is_not_appended_to_a_link(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "l2s_error.log").symlink_to("precious")
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(sys, "argv", ["l2s_test", "caf\udce9"])

    def body():
        raise RuntimeError("odd")

    assert run_command(body, command="l2s_test") == 1
    assert (tmp_path / "precious").read_text() == "mine"
    assert r"caf\xe9" in (tmp_path / "temporary" / "l2s_error.log").read_text(encoding="utf-8")
