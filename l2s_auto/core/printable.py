"""Text as a terminal may show it: names that come from files cannot steer it."""

from __future__ import annotations

#: Marks that turn the direction of text around, so that a line reads otherwise than it is, and ends of lines.
_TURNS = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x2028, 0x2029)
_CONTROLS = (*range(0x20), *range(0x7F, 0xA0))


def _escaped(code: int) -> str:
    text = {0x09: r"\t", 0x0A: r"\n", 0x0D: r"\r"}.get(code)
    return text or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")


#: Bytes of a file name that are not UTF-8 are surrogates in Python: they are shown as the bytes that they are.
_BYTES = {code: f"\\x{code - 0xDC00:02x}" for code in range(0xDC80, 0xDD00)}
_SURROGATES = {code: _escaped(code) for code in range(0xD800, 0xE000)} | _BYTES
_NAMES = {code: _escaped(code) for code in (*_CONTROLS, *_TURNS)} | _SURROGATES
_LINES = {code: text for code, text in _NAMES.items() if chr(code) not in "\t\n"}


def printable(name: object) -> str:
    r"""A name or a path in one line: control characters, such as the one that escape codes begin with, as `\x1b`."""
    return str(name).translate(_NAMES)


def printable_lines(text: str) -> str:
    """The same for text of several lines: line feeds and tabs stay."""
    return text.translate(_LINES)
