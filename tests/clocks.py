"""Clocks that a test moves by hand."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

from mo_sync.clock import SystemClock

__all__ = ["HandClock", "SetClock"]


class HandClock:
    """Stands still until :meth:`advance`. Waits return at once, as if the time had passed."""

    def __init__(self, now: datetime = datetime(2026, 11, 20, 12, tzinfo=UTC), *, roll: float = 0.5) -> None:
        self._now = now
        self._monotonic = 1000.0
        self._roll = roll

    def advance(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds

    def jump(self, seconds: float) -> None:
        """Somebody sets the wall clock."""
        self._now += timedelta(seconds=seconds)

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        self.advance(seconds)
        return stop.is_set()

    def roll(self) -> float:
        return self._roll


class SetClock(SystemClock):
    """The machine's own, but for a wall clock that was set ``ahead_s`` seconds ahead (below 0: behind)."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=self.ahead_s)
