"""Signals: acted upon off the main thread, each, in order, and only while asked for."""

from __future__ import annotations

import os
import signal
import threading

from mo_sync.signals import heard

LIMIT_S = 10


def test_a_signal_that_meets_the_main_thread_inside_the_lock_of_the_event_it_sets_is_acted_upon() -> None:
    stop = threading.Event()

    with heard([signal.SIGUSR1], lambda number: stop.set()):
        # What Event.wait holds for a moment, held for long enough to be met.
        with stop._cond:  # type: ignore[attr-defined]
            os.kill(os.getpid(), signal.SIGUSR1)
        assert stop.wait(LIMIT_S)


def test_every_signal_is_acted_upon_in_order_and_by_another_thread() -> None:
    told: list[tuple[int, str]] = []

    def act(number: int) -> None:
        told.append((number, threading.current_thread().name))

    with heard([signal.SIGUSR1, signal.SIGUSR2], act):
        for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGUSR1):
            signal.raise_signal(number)

    assert told == [(number, "signals") for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGUSR1)]


def test_afterwards_the_former_handlers_are_back() -> None:
    before = signal.getsignal(signal.SIGUSR1)

    with heard([signal.SIGUSR1], print):
        assert signal.getsignal(signal.SIGUSR1) is not before

    assert signal.getsignal(signal.SIGUSR1) is before
