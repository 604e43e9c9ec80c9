"""What a person and a program are told after a pass."""

from __future__ import annotations

import json
from dataclasses import replace

from mo_sync.cli.summary import as_json, lines
from mo_sync.errors import ExitCode
from mo_sync.intake import Receipt
from mo_sync.service import Summary

QUIET = Summary(
    receipt=Receipt(),
    settled={},
    stored_bytes=0,
    ledger={},
    held_applications=(),
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


def test_everything_that_happened_is_told_and_the_last_line_says_what_to_do() -> None:
    busy = replace(
        QUIET,
        receipt=Receipt(new=3, duplicate=2, ignored=1, rejected=1),
        settled={"stored": 2, "missing": 1},
        stored_bytes=1234567,
        ledger={"stored": 2, "missing": 1},
        held_applications=("304",),
        beside=("host-1-aa",),
        paused="the store is full",
        left_alone=2,
        interrupted=True,
        exit_code=ExitCode.NEEDS_A_PERSON,
    )

    told = lines(busy)

    assert told[0] == "Events: 3 new, 2 repeated, 1 ignored, 1 rejected"
    assert told[1] == "Attachments: 2 stored, 1 missing (1,234,567 bytes) in 0.0 s"
    assert "application 304" in told[3]
    assert told[4].startswith("Paused: the store is full")
    assert told[5].startswith("Left alone: 2 dropped files")
    assert "another mo-sync is at work here (host-1-aa)" in told[6]
    assert told[7].startswith("Stopped early")
    assert "mo-sync ledger list" in told[-1]


def test_the_program_gets_the_same_facts_as_plain_json() -> None:
    told = json.loads(json.dumps(as_json(QUIET)))

    assert told["exit_code"] == 0
    assert told["receipt"] == {"new": 0, "duplicate": 0, "ignored": 0, "rejected": 0}
