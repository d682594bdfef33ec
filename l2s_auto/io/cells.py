"""Text in cells of CSV files: nothing that a spreadsheet runs as a formula, nothing that a terminal obeys.

What is written reads back as it was: `plain_cell(safe_cell(text)) == text`.
"""

from __future__ import annotations

import re
import unicodedata

#: How spreadsheets know a formula, after blanks; full-width signs are taken for plain ones by some.
_FORMULA = re.compile(r"'*\s*[=+\-@＝＋－＠﹢﹣﹦﹫−]")
_ESCAPED = re.compile(r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4}))")
_WRITTEN = re.compile(r"\\\\|" + _ESCAPED.pattern)
#: Kinds of characters that are not shown but do something: control, surrogates (bytes that are no UTF-8), line ends.
_CONTROL = ("Cc", "Cs", "Zl", "Zp")
#: They turn the direction of writing, or have no width, so that a name looks like another.
_HIDDEN = "\u061c\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff"


def safe_cell(text: str) -> str:
    """Text as it stands in a CSV: control characters as \\x1b, and an apostrophe before what would be a formula."""
    if _ESCAPED.search(text) or any(_is_control(character) for character in text):
        text = "".join(_escape(character) for character in text)
    return f"'{text}" if _FORMULA.match(text) else text


def plain_cell(cell: str) -> str:
    """The text that `safe_cell` made a cell of. Other cells, such as numbers, are what they are."""
    if cell.startswith("'") and _FORMULA.match(cell):
        cell = cell[1:]
    return _WRITTEN.sub(_unescape, cell) if _ESCAPED.search(cell) else cell


def kept_cell(cell: str) -> str:
    """A cell that was read, made safe if another program or an earlier version wrote it; numbers stay numbers."""
    if cell.startswith("'") or not (_FORMULA.match(cell) or any(_is_control(character) for character in cell)):
        return cell
    try:
        float(cell)
    except ValueError:
        return safe_cell(cell)
    return cell


def _is_control(character: str) -> bool:
    return character in _HIDDEN or unicodedata.category(character) in _CONTROL


def _escape(character: str) -> str:
    if character == "\\":
        return "\\\\"
    if not _is_control(character):
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _unescape(match: re.Match[str]) -> str:
    code = match[1] or match[2]
    return chr(int(code, 16)) if code else "\\"
