"""Commands are read by a shell as they were meant."""

import os
import shutil
import subprocess

import pytest

from l2s_auto.core.printable import printable
from l2s_auto.core.shell import command_line, quoted

NAMES = [
    "plain",
    "two words",
    "it's",
    'a"b',
    "$HOME",
    "Köpfe",
    "new\nline",
    os.fsdecode(b"caf\xe9 'x\\y"),
    "~",
    "",
    "-m",
]


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_reads_the_words_back():
    line = command_line(NAMES)
    code = f"printf '%s\\0' {line}"
    found = subprocess.run(["bash", "-c", code], capture_output=True, check=True).stdout.split(b"\0")[:-1]
    assert found == [os.fsencode(name) for name in NAMES]


@pytest.mark.parametrize("name", NAMES)
def test_a_terminal_shows_the_word_as_it_is_to_be_typed(name):
    assert printable(quoted(name)) == quoted(name)
