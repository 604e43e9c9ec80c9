"""Jobs on a real scheduler: at once, never twice at a time, and no nudge is lost."""

from __future__ import annotations

import logging
import threading

import pytest

from mo_sync.clock import SystemClock
from mo_sync.daemon.schedule import Schedule
from mo_sync.daemon.ticks import Job, Ticks
from tests.clocks import SetClock

LIMIT_S = 10


class Counted:
    """A step that can be held up, and that knows how often it ran and whether it ever overlapped itself."""

    def __init__(self) -> None:
        self.began = threading.Semaphore(0)
        self.go_on = threading.Semaphore(0)
        self.inside = 0
        self.most_inside = 0

    def __call__(self) -> None:
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        self.began.release()
        self.go_on.acquire(timeout=LIMIT_S)
        self.inside -= 1


def test_a_nudge_while_the_job_runs_is_kept_and_makes_one_more_tick() -> None:
    step, clock = Counted(), SystemClock()
    schedule = Schedule(Ticks(clock), clock)
    schedule.start([Job("work", step, interval_s=3600, limit_s=60)])
    assert step.began.acquire(timeout=LIMIT_S)

    for _ in range(5):
        schedule.nudge("work")
    step.go_on.release()
    assert step.began.acquire(timeout=LIMIT_S)
    step.go_on.release()
    schedule.stop()

    assert step.most_inside == 1
    assert not step.began.acquire(blocking=False)


def test_a_nudge_of_an_idle_job_runs_it_at_once() -> None:
    step, clock = Counted(), SystemClock()
    step.go_on.release(10)
    schedule = Schedule(Ticks(clock), clock)
    schedule.start([Job("work", step, interval_s=3600, limit_s=60)])
    assert step.began.acquire(timeout=LIMIT_S)

    schedule.nudge("work")

    assert step.began.acquire(timeout=LIMIT_S)
    schedule.stop()


def test_a_nudge_of_nobody_or_after_the_stop_is_no_error() -> None:
    clock = SystemClock()
    schedule = Schedule(Ticks(clock), clock)
    schedule.start([])
    schedule.nudge("nobody")

    schedule.stop()
    schedule.nudge("nobody")


def test_a_job_that_ends_at_once_is_run_again_by_a_nudge_of_that_very_moment() -> None:
    clock, runs = SystemClock(), threading.Semaphore(0)

    for _ in range(20):
        schedule = Schedule(Ticks(clock), clock)
        schedule.start([Job("work", runs.release, interval_s=3600, limit_s=60)])
        assert runs.acquire(timeout=LIMIT_S)
        schedule.nudge("work")
        assert runs.acquire(timeout=LIMIT_S)
        schedule.stop()


def test_a_nudge_kept_for_a_tick_that_ends_after_the_stop_holds_nothing_up() -> None:
    step, clock = Counted(), SystemClock()
    schedule = Schedule(Ticks(clock), clock)
    schedule.start([Job("work", step, interval_s=3600, limit_s=60)])
    assert step.began.acquire(timeout=LIMIT_S)
    schedule.nudge("work")

    stopping = threading.Thread(target=schedule.stop, daemon=True)
    stopping.start()
    stopping.join(0.1)
    step.go_on.release()
    stopping.join(LIMIT_S)

    assert not stopping.is_alive()
    assert not step.began.acquire(blocking=False)


def test_a_tick_that_outlasts_its_interval_is_no_news_and_is_not_repeated_for_that(
    caplog: pytest.LogCaptureFixture,
) -> None:
    step, clock, beats = Counted(), SystemClock(), threading.Semaphore(0)
    schedule = Schedule(Ticks(clock), clock)
    schedule.start([Job("work", step, interval_s=0.05, limit_s=60), Job("beat", beats.release, 0.05, 60)])
    assert step.began.acquire(timeout=LIMIT_S)

    for _ in range(6):
        assert beats.acquire(timeout=LIMIT_S)
    overlapped = step.began.acquire(blocking=False)
    step.go_on.release(1000)
    schedule.stop()

    assert not overlapped
    assert step.most_inside == 1
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_clock_that_was_set_back_by_hours_puts_no_job_off() -> None:
    """P14: the scheduler goes by the wall clock, so a job that was due at three is not due before three again."""
    clock, runs = SetClock(), threading.Semaphore(0)
    clock.ahead_s = 5 * 3600.0
    schedule = Schedule(Ticks(clock), clock)
    schedule.start([Job("work", runs.release, interval_s=60, limit_s=60)])
    assert not runs.acquire(timeout=0.3)

    clock.ahead_s = 0.0
    schedule.keep_on_time()

    assert runs.acquire(timeout=LIMIT_S)
    schedule.keep_on_time()
    assert not runs.acquire(timeout=0.3)
    schedule.stop()
