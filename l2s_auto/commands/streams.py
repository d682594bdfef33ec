"""Standard output and error that may be closed, or that nobody reads to the end: the work goes on."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO


class Forgiving:
    """A stream whose reader may leave (`| head`); from then on what is written goes nowhere."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            self._give_up()
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._give_up()

    def _give_up(self) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def forgiving_streams() -> Iterator[None]:
    """While it is open, printing raises nothing for streams that are closed or that nobody reads any more."""
    before = sys.stdout, sys.stderr
    opened: list[TextIO] = []
    try:
        for name, stream in zip(("stdout", "stderr"), before, strict=True):
            if stream is None or stream.closed:
                stream = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
                opened.append(stream)
            setattr(sys, name, Forgiving(stream))
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        sys.stdout, sys.stderr = before
        for stream in opened:
            stream.close()
