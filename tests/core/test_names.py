"""Names that come from files: one line, printable; part of a path, or refused."""

import pytest

from l2s_auto.core.errors import UserError
from l2s_auto.core.names import is_name, is_path_part, path_part
from l2s_auto.core.printable import printable

PARTS = ["Dataset004_Hippocampus", "my data (2)", "köpfe", "a.b", "-x", ".hidden", "ab: c", "..."]
NO_PARTS = [
    "",
    " ",
    ".",
    "..",
    "../x",
    "a/b",
    "/etc",
    "a\\b",
    "..\\x",
    "C:x",
    "C:",
    "a\0b",
    "a\nb",
    "\x1b[2J",
    "\ud800",
]


@pytest.mark.parametrize("text", PARTS)
def test_parts_of_a_path_stay(text):
    assert is_path_part(text) and path_part(text, default="other") == text


@pytest.mark.parametrize("text", [*NO_PARTS, "x" * 256, "ü" * 128])
def test_what_is_no_part_of_a_path_becomes_one(text):
    assert not is_path_part(text)
    made = path_part(text, default="other")
    assert is_path_part(made) and len(made.encode()) <= 255


@pytest.mark.parametrize(
    "text", ["", "  ", "a\tb", "a\nb", "\x1b[31mred", "\u202eevil", "\x7f", "\x9b2J", "\ud800", "x" * 201]
)
def test_names_are_short_printable_lines(text):
    assert not is_name(text) and is_name("Left-Thalamus/Proper ü 脳")


def test_messages_show_control_characters_and_are_one_line_an_offence():
    error = UserError.single("Summary.", where="a\x1b[2Jb", found="x\ny\ud800", expected="\u202ez", mend="Do.")
    assert str(error).split("\n") == ["Summary.", r"  - a\x1b[2Jb: found x\ny\ud800; expected \u202ez. Do."]
    str(error).encode("utf-8")
    assert printable("plain ü") == "plain ü"
