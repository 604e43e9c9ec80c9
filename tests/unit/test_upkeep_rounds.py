"""The pace at which upkeep reads: so many bytes a second, and a sign of life all the time."""

from __future__ import annotations

import threading

from mo_sync.upkeep.rounds import _Pace
from tests.clocks import HandClock


def test_a_large_file_is_waited_for_with_a_sign_of_life_every_few_seconds() -> None:
    clock, signs = HandClock(), []
    pace = _Pace(1_000, clock, threading.Event(), lambda: signs.append(clock.monotonic()))
    began = clock.monotonic()

    pace.spend(60_000)

    assert clock.monotonic() - began == 60.0
    assert len(signs) >= 11
    pace.spend(0)
    assert clock.monotonic() - began == 60.0


def test_who_is_slow_anyway_does_not_wait_and_who_is_stopped_neither() -> None:
    clock, stop = HandClock(), threading.Event()
    pace = _Pace(1_000, clock, stop, lambda: None)
    clock.advance(30.0)
    began = clock.monotonic()

    pace.spend(29_000)
    pace.spend(-1)
    assert clock.monotonic() == began
    stop.set()
    pace.spend(900_000)
    assert clock.monotonic() - began <= 5.0
