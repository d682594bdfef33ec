"""Messages of the log on the terminal and in a file: what cannot be written is dropped and ends nothing."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

from l2s_auto.core.folding import folded, paths_in
from l2s_auto.core.printable import printable, printable_lines
from l2s_auto.core.streams import safe_stream

LOGGER = logging.getLogger("l2s_auto")


class SafeFormatter(logging.Formatter):
    """Messages with control characters escaped; paths, in which a line feed would be one too, entirely."""

    def format(self, record: logging.LogRecord) -> str:
        arguments: Any = record.args
        if isinstance(arguments, tuple):
            shown = logging.makeLogRecord(record.__dict__)
            shown.args = tuple(printable(value) if isinstance(value, Path) else value for value in arguments)
            record = shown
        return printable_lines(super().format(record))


class TerminalHandler(logging.Handler):
    """Messages on what is the standard output when they are written, folded to the width of a terminal.

    warnings_apart  whether warnings go to the standard error
    """

    def __init__(self, *, warnings_apart: bool = False) -> None:
        super().__init__()
        self._warnings_apart = warnings_apart
        self.setFormatter(SafeFormatter("%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        apart = self._warnings_apart and record.levelno >= logging.WARNING
        terminal = sys.stderr if apart else sys.stdout
        if terminal is None or terminal.closed:
            return
        stream = safe_stream(terminal)
        paths = (printable(path) for path in paths_in(record.args))
        stream.write(f"{folded(self.format(record), whole=paths)}\n")
        stream.flush()


class LogFile(logging.FileHandler):
    """A file with the time of each message. Where it cannot be written, such as on a full disk, one warning says so."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, encoding="utf-8", errors="backslashreplace")
        self._failed = False
        self.setFormatter(SafeFormatter("%(asctime)s %(levelname)s %(message)s"))

    def handleError(self, record: logging.LogRecord) -> None:
        if not self._failed and sys.stderr is not None:
            self._failed = True
            reason = sys.exc_info()[1]
            safe_stream(sys.stderr).write(f"Warning: {self.baseFilename} cannot be written ({reason}); it has gaps.\n")

    def close(self) -> None:
        try:
            super().close()
        except OSError:  # what waits to be written cannot be
            self.stream = None
            super().close()
