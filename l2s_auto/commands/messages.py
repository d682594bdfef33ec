"""Messages of the log before a training has a log file, and in commands that have none."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from l2s_auto.commands.start import is_first_process
from l2s_auto.core.messages import LOGGER, TerminalHandler


@contextmanager
def messages_shown() -> Iterator[None]:
    """While it is open, messages reach the terminal, such as what is waited for, unless others show them already."""
    if LOGGER.handlers or not is_first_process():
        yield
        return
    handler, level = TerminalHandler(warnings_apart=True), LOGGER.level
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.INFO)
    try:
        yield
    finally:
        if handler in LOGGER.handlers:  # else a training has started its log
            LOGGER.removeHandler(handler)
            LOGGER.setLevel(level)
