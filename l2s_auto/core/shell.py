"""Commands as a user can copy them into a shell, whatever their paths are called."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable

from l2s_auto.core.printable import printable


def quoted(word: object) -> str:
    r"""A word as a shell reads it. One that holds bytes that are not UTF-8, or control characters, becomes `$'…\xff'`.

    bash, zsh and ksh read that form; a terminal would not show such characters as they are.
    """
    text = str(word)
    if printable(text) == text:
        return shlex.quote(text)
    shown = "".join(chr(byte) if _is_plain(byte) else f"\\x{byte:02x}" for byte in os.fsencode(text))
    return f"$'{shown}'"


def command_line(words: Iterable[object]) -> str:
    """Words -> one line for a shell."""
    return " ".join(quoted(word) for word in words)


def _is_plain(byte: int) -> bool:
    """Whether a byte is itself between `$'` and `'`."""
    return 0x20 <= byte < 0x7F and chr(byte) not in "'\\"
