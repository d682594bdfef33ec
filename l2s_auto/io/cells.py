"""Text in cells of CSV files: nothing that a spreadsheet runs as a formula, nothing that a terminal obeys.

What is written reads back as it was: `plain_cell(safe_cell(text)) == text`.
"""

from __future__ import annotations

import re

#: How spreadsheets know a formula, after blanks; full-width signs are taken for plain ones by some.
_FORMULA = re.compile(r"'*\s*[=+\-@＝＋－＠﹢﹣﹦﹫−]")
_ESCAPED = re.compile(r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4}))")
_WRITTEN = re.compile(r"\\\\|" + _ESCAPED.pattern)
#: What is not shown but does something: control characters, surrogates (bytes that are no UTF-8), ends of lines, and
#: what turns the direction of writing or has no width, so that a name looks like another.
_HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029\u061c\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]"
)


def safe_cell(text: str) -> str:
    """Text as it stands in a CSV: control characters as \\x1b, and an apostrophe before what would be a formula."""
    if _ESCAPED.search(text) or _HIDDEN.search(text):
        text = _HIDDEN.sub(_escape, text.replace("\\", "\\\\"))
    return f"'{text}" if _FORMULA.match(text) else text


def plain_cell(cell: str) -> str:
    """The text that `safe_cell` made a cell of. Other cells, such as numbers, are what they are."""
    if cell.startswith("'") and _FORMULA.match(cell):
        cell = cell[1:]
    return _WRITTEN.sub(_unescape, cell) if _ESCAPED.search(cell) else cell


def kept_cell(cell: str) -> str:
    """A cell that was read, made safe if another program or an earlier version wrote it; numbers stay numbers."""
    hidden = _HIDDEN.search(cell)
    if not hidden and (cell.startswith("'") or not _FORMULA.match(cell)):
        return cell
    try:
        float(cell)
    except ValueError:
        return safe_cell(cell)
    return cell


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _unescape(match: re.Match[str]) -> str:
    code = match[1] or match[2]
    return chr(int(code, 16)) if code else "\\"
