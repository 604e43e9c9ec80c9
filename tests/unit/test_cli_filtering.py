"""What people write on the command line for a time (as it is shown to them, unless they say otherwise) or a state."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from mo_sync.cli.filtering import states_of, when
from mo_sync.cli.output import local_time
from mo_sync.errors import UsageError
from mo_sync.lifecycle import State

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Move this machine to another zone."""

    def move(zone: str) -> None:
        monkeypatch.setenv("TZ", zone)
        time.tzset()

    yield move
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        # In Los Angeles, where the clock was set forward on 8 March and back on 1 November.
        ("2026-11-20", "2026-11-20T08:00:00Z"),
        ("2026-07-20", "2026-07-20T07:00:00Z"),
        ("2026-11-20 04:00:00", "2026-11-20T12:00:00Z"),
        ("2026-11-20 04:00:00-0800", "2026-11-20T12:00:00Z"),
        ("2026-11-20T04:00Z", "2026-11-20T04:00:00Z"),
        ("2026-11-01 01:30", "2026-11-01T08:30:00Z"),
        ("2026-11-01 01:30-0800", "2026-11-01T09:30:00Z"),
        ("2026-03-08 02:30", "2026-03-08T10:30:00Z"),
        ("1563293777", "2019-07-16T16:16:17Z"),
        ("3h", "2026-11-20T09:00:00Z"),
        ("1d12h", "2026-11-19T00:00:00Z"),
    ],
)
def test_what_names_no_zone_is_in_this_machines(here: Callable[[str], None], written: str, meant: str) -> None:
    here("America/Los_Angeles")

    assert when(written, NOW) == datetime.fromisoformat(meant)


def test_a_day_without_a_midnight_begins_when_it_began(here: Callable[[str], None]) -> None:
    here("Asia/Beirut")

    assert when("2026-03-29", NOW) == datetime.fromisoformat("2026-03-29T01:00:00+03:00")


def test_a_time_that_was_shown_means_itself(here: Callable[[str], None]) -> None:
    here("America/Los_Angeles")

    for hours in range(0, 9_000, 7):
        at = NOW - timedelta(hours=hours)
        assert when(local_time(at), NOW) == at
        assert when(local_time(at, utc=True), NOW) == at
        assert when(local_time(at, utc=True).removesuffix("Z"), NOW, utc=True) == at


@pytest.mark.parametrize("written", ["2026", "90", "-3h", "yesterday", "", "1999-12-31", "inf", "9999999d"])
def test_what_is_no_time_is_an_error_of_usage(written: str) -> None:
    with pytest.raises(UsageError, match="time-not-understood"):
        when(written, NOW)


def test_what_was_not_given_means_nothing() -> None:
    assert when(None, NOW) is None


def test_states_are_repeated_or_stand_between_commas() -> None:
    assert states_of(["failed, held", "missing,"]) == (State.FAILED, State.HELD, State.MISSING)
    assert states_of(None) == states_of([]) == ()


@pytest.mark.parametrize("given", [[""], [","], ["lost"], ["failed,lost"]])
def test_a_state_that_is_none_is_refused_and_does_not_mean_every_state(given: list[str]) -> None:
    with pytest.raises(UsageError, match="state-unknown"):
        states_of(given)
