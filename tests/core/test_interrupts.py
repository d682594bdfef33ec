"""Signals are noted, raised, held and restored."""

import signal

import pytest

from l2s_auto.core import interrupts


def send(number=signal.SIGTERM):
    signal.raise_signal(number)  # to this thread: another one would be interrupted later


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_was_swallowed_is_raised_again(number):
    before = signal.getsignal(number)
    with interrupts.handled_signals():
        interrupts.check_interrupt()
        with pytest.raises(KeyboardInterrupt):
            send(number)
        with pytest.raises(KeyboardInterrupt):
            interrupts.check_interrupt()
    assert signal.getsignal(number) is before and not interrupts.interrupted()


def test_while_modules_load_it_ends_the_process_at_once():
    calls = []
    before = interrupts.handle_signals(lambda: calls.append(1))
    try:
        with pytest.raises(KeyboardInterrupt):  # this stand-in does not end it
            send()
        interrupts.loading_done()
        with pytest.raises(KeyboardInterrupt):
            send()
        assert calls == [1]
    finally:
        interrupts.restore_signals(before)


def test_work_that_belongs_together_is_not_interrupted():
    with interrupts.handled_signals():
        with interrupts.uninterrupted():
            send()
        with pytest.raises(KeyboardInterrupt):
            interrupts.check_interrupt()


def test_a_signal_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interrupts.handled_signals():
            send(signal.SIGHUP)
            assert not interrupts.interrupted()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_signals_that_are_held_arrive_later():
    with interrupts.handled_signals():
        interrupts.hold_signals()
        send()
        assert not interrupts.interrupted()
        with pytest.raises(KeyboardInterrupt):
            interrupts.receive_signals()


def test_outside_of_commands_nothing_is_noted():
    interrupts.note_interrupt()
    interrupts.check_interrupt()
