"""Who is silent for longer than is its habit, and who has none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mo_sync.ledger.rhythms import Day
from mo_sync.upkeep.silence import silent

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOUR = 3_600.0


def habit(days: int, *, events: int = 20, pause_h: float = 10.0, last_h: float = 1.0) -> list[Day]:
    """So many days up to ``last_h`` hours ago, each with a night's pause."""
    last = NOW - timedelta(hours=last_h)
    at = [last - timedelta(days=number) for number in reversed(range(days))]
    return [Day("17226", f"{one:%Y-%m-%d}", events, pause_h * HOUR, one) for one in at]


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ([], False),
        (habit(14, last_h=14.9), False),
        (habit(14, last_h=15.1), True),
        (habit(14, pause_h=62.0, last_h=72.0), False),
        (habit(14, pause_h=62.0, last_h=94.0), True),
        (habit(14, pause_h=0.1, last_h=0.9), False),
        (habit(14, pause_h=0.1, last_h=1.1), True),
        (habit(6, last_h=500.0), False),
        (habit(14, events=3, last_h=500.0), False),
    ],
    ids=[
        "nothing is known",
        "a night and half of another",
        "longer than that",
        "a long weekend",
        "longer than that weekend and a half",
        "a busy one, within the hour",
        "a busy one, after it",
        "known for less than a week",
        "one that says little",
    ],
)
def test_by_its_own_habit(known: list[Day], expected: bool) -> None:
    assert (silent(known, now=NOW) is not None) is expected


def test_what_was_long_ago_is_no_habit_any_more() -> None:
    long_ago = [Day("17226", "2026-08-01", 100, 900 * HOUR, NOW - timedelta(days=100))]

    assert silent([*long_ago, *habit(14, last_h=20.0)], now=NOW) is not None


def test_a_bound_holds_from_the_first_event_on() -> None:
    [only] = habit(1, last_h=7.0)

    found = silent([only], now=NOW, bound_s=6 * HOUR)

    assert found is not None
    assert (found.application_id, found.since) == ("17226", NOW - timedelta(hours=7))
    assert "inbox.silence" in found.reason
    assert silent([only], now=NOW, bound_s=8 * HOUR) is None
