"""What counts as a sign of life."""

from __future__ import annotations

from mo_sync.daemon.ticks import Job, Ticks
from mo_sync.errors import ConfigurationError, LedgerOutOfReach
from tests.clocks import HandClock


def nothing() -> None:
    return


def crash() -> None:
    raise ZeroDivisionError


def ledger_gone() -> None:
    raise LedgerOutOfReach("ledger-gone", "the ledger is gone", item="ledger.db")


def test_a_job_is_late_when_no_tick_was_completed_within_its_limit() -> None:
    clock = HandClock()
    ticks = Ticks(clock)
    job = Job("reconcile", nothing, interval_s=5, limit_s=60)
    ticks.expect(job)

    clock.advance(60)
    assert ticks.late() == []
    clock.advance(1)
    assert ticks.late() == ["reconcile"]
    ticks.run(job)

    assert ticks.late() == []


def test_a_tick_that_crashes_is_no_sign_of_life() -> None:
    clock = HandClock()
    ticks = Ticks(clock)
    job = Job("reconcile", crash, interval_s=5, limit_s=60)
    ticks.expect(job)
    clock.advance(61)

    ticks.run(job)

    assert ticks.late() == ["reconcile"]


def test_a_ledger_out_of_reach_is_told_but_does_not_starve_the_watchdog() -> None:
    clock = HandClock()
    ticks = Ticks(clock)
    broken = Job("reconcile", ledger_gone, interval_s=5, limit_s=60)
    ticks.expect(broken)
    clock.advance(61)

    ticks.run(broken)

    assert ticks.late() == []
    assert ticks.troubles() == ["ledger-gone: ledger.db: the ledger is gone"]
    ticks.run(Job("reconcile", nothing, interval_s=5, limit_s=60))
    assert ticks.troubles() == []


def test_a_folder_that_somebody_replaced_is_told_and_does_not_starve_the_watchdog_either() -> None:
    """Whoever may write to the drop folder must not be able to have the daemon restarted."""

    def replaced() -> None:
        raise ConfigurationError("drop-not-a-folder", "done/ is a link", item="drop/done")

    clock = HandClock()
    ticks = Ticks(clock)
    job = Job("drop", replaced, interval_s=5, limit_s=60)
    ticks.expect(job)
    clock.advance(61)

    ticks.run(job)

    assert ticks.late() == []
    assert ticks.troubles() == ["drop-not-a-folder: drop/done: done/ is a link"]


def test_a_long_tick_that_gets_on_is_a_sign_of_life() -> None:
    clock = HandClock()
    ticks = Ticks(clock)
    ticks.expect(Job("drop", nothing, interval_s=5, limit_s=60))
    clock.advance(61)

    ticks.progressed("drop")

    assert ticks.late() == []
