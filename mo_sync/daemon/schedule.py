"""The daemon's jobs on APScheduler: each at its interval, and at once when nudged.

A nudge for a job that is running is kept until its tick is over: APScheduler itself would skip it ("maximum number of
running instances reached") and the work would wait for a whole interval.
"""

from __future__ import annotations

import threading
from datetime import UTC

from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_EXECUTED, JobExecutionEvent
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler

from mo_sync.clock import Clock
from mo_sync.daemon.ticks import Job, Ticks

__all__ = ["Schedule"]


class Schedule:
    """Runs jobs. None overlaps itself (``max_instances``), none piles up (``coalesce``)."""

    def __init__(self, ticks: Ticks, clock: Clock) -> None:
        self._ticks = ticks
        self._clock = clock
        self._lock = threading.Lock()
        self._running: set[str] = set()
        self._again: set[str] = set()
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            executors={"default": ThreadPoolExecutor(8)},
            job_defaults={"max_instances": 1, "coalesce": True, "misfire_grace_time": None},
        )
        self._scheduler.add_listener(self._tick_over, EVENT_JOB_EXECUTED | EVENT_JOB_ERROR)

    def start(self, jobs: list[Job]) -> None:
        """Run every job now and then at its interval."""
        for job in jobs:
            self._ticks.expect(job)
            self._scheduler.add_job(
                self._tick,
                "interval",
                args=[job],
                id=job.name,
                seconds=job.interval_s,
                next_run_time=self._clock.now(),
            )
        self._scheduler.start()

    def nudge(self, name: str) -> None:
        """Let the job run now; if it is running, once more when its tick is over. An unknown job is no error."""
        with self._lock:
            if name in self._running:
                self._again.add(name)
                return
        self._run_soon(name)

    def stop(self) -> None:
        """No tick begins any more; waits for those that run. They hear of the stop by an event of their own."""
        self._scheduler.shutdown(wait=True)

    def _tick(self, job: Job) -> None:
        with self._lock:
            self._running.add(job.name)
        self._ticks.run(job)

    def _tick_over(self, event: JobExecutionEvent) -> None:
        with self._lock:
            self._running.discard(event.job_id)
            again = event.job_id in self._again
            self._again.discard(event.job_id)
        if again:
            self._run_soon(event.job_id)

    def _run_soon(self, name: str) -> None:
        try:
            self._scheduler.modify_job(name, next_run_time=self._clock.now())
        except JobLookupError:
            return
