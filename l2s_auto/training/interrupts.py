"""Ctrl-C and SIGTERM end a training between two iterations, so that what is saved is whole."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupts:
    """arrived  whether the user asked to stop."""

    def __init__(self) -> None:
        self.arrived = False

    def note(self, number: int, frame: FrameType | None) -> None:
        """Signal handler: the first signal is remembered, the second interrupts at once."""
        if self.arrived:
            raise KeyboardInterrupt
        self.arrived = True


@contextmanager
def deferred_interrupts() -> Iterator[Interrupts]:
    """While it is open, SIGINT and SIGTERM are noted instead of raised. Other threads than the main one: no change."""
    interrupts = Interrupts()
    if threading.current_thread() is not threading.main_thread():
        yield interrupts
        return
    before = {number: signal.signal(number, interrupts.note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interrupts
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
