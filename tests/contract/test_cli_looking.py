"""What is listed, by the command line, on every database: each option narrows, whatever stands beside it."""

from __future__ import annotations

import time

import pytest

from mo_sync.ledger import Ledger
from tests.contract.conftest import Ask
from tests.ledgers import announced, recorded


def test_of_the_problems_only_those_in_a_state_that_was_named(ledger: Ledger, asked: Ask) -> None:
    states = ("failed", "held", "missing")
    recorded(ledger, *(announced(f"E{state}", f"M{state}", [f"A{state}"]) for state in states))
    with ledger.begin() as connection:
        for state in states:
            connection.exec_driver_sql(f"update attachment set state = '{state}' where id = 'A{state}'")

    def listed(*words: str) -> list[str]:
        found = asked("list", "--problems", "--json", *words).document["attachments"]
        return sorted(row["state"] for row in found)

    assert listed() == ["failed", "missing"]
    assert listed("--state", "failed") == ["failed"]
    assert listed("--state", "held,missing") == ["missing"]
    assert listed("--state", "held") == []


def test_a_time_without_a_zone_is_this_machines_or_that_which_the_times_are_shown_in(
    ledger: Ledger, asked: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded(ledger, announced("E1", "M1", ["A1"]))  # at 12:00:00Z
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        shown = asked("list").out
        found = {
            words: len(asked("list", "--json", *words.split(" ", 2)).document)
            for words in (
                "--since 2026-11-20T21:00",
                "--since 2026-11-20T21:01",
                "--until 2026-11-20T21:01",
                "--since 2026-11-20T12:01Z",
                "--since 2026-11-20T12:01 --utc",
                "--since 2026-11-20T12:00 --utc",
            )
        }
    finally:
        monkeypatch.undo()
        time.tzset()

    assert "2026-11-20 21:00:00+0900" in shown
    assert list(found.values()) == [1, 0, 1, 0, 0, 1]
