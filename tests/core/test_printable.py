"""Names cannot steer a terminal, and text that needs no change has none."""

import logging

import pytest

from l2s_auto.core.errors import UserError
from l2s_auto.core.messages import SafeFormatter
from l2s_auto.core.printable import printable, printable_lines


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("\x1b[2J\x1b]0;owned\x07", r"\x1b[2J\x1b]0;owned\x07"),
        ("a\rb\nc\td\x00\x7f", r"a\rb\nc\td\x00\x7f"),
        ("\x9b31m", r"\x9b31m"),  # the same in one character
        ("gnp.\u202eexe", r"gnp.\u202eexe"),
        ("caf\udce9", r"caf\xe9"),  # a byte that is not UTF-8
    ],
)
def test_what_steers_a_terminal_is_shown_as_text(name, shown):
    assert printable(name) == shown
    assert printable(printable(name)) == shown


def test_other_text_is_as_it_was():
    for text in ("Köpfe und Hälse", "頭部 1", "a \\ b", "🧠"):
        assert printable(text) == text == printable_lines(text)
    assert printable_lines("a\n\tb\n") == "a\n\tb\n"


def test_errors_and_messages_show_names_as_text(tmp_path):
    error = UserError.single("Wrong.", where="a\x1b[1m.nii", found="x\ny", expected="z", mend="Correct it.")
    assert "\x1b" not in str(error) and r"a\x1b[1m.nii: found x\ny;" in str(error)
    record = logging.LogRecord("l2s_auto", logging.INFO, "", 0, "%s\n%s", (tmp_path / "a\nb\x1b", "c\x1b"), None)
    assert SafeFormatter("%(message)s").format(record) == f"{tmp_path}/a\\nb\\x1b\nc\\x1b"
