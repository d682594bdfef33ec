"""Text in tables is neither a formula nor a command, and reads back as it was."""

from __future__ import annotations

import pytest

from l2s_auto.io.cells import kept_cell, plain_cell, safe_cell

DANGEROUS = [
    "=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n-1", " =1", "\u00a0=1", "＝1", "＋1", "－1", "＠A", "'=1",
    "''=1", "-", "=cmd|' /C calc'!A0", "\x1b[31mred\x1b[0m", "a\x07b", "a\x00b", "a\x7fb", "a\x9bb", "a\udcffb",
    "a\u2028b", "right\u202eleft", "\ufeff=1", "\u200b=1", "\\x41", "\\\\x41", "'\\x3d1", "\x1b\\x1b", "=\\u202e\u202e",
]  # fmt: skip
HARMLESS = [
    "",
    "case_001",
    "left hippocampus",
    "O'Brien",
    "'quoted'",
    "a=b",
    "1-2",
    "Äpfel",
    r"C:\scans\a",
    r"\\server\a",
    "é",
]


@pytest.mark.parametrize("text", DANGEROUS)
def test_what_is_dangerous_is_made_safe_and_reads_back(text):
    cell = safe_cell(text)
    assert cell != text and plain_cell(cell) == text
    assert cell.lstrip()[:1] not in {*"=+-@＝＋－＠"} and cell.replace("\u00a0", "").isprintable()
    cell.encode("utf-8")
    assert plain_cell(safe_cell(cell)) == cell and kept_cell(cell) == cell


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_harmless_stays(text):
    assert safe_cell(text) == text == plain_cell(text) == kept_cell(text)


@pytest.mark.parametrize("cell", ["-5", "+5", "-0.25", "-1e-05", "-inf"])
def test_numbers_stay_numbers(cell):
    assert kept_cell(cell) == cell


@pytest.mark.parametrize("cell", ["=1+1", "-a", "@x", "\x1b[0m", "'\x1b[0m"])
def test_what_an_earlier_version_wrote_is_made_safe(cell):
    assert plain_cell(kept_cell(cell)) == cell != kept_cell(cell)
