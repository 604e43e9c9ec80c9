"""How a jump of the wall clock is noticed."""

from __future__ import annotations

import pytest

from mo_sync.clock import Drift, SystemClock
from tests.clocks import HandClock


def test_time_that_passes_is_no_jump() -> None:
    clock = HandClock()
    drift = Drift(clock)
    for _ in range(5):
        clock.advance(3600.0)
        assert drift.jumped_s() == 0.0


@pytest.mark.parametrize("seconds", [18_000.0, -18_000.0, 6.0])
def test_a_jump_is_told_once_and_with_its_direction(seconds: float) -> None:
    clock = HandClock()
    drift = Drift(clock)
    clock.advance(30.0)
    clock.jump(seconds)

    assert (drift.jumped_s(), drift.jumped_s()) == (seconds, 0.0)


def test_the_machines_own_clock_stands_still_against_itself() -> None:
    assert abs(Drift(SystemClock()).jumped_s()) < 1.0
