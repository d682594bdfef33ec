"""Ctrl-C, SIGTERM and SIGHUP end a training between two iterations, so that what is saved is whole."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from l2s_auto.core.interrupts import STOPPING, interrupted, loading_done, note_interrupt


class Interrupts:
    """arrived  whether the user asked to stop."""

    def __init__(self) -> None:
        self.arrived = interrupted()

    def note(self, number: int, frame: FrameType | None) -> None:
        """Signal handler: the first signal is remembered, the second interrupts at once."""
        note_interrupt()
        if self.arrived:
            raise KeyboardInterrupt
        self.arrived = True


@contextmanager
def deferred_interrupts() -> Iterator[Interrupts]:
    """While it is open, signals are noted instead of raised. Those that are ignored (`nohup`) stay so.

    Other threads than the main one: no change.
    """
    loading_done()
    interrupts = Interrupts()
    if threading.current_thread() is not threading.main_thread():
        yield interrupts
        return
    numbers = [number for number in STOPPING if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, interrupts.note) for number in numbers}
    try:
        yield interrupts
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
