"""SIGINT (Ctrl-C), SIGTERM and SIGHUP in a command: noted at once, raised where that helps, and never forgotten.

A KeyboardInterrupt may be swallowed: by an import that is tried, a callback of a library, a destructor. So the signal
is also noted, and `check_interrupt` raises it again between two pieces of work.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

#: What asks a command to stop; Windows has Ctrl-Break.
STOPPING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name))


@dataclass
class _State:
    """active  whether a command handles the signals
    arrived  whether one has arrived
    final  whether it is only noted: the command is ending
    held  how many pieces of work are open that it does not interrupt
    at_once  ends the process at once, while there is nothing to save
    """

    active: bool = False
    arrived: bool = False
    final: bool = False
    held: int = 0
    at_once: Callable[[], Any] | None = None


_STATE = _State()


def _handle(number: int, frame: FrameType | None) -> None:
    _STATE.arrived = True
    if _STATE.at_once is not None:
        _STATE.at_once()
    if not _STATE.final and not _STATE.held:
        raise KeyboardInterrupt


def handle_signals(at_once: Callable[[], Any] | None = None) -> dict[int, Any]:
    """Handle the signals from now on -> the handlers before. Those that are ignored (`nohup`) stay so.

    at_once  called in place of KeyboardInterrupt until `loading_done`
    """
    _STATE.active, _STATE.arrived, _STATE.final, _STATE.at_once = True, False, False, at_once
    _STATE.held = 0
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in STOPPING:
            if (handler := signal.getsignal(number)) is not signal.SIG_IGN:
                before[number] = handler
                signal.signal(number, _handle)
    receive_signals()
    return before


@contextmanager
def handled_signals() -> Iterator[None]:
    """While it is open, the signals are handled; then everything is as it was. In another command: no change."""
    if _STATE.active:
        yield
        return
    before = handle_signals()
    try:
        yield
    finally:
        restore_signals(before)


def restore_signals(before: dict[int, Any]) -> None:
    """Put back the handlers that `handle_signals` returned."""
    _STATE.active, _STATE.at_once = False, None
    for number, handler in before.items():
        signal.signal(number, signal.SIG_DFL if handler is None else handler)


def is_handling() -> bool:
    """Whether a command handles the signals."""
    return _STATE.active


def loading_done() -> None:
    """All modules are imported, and the work begins: signals raise KeyboardInterrupt from now on."""
    _STATE.at_once = None


def note_interrupt() -> None:
    """Note a signal that another handler has caught, where a command runs."""
    _STATE.arrived = _STATE.active


def only_note_signals() -> None:
    """From now on signals are noted and raise nothing: the command has ended, and says so."""
    _STATE.final, _STATE.at_once = True, None


def end_at_signal(at_once: Callable[[], Any]) -> None:
    """From now on a signal calls this: what is waited for at the end may be cut short."""
    _STATE.at_once = at_once


def interrupted() -> bool:
    """Whether a signal has arrived since the command began."""
    return _STATE.active and _STATE.arrived


def check_interrupt() -> None:
    """KeyboardInterrupt if a signal has arrived, even if the one that it raised was swallowed."""
    if interrupted():
        raise KeyboardInterrupt


@contextmanager
def uninterrupted() -> Iterator[None]:
    """While it is open, a command only notes signals: for short work whose parts belong together. Check afterwards."""
    _STATE.held += 1
    try:
        yield
    finally:
        _STATE.held -= 1


def hold_signals() -> None:
    """Keep signals waiting in the system, for a program that this process is about to become."""
    _mask("SIG_BLOCK")


def receive_signals() -> None:
    """Receive those that were kept waiting."""
    _mask("SIG_UNBLOCK")


def _mask(how: str) -> None:
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(getattr(signal, how), STOPPING)
