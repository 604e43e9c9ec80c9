"""What doctor says of the work and of secrets; of folders, tokens and the gateway tests elsewhere tell."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mo_sync.ledger import Ledger, gaps, places
from mo_sync.ledger.gaps import Gap, Kind
from mo_sync.ledger.processes import ProcessRow, seen
from tests.commands import call
from tests.contract.conftest import House
from tests.ledgers import announced, recorded

NOWHERE = {"base_url": "http://127.0.0.1:9", "token_file": "token"}


class Examination:
    """A house in which all is well, but that no gateway answers, and what doctor finds there."""

    def __init__(self, house: House, root: Path) -> None:
        self.house, self.root = house, root
        for name in ("media", "drop", "drop/rejected"):
            (root / name).mkdir(mode=0o750)
        (root / "token").write_text("sandbox-token\n")
        (root / "token").chmod(0o600)
        self.settings: dict[str, dict[str, Any]] = {"gateway": dict(NOWHERE)}

    def found(self) -> dict[str, tuple[str, str]]:
        """The last finding of each name that is not ok."""
        document = call(self.house.url, self.root, "doctor", "--json", more=self.settings).document
        return {one["name"]: (one["level"], one["summary"]) for one in document["checks"] if one["level"] != "ok"}


@pytest.fixture
def examination(house: House, tmp_path: Path) -> Examination:
    return Examination(house, tmp_path)


def test_where_all_is_well_only_the_gateway_is_told_of(examination: Examination) -> None:
    assert set(examination.found()) == {"gateway"}


def test_events_that_nobody_takes_and_those_that_nobody_understood(examination: Examination) -> None:
    for name in ("drop/a.json", "drop/b.json", "drop/c.json.tmp", "drop/rejected/x.json"):
        (examination.root / name).write_text("{}")
    (examination.root / "drop/rejected/x.json.error.txt").write_text("because")
    assert set(examination.found()) == {"gateway", "drop rejected"}, "what was dropped a moment ago is no trouble"
    os.utime(examination.root / "drop/b.json", (time.time() - 7_300, time.time() - 7_300))

    found = examination.found()

    assert found["drop waiting"] == ("warning", "2 files to be taken, the oldest for 2 h")
    assert found["drop rejected"] == ("warning", f"1 file in {examination.root}/drop/rejected")


def test_a_daemon_that_went_silent_and_one_that_has_trouble(examination: Examination, ledger: Ledger) -> None:
    now = datetime.now(UTC)
    for worker, ago_s, trouble in (("dead-1-aa", 7_300, None), ("well-2-bb", 5, None)):
        row = ProcessRow(worker, "1", now - timedelta(days=1), now - timedelta(seconds=ago_s), {}, trouble)
        seen(ledger, row)

    assert examination.found()["daemon"] == (
        "warning",
        "dead-1-aa has said nothing for 2 h: it was killed, or stands still",
    )
    seen(ledger, ProcessRow("dead-1-aa", "1", now, now, {}, "drop: the disk is full"))
    assert examination.found()["daemon"][1] == "dead-1-aa: drop: the disk is full"


def test_problems_are_counted_by_kind(examination: Examination, ledger: Ledger) -> None:
    recorded(ledger, *(announced(f"E{n}", f"M{n}", [f"A{n}"]) for n in range(3)))
    with ledger.begin() as connection:
        connection.exec_driver_sql("update attachment set state = 'failed' where id in ('A0', 'A1')")
        connection.exec_driver_sql("update event set state = 'rejected' where message_id = 'M2'")

    assert examination.found()["problems"] == ("warning", "what needs a person: 2 failed, 1 rejected event")


def test_an_inbox_that_nobody_looks_into_any_more_and_what_troubles_one(
    examination: Examination, ledger: Ledger
) -> None:
    now = datetime.now(UTC)
    places.seen(ledger, "gateway", now - timedelta(hours=5), now=now)
    assert examination.found()["inbox"] == ("warning", "gateway was seen up to 5 h ago")

    places.seen(ledger, "gateway", now, now=now)
    trouble = Gap(Kind.INBOX_OUT_OF_REACH, "gateway", "17226", now - timedelta(hours=3), "the gateway answered 500")
    gaps.begin(ledger, trouble, now=now - timedelta(hours=3))
    assert examination.found()["inbox"] == (
        "warning",
        "inbox out of reach: gateway, for 3 h: the gateway answered 500",
    )


@pytest.mark.parametrize(
    ("section", "key", "holds"),
    [
        ("oauth", "client_secret_file", "secret oauth.client_secret_file"),
        ("relay", "certificate_key", "secret relay.certificate_key"),
        ("relay", "bearer_file", "secret relay.bearer_file"),
        ("gateway", "consumer_key_file", "secret gateway.consumer_key_file"),
    ],
)
def test_a_secret_that_anyone_may_read_wherever_it_is(
    examination: Examination, section: str, key: str, holds: str
) -> None:
    examination.settings.setdefault(section, {})[key] = "kept"
    assert examination.found()[holds][0] == "failed"

    (examination.root / "kept").write_text("geheim\n")
    (examination.root / "kept").chmod(0o644)
    assert examination.found()[holds][0] == "warning"

    (examination.root / "kept").chmod(0o640)
    assert holds not in examination.found()


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("oauth", "client_secret", "geheim"),
        ("gateway", "proxy", "http://me:geheim@proxy.example.com:3128"),
        ("relay", "bearer", "geheim-geheim-geheim"),
    ],
)
def test_a_secret_in_a_configuration_that_anyone_may_read(
    examination: Examination, section: str, key: str, value: str
) -> None:
    examination.settings.setdefault(section, {})[key] = value

    level, summary = examination.found()["configuration"]

    assert level == "warning"
    assert f"holds a secret ({section}.{key})" in summary or f", {section}.{key})" in summary
    assert "geheim" not in summary
