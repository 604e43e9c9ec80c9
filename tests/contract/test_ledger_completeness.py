"""What the ledger keeps of the comparison with Syniverse's side: rhythms, gaps, places, marks."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

from mo_sync.events import RawEvent
from mo_sync.ledger import Ledger, bulk, gaps, marks, places, rhythms
from mo_sync.ledger.claims import claim, settle
from mo_sync.ledger.erasure import erase_attachment
from mo_sync.ledger.gaps import Gap, Kind
from mo_sync.ledger.holdings import Owners, accounted_for, held, held_between
from mo_sync.ledger.interventions import By
from mo_sync.ledger.places import Left, Place
from mo_sync.ledger.record import Item
from mo_sync.upkeep.silence import listen
from tests.clocks import HandClock
from tests.ledgers import NOW, announced, failed, later, one, recorded, rows, settlement, stored

HOUR = timedelta(hours=1)


def by(source: str, event_id: str, message_id: str, *, at: datetime = NOW) -> Item:
    """An announcement that came by a feed of this name."""
    event, said = announced(event_id, message_id, [])
    return RawEvent(source, event.body, at), said


# rhythms


def test_days_are_counted_from_where_it_was_left_each_event_once(ledger: Ledger) -> None:
    recorded(ledger, announced("E1", "M1", ["A1"]), announced("E2", "M2", ["A2"]))
    while rhythms.catch_up(ledger, now=NOW):
        pass
    recorded(ledger, announced("E3", "M3", []), announced("E1", "M1", ["A1"]))
    assert not rhythms.catch_up(ledger, now=NOW)
    assert not rhythms.catch_up(ledger, now=NOW)

    [day] = rhythms.days(ledger)
    assert (day.application_id, day.events) == ("17226", 3)


def test_what_the_inbox_showed_is_no_announcement(ledger: Ledger) -> None:
    recorded(ledger, by("inbox:gateway", "E1", "M1"), by("backfill:17226", "E2", "M2"))
    rhythms.catch_up(ledger, now=NOW)

    assert rhythms.days(ledger) == []


def test_silence_is_noted_once_and_ends_with_the_next_event(ledger: Ledger) -> None:
    clock = HandClock(NOW)
    recorded(ledger, announced("E1", "M1", []))
    listen(ledger, clock=clock, bound_s=3_600.0, stop=lambda: False)
    assert one(ledger, "select count(*) n from gap")["n"] == 0

    clock.advance(3_700.0)
    listen(ledger, clock=clock, bound_s=3_600.0, stop=lambda: False)
    clock.advance(60.0)
    listen(ledger, clock=clock, bound_s=3_600.0, stop=lambda: False)
    problem = one(ledger, "select kind, id, since from v_problem")
    assert (problem["kind"], problem["id"]) == ("silence", "17226")

    recorded(ledger, by("drop:x", "E2", "M2", at=clock.now()))
    listen(ledger, clock=clock, bound_s=3_600.0, stop=lambda: False)
    assert rows(ledger, "select kind from v_problem") == []


# gaps


def test_a_comparison_takes_the_place_of_the_last_one_of_that_time_and_those_applications(ledger: Ledger) -> None:
    recorded(ledger, announced("E1", "M1", []), announced("E2", "M2", []))
    everybody = Owners()

    def gap(kind: Kind, subject: str, hours: float, application: str = "17226") -> Gap:
        return Gap(kind, subject, application, NOW - hours * HOUR, "it is so")

    first = [gap(Kind.NOT_IN_INBOX, "M1", 3), gap(Kind.NOT_IN_INBOX, "M2", 1), gap(Kind.ONLY_IN_INBOX, "M9", 1)]
    gaps.replace(ledger, everybody, NOW - 4 * HOUR, NOW, first, now=NOW)
    gaps.replace(ledger, Owners(only="20881"), NOW - 4 * HOUR, NOW, [], now=NOW)
    gaps.replace(ledger, everybody, NOW - 2 * HOUR, NOW, [gap(Kind.ATTACHMENTS_DIFFER, "M2", 1)], now=NOW)

    found = gaps.gaps(ledger, everybody, since=None, until=None, limit=None)
    assert [(row.kind, row.message_id) for row in found] == [("attachments differ", "M2"), ("not in the inbox", "M1")]
    assert gaps.gaps(ledger, Owners(but=frozenset({"17226"})), since=None, until=None, limit=None) == []


def test_many_gaps_are_written_some_hundreds_at_once_and_those_that_come_twice_once(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [Gap(Kind.ONLY_IN_INBOX, f"M{n}", "17226", NOW - HOUR, "it is there") for n in range(1_200)]
    found.append(Gap(Kind.ONLY_IN_INBOX, "M1199", "20881", NOW - HOUR, "it is there, as was said last"))
    sizes: list[int] = []

    def counting(connection: Connection, build: bulk.Build, columns: tuple[str, ...], rows: Sequence[list[Any]]) -> int:
        sizes.append(len(rows))
        return bulk.write(connection, build, columns, rows)

    monkeypatch.setattr(gaps, "write", counting)

    gaps.replace(ledger, Owners(), NOW - 2 * HOUR, NOW, found, now=NOW)
    gaps.replace(ledger, Owners(only="20881"), NOW - 2 * HOUR, NOW, found[-1:], now=NOW)

    assert sizes == [500, 500, 201, 1]
    assert one(ledger, "select count(*) n, max(reason) reason from gap") == {"n": 1_200, "reason": found[-1].reason}


def test_what_only_the_inbox_has_is_no_gap_any_more_when_it_is_recorded(ledger: Ledger) -> None:
    found = [Gap(Kind.ONLY_IN_INBOX, "M1", "17226", NOW - HOUR, "it is there")]
    gaps.replace(ledger, Owners(), NOW - 2 * HOUR, NOW, found, now=NOW)
    assert one(ledger, "select command from v_gap")["command"] == "mo-sync ledger backfill --since 2026-11-20T11:00:00Z"

    recorded(ledger, announced("E1", "M1", []))
    assert rows(ledger, "select * from v_gap") == []


# holdings


def test_what_is_held_is_told_and_what_is_erased_is_none_of_it(ledger: Ledger) -> None:
    recorded(ledger, announced("E1", "M1", ["A1", "A2"]), announced("E2", "M2", [], has_attachment="true"))

    found = held(ledger, ["M1", "M2", "M3"])

    assert found.keys() == {"M1", "M2"}
    assert found["M1"].attachment_ids == {"A1", "A2"}
    assert (found["M1"].lacks_ids, found["M2"].lacks_ids) == (False, True)
    between = list(held_between(ledger, Owners(only="17226"), NOW - 400 * 24 * HOUR, NOW + HOUR))
    assert sorted(row[0] for row in between) == ["M1", "M2"]
    assert list(held_between(ledger, Owners(but=frozenset({"17226"})), NOW - 400 * 24 * HOUR, NOW + HOUR)) == []


def test_what_stands_for_an_erased_attachment_is_not_told_and_the_erased_one_is_accounted_for(ledger: Ledger) -> None:
    recorded(ledger, announced("E1", "M1", ["A1", "A2"]), announced("E2", "M2", ["A3"]))
    assert accounted_for(ledger, {"A1", "A3", "A4"}) == {"A1", "A3"}
    for name in ("A1", "A3"):
        erase_attachment(ledger, name, By("me"), now=NOW)

    found = held(ledger, ["M1", "M2"])

    assert found["M1"].attachment_ids == {"A2"}
    assert (found["M2"].attachment_ids, found["M2"].lacks_ids) == (frozenset(), False)
    assert accounted_for(ledger, {"A1", "A2", "A4"}) == {"A1", "A2"}


# places


def test_a_place_is_kept_as_it_was_put(ledger: Ledger) -> None:
    left = Left(NOW - 10 * HOUR, NOW - HOUR)
    places.seen(ledger, "17226", NOW, now=NOW, left=left)
    places.seen(ledger, "gateway", NOW, now=NOW)

    assert places.places(ledger) == {"17226": Place(NOW, left), "gateway": Place(NOW)}


def test_who_looks_and_who_goes_through_what_was_before_undo_nothing_of_each_other(ledger: Ledger) -> None:
    first, second = Left(NOW - 10 * HOUR, NOW - 2 * HOUR), Left(NOW - 10 * HOUR, NOW - 6 * HOUR)
    places.seen(ledger, "gateway", NOW - HOUR, now=NOW, left=first)

    places.gone_through(ledger, "gateway", first, second, now=NOW)
    places.seen(ledger, "gateway", NOW, now=NOW, left=first)
    assert places.places(ledger) == {"gateway": Place(NOW, second)}

    places.gone_through(ledger, "gateway", second, None, now=NOW)
    places.gone_through(ledger, "gateway", first, second, now=NOW)
    places.seen(ledger, "gateway", NOW - HOUR, now=NOW, left=first)
    assert places.places(ledger) == {"gateway": Place(NOW)}


def test_a_place_that_a_wrong_clock_put_into_the_future_moves_back(ledger: Ledger) -> None:
    places.seen(ledger, "gateway", NOW + 50 * HOUR, now=NOW + 50 * HOUR)

    places.seen(ledger, "gateway", NOW, now=NOW)

    assert places.places(ledger) == {"gateway": Place(NOW)}


# marks


def store(ledger: Ledger, *, marking: bool = True, outcome: object = None) -> None:
    """Claim what is due and settle it, a claim at a time."""
    for item in claim(ledger, worker="tester", now=NOW, lease_s=60, count=10):
        settle(ledger, [settlement(item, outcome or stored(item))], worker="tester", marking=marking)  # type: ignore[arg-type]


def test_a_message_is_noted_with_its_last_attachment_and_not_before(ledger: Ledger) -> None:
    recorded(ledger, announced("E1", "M1", ["A1", "A2"]), announced("E2", "M2", []))
    first, second = claim(ledger, worker="tester", now=NOW, lease_s=60, count=10)
    settle(ledger, [settlement(first, stored(first))], worker="tester", marking=True)
    assert marks.due(ledger, now=later(1), count=10) == []

    settle(ledger, [settlement(second, stored(second))], worker="tester", marking=True)
    [due] = marks.due(ledger, now=later(100), count=10)
    assert (due.message_id, due.application_id, due.attempts) == ("M1", "17226", 0)


@pytest.mark.parametrize("marking", [True, False])
def test_nothing_is_noted_where_it_is_off_or_something_is_not_stored(ledger: Ledger, marking: bool) -> None:
    recorded(ledger, announced("E1", "M1", ["A1"]))
    if marking:
        for item in claim(ledger, worker="tester", now=NOW, lease_s=60, count=10):
            settle(ledger, [settlement(item, failed())], worker="tester", marking=True)
    else:
        store(ledger, marking=False)

    assert rows(ledger, "select * from mark") == []


def test_of_two_that_store_the_last_two_at_once_one_notes_it(ledger: Ledger) -> None:
    """On PostgreSQL neither sees what the other has not committed yet."""
    names = [f"A{number}" for number in range(12)]
    recorded(ledger, announced("E1", "M1", names))
    claimed = claim(ledger, worker="tester", now=NOW, lease_s=60, count=20)
    together = threading.Barrier(len(claimed))

    def work(item: object) -> None:
        together.wait(20)
        settle(ledger, [settlement(item, stored(item))], worker="tester", marking=True)  # type: ignore[arg-type]

    threads = [threading.Thread(target=work, args=[item]) for item in claimed]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert [row["message_id"] for row in rows(ledger, "select message_id from mark")] == ["M1"]


def test_a_mark_is_told_put_off_and_given_up(ledger: Ledger) -> None:
    recorded(ledger, *(announced(f"E{n}", f"M{n}", [f"A{n}"]) for n in range(3)))
    store(ledger)
    first, second, third = marks.due(ledger, now=later(100), count=10)

    marks.done(ledger, [first], now=later(200))
    marks.later(ledger, second, due_at=later(500), error="not now", counts=True)
    marks.failed(ledger, third, error="never")

    assert marks.due(ledger, now=later(300), count=10) == []
    [again] = marks.due(ledger, now=later(500), count=10)
    assert (again.message_id, again.attempts) == (second.message_id, 1)
    assert one(ledger, "select kind, id, reason from v_problem") == {
        "kind": "not marked",
        "id": third.message_id,
        "reason": "never",
    }
