"""Standard output and error that may be closed, full, or unable to show a character: the work continues."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Any, TextIO

from l2s_auto.core.printable import printable_lines

_STANDARD = (0, 1, 2)


class SafeStream:
    r"""A stream to which writing raises nothing: what cannot be written is dropped.

    Characters that its encoding does not have are written as `\u2014`, and so are control characters other than line
    feeds and tabs, unless `raw` says that they are the program's own, as those of a progress bar are.
    """

    def __init__(self, stream: TextIO, *, raw: bool = False) -> None:
        self._stream = stream
        self._raw = raw

    def write(self, text: str) -> int:
        shown = text if self._raw else printable_lines(text)
        try:
            try:
                self._stream.write(shown)
            except UnicodeEncodeError:
                encoding = getattr(self._stream, "encoding", None) or "ascii"
                self._stream.write(shown.encode(encoding, "backslashreplace").decode(encoding))
        except (OSError, ValueError) as error:  # ValueError: it is closed
            self._failed(error)
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except (OSError, ValueError) as error:
            self._failed(error)

    def finish(self) -> None:
        """Write what waits to be written; what cannot be is dropped, so that Python does not try again at its end."""
        try:
            self._stream.flush()
        except (OSError, ValueError):
            self.abandon()

    def as_raw(self) -> SafeStream:
        """The same stream, with control characters."""
        return SafeStream(self._stream, raw=True)

    def _failed(self, error: Exception) -> None:
        """From now on nothing goes to a reader that has left; a full disk may have free space later."""
        if isinstance(error, BrokenPipeError):
            self.abandon()

    def abandon(self) -> None:
        """Send to nowhere what is written from now on, and what waits to be written."""
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def safe_stream(stream: TextIO | None, *, raw: bool = False) -> SafeStream:
    """The stream as one to which writing raises nothing; None, which Python has for a closed one, is nowhere."""
    if isinstance(stream, SafeStream):
        return stream.as_raw() if raw else stream
    if stream is None or stream.closed:
        stream = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    return SafeStream(stream, raw=raw)


def bar_stream() -> SafeStream:
    """Where progress bars are drawn: the standard error, with the control characters that move the cursor."""
    return safe_stream(sys.stderr, raw=True)


def open_missing_streams() -> None:
    """Open what is closed of the standard streams to nowhere: a file of ours would get its number, and its prints."""
    for number in _STANDARD:
        try:
            os.fstat(number)
        except OSError:
            with suppress(OSError):
                os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
