"""Lines that fit a terminal: folded between words, while paths and commands stay whole."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

#: Columns of a terminal.
WIDTH = 80
#: A line that is a command: it has to be copied in one piece.
_COMMAND = re.compile(r"\s*(l2s_\w+|torchrun|python\d?) \S")
#: What stays in one piece inside of a line: a command behind a colon, a quoted path, a word.
_PIECES = re.compile(r"(?<=: )l2s_\w+ \S.*$|\$?'[^']*[/\\ ][^']*'\S*|\S+")
#: Marks of a list, below which a line goes on.
_INDENT = re.compile(r"\s*(?:[-*] )?")


def folded(text: str, *, width: int = WIDTH, whole: Iterable[object] = ()) -> str:
    """Text with no line of more than `width` columns, but for single words, paths and commands that are longer.

    whole  what stays in one piece though it holds spaces, such as paths
    A line goes on two columns to the right of where it began.
    """
    kept = sorted({str(piece) for piece in whole if " " in str(piece)}, key=len, reverse=True)
    return "\n".join(_fold(line, width, kept) if len(line) > width else line for line in text.split("\n"))


def say(text: str, *, whole: Iterable[object] = (), error: bool = False) -> None:
    """Print folded text at once; error: on the standard error."""
    print(folded(text, whole=whole), file=sys.stderr if error else sys.stdout, flush=True)


def is_path(text: str) -> bool:
    """Whether a piece of a message is an absolute path, and not a sentence that holds one."""
    return Path(text).is_absolute()


def paths_in(arguments: Any) -> list[Path]:
    """The paths among the arguments of a message of the log."""
    return [value for value in arguments if isinstance(value, Path)] if isinstance(arguments, tuple) else []


def _fold(line: str, width: int, whole: list[str]) -> str:
    if _COMMAND.match(line):
        return line
    match = _INDENT.match(line)
    first = match.group() if match else ""
    indent = " " * (len(first) + 2)
    lines, current = [], first
    for piece in _pieces(line[len(first) :], whole):
        empty = current in (first, indent)
        if not empty and len(current) + 1 + len(piece) > width:
            lines.append(current)
            current, empty = indent, True
        current += piece if empty else f" {piece}"
    return "\n".join([*lines, current])


def _pieces(text: str, whole: list[str]) -> Iterator[str]:
    """The words of a line, each with its punctuation; what is to stay whole is one."""
    if not whole:
        yield from (match.group() for match in _PIECES.finditer(text))
        return
    pattern = re.compile(rf"\S*?(?:{'|'.join(map(re.escape, whole))})\S*|{_PIECES.pattern}")
    yield from (match.group() for match in pattern.finditer(text))
