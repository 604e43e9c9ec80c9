"""What a person and a program are told after a pass."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from mo_sync.cli.output import local_time
from mo_sync.cli.summary import as_json, lines
from mo_sync.errors import ExitCode
from mo_sync.intake import Receipt
from mo_sync.ledger.applications import Troubled
from mo_sync.lifecycle import Standing
from mo_sync.service import Summary

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
QUIET = Summary(
    receipt=Receipt(),
    recovered=0,
    inbox_troubles=(),
    settled={},
    stored_bytes=0,
    ledger={},
    applications=(),
    beside=(),
    paused=None,
    left_alone=0,
    interrupted=False,
    took_s=0.04,
    exit_code=ExitCode.SETTLED,
)


def test_a_quiet_pass_says_so_in_four_lines() -> None:
    assert lines(QUIET) == [
        "Events: none",
        "Attachments: none was due in 0.0 s",
        "Ledger: empty",
        "All settled.",
    ]


def test_a_long_pass_is_told_in_minutes() -> None:
    assert lines(replace(QUIET, took_s=4_275.2))[1] == "Attachments: none was due in 71 min 15 s"


def test_a_ledger_without_attachments_is_not_called_empty_when_something_is_recorded() -> None:
    assert lines(QUIET, {"events": 3, "messages": 2})[2] == "Ledger: no attachments, 3 events, 2 messages"
    assert lines(QUIET, {"events": 0, "messages": 0})[2] == "Ledger: empty"


@pytest.mark.parametrize("standing", [Standing.HELD, Standing.THROTTLED])
def test_times_are_in_this_machines_zone_as_status_tells_them(
    standing: Standing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        told = lines(replace(QUIET, applications=(Troubled("304", standing, NOON, 1, "why"),)))[3]
    finally:
        monkeypatch.undo()
        time.tzset()

    assert told.startswith(f"{standing.capitalize()}: application 304, tried again 2026-11-20 21:00:00+0900: why")


def test_everything_that_happened_is_told_and_the_last_line_says_what_to_do() -> None:
    busy = replace(
        QUIET,
        receipt=Receipt(new=3, duplicate=2, ignored=1, rejected=1),
        settled={"stored": 2, "missing": 1},
        stored_bytes=1234567,
        ledger={"stored": 2, "missing": 1},
        applications=(Troubled("304", Standing.HELD, NOON, 1, "the token is refused"),),
        beside=("host-1-aa",),
        paused="the store is full",
        left_alone=2,
        interrupted=True,
        exit_code=ExitCode.NEEDS_A_PERSON,
    )

    told = lines(busy)

    assert told[0] == "Events: 3 new, 2 repeated, 1 ignored, 1 rejected"
    assert told[1] == "Attachments: 2 stored, 1 missing (1,234,567 bytes) in 0.0 s"
    assert told[3] == (
        f"Held: application 304, tried again {local_time(NOON)}: the token is refused;"
        " mend it, then `mo-sync ledger release --application 304`"
    )
    assert told[4].startswith("Rejected: ")
    assert told[5].startswith("Paused: the store is full")
    assert told[6].startswith("Left alone: 2 dropped files")
    assert "another mo-sync is at work here (host-1-aa)" in told[7]
    assert told[8].startswith("Stopped early")
    assert "mo-sync ledger list" in told[-1]


def test_the_program_gets_the_same_facts_as_plain_json() -> None:
    told = json.loads(json.dumps(as_json(QUIET)))

    assert told["exit_code"] == 0
    assert told["receipt"] == {"new": 0, "duplicate": 0, "ignored": 0, "rejected": 0}
