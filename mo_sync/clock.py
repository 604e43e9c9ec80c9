"""The only clock and the only dice.

Wall time says when something is due, monotonic time says how long something took. Both come in as a :class:`Clock`,
so that a test can move them.
"""

from __future__ import annotations

import random
import threading
import time
from datetime import UTC, datetime
from typing import Protocol

__all__ = ["Clock", "Drift", "SystemClock"]


class Clock(Protocol):
    """What the edges may ask about time and chance."""

    def now(self) -> datetime:
        """The wall clock, in UTC, to the microsecond."""

    def monotonic(self) -> float:
        """Seconds that never jump; only differences mean anything."""

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        """Wait until ``stop`` is set or ``seconds`` have passed; whether it was set."""

    def roll(self) -> float:
        """A number in [0, 1), each equally likely."""


class SystemClock:
    """The machine's own."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        return stop.wait(max(seconds, 0.0))

    def roll(self) -> float:
        return random.random()


class Drift:
    """How far the wall clock moved against the monotonic one: near 0, unless somebody set it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._before = self._read()

    def jumped_s(self) -> float:
        """Seconds that the wall clock jumped (forward above 0, backward below) since this was last asked."""
        before, self._before = self._before, self._read()
        return (self._before[0] - before[0]).total_seconds() - (self._before[1] - before[1])

    def _read(self) -> tuple[datetime, float]:
        return self._clock.now(), self._clock.monotonic()
