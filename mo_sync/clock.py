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

__all__ = ["Clock", "SystemClock"]


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
