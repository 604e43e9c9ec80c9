"""Many events in, one transaction, one receipt out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import astuple
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mo_sync import intake as room
from mo_sync.errors import EventError, LedgerOutOfReach
from mo_sync.events import Envelope, RawEvent, Rejected
from mo_sync.intake import Intake, Receipt
from mo_sync.ledger import Ledger
from mo_sync.ledger.record import Recorded
from mo_sync.settings import Ledger as LedgerSettings
from tests.clocks import HandClock
from tests.drops import event

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
RECEIPTS = st.builds(Receipt, *[st.integers(0, 10**6)] * 4)


def raw(body: bytes, source: str = "test:1") -> RawEvent:
    return RawEvent(source, body, NOW)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(LedgerSettings(url=f"sqlite:///{tmp_path / 'ledger.db'}")) as ledger:
        yield ledger


@pytest.fixture
def intake(ledger: Ledger) -> Intake:
    return Intake(ledger, HandClock(), give_up_after_s=3600.0)


def test_a_batch_is_counted_by_what_became_of_each(intake: Intake) -> None:
    receipt_event = json.loads(event(2))
    receipt_event["event"]["evt-tp"] = "message_state_change"

    recording = intake.record([raw(event(1)), raw(event(1)), raw(json.dumps(receipt_event).encode()), raw(b"rubbish")])

    assert recording.receipt == Receipt(new=1, duplicate=1, ignored=1, rejected=1)


def test_each_rejection_is_told_by_its_index_with_its_reason(intake: Intake) -> None:
    recording = intake.record([raw(b"rubbish"), raw(event(1)), raw(b'{"a": }')])

    assert [index for index, _ in recording.rejections] == [0, 2]
    assert all(rejected.reason and rejected.event_key.startswith("raw:") for _, rejected in recording.rejections)


def test_what_is_rejected_again_is_a_duplicate_but_still_a_rejection(intake: Intake) -> None:
    intake.record([raw(b"rubbish")])

    again = intake.record([raw(b"rubbish")])

    assert again.receipt == Receipt(duplicate=1)
    assert [index for index, _ in again.rejections] == [0]


def test_what_a_feed_could_not_cut_out_is_recorded_as_rejected_for_that_reason(intake: Intake, ledger: Ledger) -> None:
    error = EventError("event-too-large", "it has more than 10 bytes", position="line 1")

    recording = intake.record([raw(event(1)), raw(event(2))], errors={1: error})

    assert recording.receipt == Receipt(new=1, rejected=1)
    [(index, rejected)] = recording.rejections
    assert index == 1
    assert "it has more than 10 bytes" in rejected.reason


def test_an_event_that_only_the_ledger_refuses_is_a_rejection_too(
    intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "record", lambda *args, **options: [Recorded.REJECTED, Recorded.NEW])

    recording = intake.record([raw(event(1)), raw(event(2))])

    assert recording.receipt == Receipt(new=1, rejected=1)
    [(index, rejected)] = recording.rejections
    assert (index, rejected.event_key) == (0, "e1")


def test_a_ledger_out_of_reach_is_the_caller_s_to_hear(intake: Intake, monkeypatch: pytest.MonkeyPatch) -> None:
    def locked(
        ledger: Ledger, batch: list[tuple[RawEvent, Envelope | Rejected]], *, now: datetime, give_up_after_s: float
    ) -> list[Recorded]:
        raise LedgerOutOfReach("ledger-locked", "another process holds it")

    monkeypatch.setattr(room, "record", locked)

    with pytest.raises(LedgerOutOfReach):
        intake.record([raw(event(1))])


def test_no_events_at_all_are_no_trouble(intake: Intake) -> None:
    assert intake.record([]).receipt == Receipt()


@given(RECEIPTS, RECEIPTS, RECEIPTS)
def test_receipts_add_up_in_any_order(one: Receipt, two: Receipt, three: Receipt) -> None:
    assert (one + two) + three == three + (two + one)
    assert sum(astuple(one + two)) == sum(astuple(one)) + sum(astuple(two))
    assert one + Receipt() == one
