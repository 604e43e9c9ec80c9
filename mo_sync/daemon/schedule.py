"""The daemon's jobs on APScheduler: each at its interval, and at once when nudged.

A nudge for a job that is running is kept until its tick is over: APScheduler itself would skip it and the work would
wait for a whole interval. A nudge is a one-off job of its own, since to move the next run of the job at its interval is
a race with the scheduler, which sets that time after the tick began. That no job overlaps itself is seen to here, also
where a tick outlasts its interval: APScheduler would do it too, with a warning each time ("maximum number of running
instances reached") that tells an operator nothing.
"""

from __future__ import annotations

import threading
from datetime import UTC, timedelta

import structlog
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from mo_sync.clock import Clock
from mo_sync.daemon.ticks import Job, Ticks

__all__ = ["Schedule"]

_log = structlog.get_logger(__name__)

_LATE_S = 2.0


class Schedule:
    """Runs jobs. None overlaps itself, none piles up (``coalesce``)."""

    def __init__(self, ticks: Ticks, clock: Clock) -> None:
        self._ticks = ticks
        self._clock = clock
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()
        self._asked: set[str] = set()
        self._running: set[str] = set()
        self._again: set[str] = set()
        self._stopped = False
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            executors={"default": ThreadPoolExecutor(8)},
            # The second instance of a job that is running ends at once.
            job_defaults={"max_instances": 2, "coalesce": True, "misfire_grace_time": None},
        )

    def start(self, jobs: list[Job]) -> None:
        """Run every job now and then at its interval."""
        self._jobs = {job.name: job for job in jobs}
        for job in jobs:
            self._ticks.expect(job)
            self._scheduler.add_job(
                self._due,
                "interval",
                args=[job],
                id=job.name,
                seconds=job.interval_s,
                next_run_time=self._clock.now(),
            )
        self._scheduler.start()

    def nudge(self, name: str) -> None:
        """Let the job run now; if it is running, once more when its tick is over. An unknown job is no error."""
        job = self._jobs.get(name)
        with self._lock:
            if job is None or name in self._asked or self._stopped:
                return
            if name in self._running:
                self._again.add(name)
                return
            self._asked.add(name)
            self._scheduler.add_job(self._tick, args=[job], name=name)

    def keep_on_time(self) -> None:
        """Bring back what a wall clock that was set back by hours put off for as long: APScheduler knows no other."""
        now = self._clock.now()
        for name, job in self._jobs.items():
            known = self._scheduler.get_job(name)
            if known is not None and known.next_run_time > now + timedelta(seconds=job.interval_s + _LATE_S):
                _log.warning("job.brought-back", job=name, was_due=known.next_run_time.isoformat())
                known.modify(next_run_time=now)

    def stop(self) -> None:
        """No tick begins any more; waits for those that run. They hear of the stop by an event of their own."""
        # From here on no tick that ends adds one more: the scheduler waits for it while it holds its lock on jobs.
        with self._lock:
            self._stopped = True
        self._scheduler.shutdown(wait=True)

    def _due(self, job: Job) -> None:
        """Its interval is over. A tick that is running still does what there is to do."""
        with self._lock:
            if job.name in self._running:
                return
        self._tick(job)

    def _tick(self, job: Job) -> None:
        if not self._begin(job.name):
            return
        try:
            self._ticks.run(job)
        finally:
            self._end(job.name)

    def _begin(self, name: str) -> bool:
        with self._lock:
            self._asked.discard(name)
            if name in self._running:
                self._again.add(name)
                return False
            self._running.add(name)
            return True

    def _end(self, name: str) -> None:
        with self._lock:
            self._running.discard(name)
            again = name in self._again
            self._again.discard(name)
        if again:
            self.nudge(name)
