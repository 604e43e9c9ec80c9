"""Signals: acted upon off the main thread, each, in order, and only while asked for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

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


HANGS = {
    "Python repeats the call": "os.read(os.pipe()[0], 1)",
    "Python has no turn": "import ctypes; [ctypes.CDLL(None).sleep(60) for _ in range(60)]",
    "who swallows it": """
while True:
    try:
        os.read(os.pipe()[0], 1)
    except BaseException:
        pass
""",
}
SCRIPT = """
import os, signal
from mo_sync.signals import heard
with heard([signal.SIGINT, signal.SIGTERM], lambda number: print("asked", flush=True), second_ends=True):
    print("ready", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("where", list(HANGS))
def test_the_second_signal_ends_what_the_first_could_only_ask_to_stop(number: signal.Signals, where: str) -> None:
    script = SCRIPT + "".join(f"    {line}\n" for line in HANGS[where].strip().splitlines())
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            process.send_signal(number)
            assert process.stdout.readline() == b"asked\n"
            process.send_signal(number)
            assert process.wait(LIMIT_S) in (-number, 128 + number)
            assert process.stdout.read() == b""
        finally:
            process.kill()


def test_afterwards_the_second_has_ended_nothing_that_was_asked_once() -> None:
    told: list[int] = []
    with heard([signal.SIGUSR1], told.append, second_ends=True):
        signal.raise_signal(signal.SIGUSR1)

    assert told == [signal.SIGUSR1]
