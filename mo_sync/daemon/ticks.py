"""Whether the daemon's jobs still complete: what the watchdog is fed by.

A job that hangs, or that fails every time, must not look alive. So a tick counts when it completed (or said that it
gets on, if it is a long one), and the daemon is alive only while every job did so lately.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from mo_sync.clock import Clock
from mo_sync.errors import MoSyncError, shortage

__all__ = ["Job", "Ticks"]

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """Something that is done again and again. ``limit_s`` is how long it may go without completing a tick."""

    name: str
    step: Callable[[], None]
    interval_s: float
    limit_s: float


class Ticks:
    """Runs ticks and remembers when each job last completed one (monotonic seconds)."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._completed: dict[str, float] = {}
        self._troubles: dict[str, str] = {}
        self._limits: dict[str, float] = {}

    def expect(self, job: Job) -> None:
        """From now on ``job`` is to complete a tick every ``job.limit_s`` seconds."""
        with self._lock:
            self._limits[job.name] = job.limit_s
            self._completed[job.name] = self._clock.monotonic()

    def run(self, job: Job) -> None:
        """One tick. Trouble that we have words for (something out of reach, a folder that is none) is logged once per
        change and tried again next time: that is a completed tick, since restarting would not help. Anything else is a
        bug: logged with its trace, and no sign of life."""
        try:
            job.step()
        except MoSyncError as error:
            self._trouble(job.name, str(error))
        except Exception as error:  # noqa: BLE001  the border of a job: the scheduler must go on
            short = shortage(error)
            if short is None:
                _log.exception("tick.crashed", job=job.name)
                return
            self._trouble(job.name, str(short))
        else:
            self._trouble(job.name, None)
        with self._lock:
            self._completed[job.name] = self._clock.monotonic()

    def progressed(self, name: str) -> None:
        """The job is in the middle of a long tick and gets on with it: a sign of life as good as a completed one."""
        with self._lock:
            self._completed[name] = self._clock.monotonic()

    def ages(self) -> dict[str, float]:
        """For each job, the seconds since it last completed a tick."""
        now = self._clock.monotonic()
        with self._lock:
            return {name: now - completed for name, completed in self._completed.items()}

    def late(self) -> list[str]:
        """The jobs that did not complete a tick within their limit."""
        now = self._clock.monotonic()
        with self._lock:
            return [name for name, limit_s in self._limits.items() if now - self._completed[name] > limit_s]

    def troubles(self) -> list[str]:
        """What is out of reach at the moment."""
        with self._lock:
            return list(self._troubles.values())

    def _trouble(self, job: str, error: str | None) -> None:
        with self._lock:
            before = self._troubles.pop(job, None)
            if error is not None:
                self._troubles[job] = error
        if error is not None and error != before:
            _log.error("tick.out-of-reach", job=job, error=error, hint="it is tried again at every tick")
        elif error is None and before is not None:
            _log.info("tick.recovered", job=job)
