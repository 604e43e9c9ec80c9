"""Events that were kept and are read again, on every database."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from mo_sync.events import Envelope, RawEvent, Rejected, parse
from mo_sync.ledger import Ledger, retention
from mo_sync.ledger import changes as changes_module
from mo_sync.ledger.changes import changes
from mo_sync.ledger.dialect import take_turns_recording
from mo_sync.ledger.record import Recorded, record
from mo_sync.ledger.replay import Kept, Which, newest, replay, replayable, replayable_count
from tests.contract.conftest import House, on_postgresql
from tests.ledgers import NOW, announced, bare, column, later, one, raw, recorded, rows

BODY = announced("E1", "M1", ["A1", "A2"])[0].body


def once_rejected(ledger: Ledger, body: bytes = BODY, *, times: int = 1, at: float = 0) -> Kept:
    """As an older program left it, which did not understand this."""
    event = raw(body, source="drop:old.json:byte 0", at=later(at))
    for _ in range(times):
        record(ledger, [(event, Rejected("raw:1", "not understood", "byte 0"))], now=later(at), give_up_after_s=9.0)
    [kept] = all_of(ledger, Which(states=["rejected"]))
    return kept


def all_of(ledger: Ledger, which: Which) -> list[Kept]:
    return replayable(ledger, which, after=0, upto=newest(ledger), count=99)


def again(ledger: Ledger, kept: Kept, at: float = 100) -> list[Recorded]:
    assert kept.raw is not None
    return replay(ledger, kept, [(kept.raw, parse(kept.raw))], now=later(at), give_up_after_s=60.0)


def test_what_is_understood_now_takes_the_place_of_what_was_not(ledger: Ledger) -> None:
    kept = once_rejected(ledger, times=3)

    assert again(ledger, kept) == [Recorded.NEW]

    assert rows(ledger, "select event_key, state, deliveries, source, reason, payload from event") == [
        {
            "event_key": "E1",
            "state": "accepted",
            "deliveries": 3,
            "source": "drop:old.json:byte 0",
            "reason": None,
            "payload": BODY.decode(),
        }
    ]
    assert column(ledger, "select id from attachment where state = 'pending' order by id") == ["A1", "A2"]
    assert one(ledger, "select received_at from event").keys() == {"received_at"}
    assert again(ledger, kept) == [Recorded.DUPLICATE]
    assert column(ledger, "select count(*) from event") == [1]


def test_what_came_by_another_way_meanwhile_counts_its_deliveries_too(ledger: Ledger) -> None:
    kept = once_rejected(ledger, times=2)
    recorded(ledger, announced("E1", "M1", ["A1", "A2"]))

    assert again(ledger, kept) == [Recorded.DUPLICATE]

    assert rows(ledger, "select event_key, deliveries from event") == [{"event_key": "E1", "deliveries": 3}]
    assert column(ledger, "select count(*) from attachment") == [2]


def test_what_is_still_not_understood_stays_as_it_is(ledger: Ledger) -> None:
    kept = once_rejected(ledger, b"\xff\xfe nonsense")
    before = rows(ledger, "select * from event")

    assert kept.raw is not None
    assert kept.raw.body == b"\xff\xfe nonsense"
    assert again(ledger, kept) == [Recorded.REJECTED]
    assert rows(ledger, "select * from event") == before


def test_one_that_holds_several_becomes_several(ledger: Ledger) -> None:
    kept = once_rejected(ledger)
    several = [announced("E5", "M5", ["A5"]), announced("E6", "M6", ["A6"])]

    assert replay(ledger, kept, several, now=later(9), give_up_after_s=9.0) == [Recorded.NEW] * 2

    assert column(ledger, "select event_key from event order by id") == ["E5", "E6"]


def test_reading_accepted_ones_again_changes_nothing(ledger: Ledger) -> None:
    recorded(ledger, announced("E1", "M1", ["A1"]), announced("E2", "M2", []))
    facts = "select event_key, content_key, state, deliveries, message_id, payload from event order by event_key"
    before = rows(ledger, facts), rows(ledger, "select * from attachment"), rows(ledger, "select * from message")

    for kept in all_of(ledger, Which(states=["accepted"])):
        again(ledger, kept)

    after = rows(ledger, facts), rows(ledger, "select * from attachment"), rows(ledger, "select * from message")
    assert after == before


def test_a_delivery_that_came_between_the_look_and_the_replay_counts(ledger: Ledger) -> None:
    kept = once_rejected(ledger)
    once_rejected(ledger, times=2)

    assert again(ledger, kept) == [Recorded.NEW]

    assert rows(ledger, "select event_key, deliveries from event") == [{"event_key": "E1", "deliveries": 3}]


MEANWHILE = {
    "erased": "update event set event_key = 'erased:1', payload = '', source = 'erased', state = 'ignored'",
    "emptied": "update event set payload = ''",
    "deleted": "delete from event where event_key = 'raw:1'",
}


@pytest.mark.parametrize("name", MEANWHILE)
def test_what_was_forgotten_between_the_look_and_the_replay_does_not_come_back(ledger: Ledger, name: str) -> None:
    """P15."""
    kept = once_rejected(ledger)
    with ledger.begin() as connection:
        connection.exec_driver_sql(MEANWHILE[name])
    before = rows(ledger, "select * from event")

    assert again(ledger, kept) == [Recorded.DUPLICATE]

    assert rows(ledger, "select * from event") == before
    assert column(ledger, "select id from message") == []


@on_postgresql
def test_a_replay_and_a_feed_take_turns(house: House) -> None:
    """Each had what the other waited for: an event's row, and the turn to record. SQLite has one writer at a time."""
    with house.open() as ledger, house.open() as other, ThreadPoolExecutor() as pool:
        recorded(ledger, announced("E1", "M1", ["A1"]))
        [kept] = all_of(ledger, Which(keys=["E1"]))
        with ledger.begin() as feed:
            take_turns_recording(feed)
            replayed = pool.submit(again, other, kept)
            while not column(ledger, "select pid from pg_locks where not granted"):
                assert not replayed.done()
            feed.exec_driver_sql("update event set deliveries = deliveries + 1 where event_key = 'E1'")

        assert replayed.result(10) == [Recorded.DUPLICATE]
        assert column(ledger, "select deliveries from event") == [2]


def test_who_follows_gets_nothing_twice_of_what_was_understood_before(ledger: Ledger) -> None:
    recorded(ledger, announced("E1", "M1", ["A1"]), announced("E2", "M2", []), bare("M3", ["A3"]))
    before, place = rows(ledger, "select * from event order by id"), changes_module.newest(ledger)

    for _ in range(2):
        for kept in all_of(ledger, Which(states=["accepted"])):
            assert again(ledger, kept) == [Recorded.DUPLICATE]

    assert rows(ledger, "select * from event order by id") == before
    assert changes(ledger, place, changes_module.newest(ledger), count=9) == []


def test_who_follows_hears_of_what_is_understood_only_now(ledger: Ledger) -> None:
    kept = once_rejected(ledger)
    [event, said] = announced("E2", "M2", ["A3"])
    assert isinstance(said, Envelope)
    record(ledger, [(event, msgspec.structs.replace(said, message=None))], now=NOW, give_up_after_s=9.0)
    [ignored] = all_of(ledger, Which(states=["ignored"]))
    place = changes_module.newest(ledger)

    assert again(ledger, kept) == again(ledger, ignored) == [Recorded.NEW]

    told = changes(ledger, place, changes_module.newest(ledger), count=9)
    assert [(change.facts["event_key"], change.facts["state"]) for change in told] == [
        ("E1", "accepted"),
        ("E2", "accepted"),
    ]
    assert column(ledger, "select count(*) from event") == [2]


def test_the_number_of_the_newest_event_is_not_given_again(ledger: Ledger) -> None:
    """What was recorded next had a number that those who follow had passed."""
    recorded(ledger, announced("E1", "M1", ["A1", "A2"]))
    kept = once_rejected(ledger, times=2)
    place = changes_module.newest(ledger)

    assert again(ledger, kept) == [Recorded.DUPLICATE]

    assert column(ledger, "select deliveries from event where event_key = 'E1'") == [3]
    [left] = rows(ledger, "select id, state, payload, message_id, deliveries from event where event_key <> 'E1'")
    assert left == {"id": kept.id, "state": "ignored", "payload": "", "message_id": None, "deliveries": 0}
    assert [kept.raw for kept in all_of(ledger, Which(states=["ignored"]))] == [None]
    recorded(ledger, announced("E3", "M3", ["A3"]))
    told = changes(ledger, place, changes_module.newest(ledger), count=9)
    assert [change.facts["event_key"] for change in told] == ["E3"]
    assert retention.delete_events(ledger, before=later(999), erased=False, count=9) == 1


def test_an_accepted_one_in_which_more_is_found_now_brings_that(ledger: Ledger) -> None:
    recorded(ledger, announced("E1", "M1", ["A1"]))
    [kept] = all_of(ledger, Which(keys=["E1"]))
    assert kept.raw is not None
    found = announced("E1", "M1", ["A1", "A2"])[1]

    assert replay(ledger, kept, [(kept.raw, found)], now=later(9), give_up_after_s=9.0) == [Recorded.NEW]
    assert replay(ledger, kept, [(kept.raw, found)], now=later(9), give_up_after_s=9.0) == [Recorded.DUPLICATE]

    assert column(ledger, "select id from attachment order by id") == ["A1", "A2"]
    assert column(ledger, "select id from event") == [kept.id]


def test_what_this_program_understands_less_of_stays_as_it_is(ledger: Ledger) -> None:
    event, said = announced("E1", "M1", ["A1"])
    recorded(ledger, (event, said))
    [kept] = all_of(ledger, Which(keys=["E1"]))
    before = rows(ledger, "select * from event")
    assert isinstance(said, Envelope)
    no_message = msgspec.structs.replace(said, message=None)

    assert replay(ledger, kept, [(event, no_message)], now=NOW, give_up_after_s=9.0) == [Recorded.IGNORED]
    assert replay(ledger, kept, [(event, Rejected("E1", "no", "x"))], now=NOW, give_up_after_s=9.0) == [
        Recorded.REJECTED
    ]

    assert rows(ledger, "select * from event") == before


def test_what_is_not_whole_any_more_cannot_be_read_again(ledger: Ledger) -> None:
    body = json.dumps({"x": "y" * 500}).encode()
    event = RawEvent("test", body, NOW)
    record(ledger, [(event, Rejected("raw:1", "no", "byte 0"))], now=NOW, give_up_after_s=9.0, max_payload=100)
    recorded(ledger, announced("E1", "M1", ["A1"]))
    with ledger.begin() as connection:
        connection.exec_driver_sql("update event set payload = '' where event_key = 'E1'")

    assert [kept.raw for kept in all_of(ledger, Which(states=["rejected", "accepted"]))] == [None, None]


@pytest.mark.parametrize(
    ("which", "found"),
    [
        (Which(states=["accepted"]), ["E1", "E2"]),
        (Which(keys=["E1", "raw:1", "nothing"]), ["raw:1", "E1"]),
        (Which(keys=["E1", "raw:1"], states=["accepted"]), ["E1"]),
        (Which(states=["accepted", "rejected"], since=later(50)), ["E2"]),
        (Which(states=["accepted", "rejected"], until=later(50)), ["raw:1", "E1"]),
        (Which(), []),
    ],
)
def test_only_what_was_meant_is_read_again(ledger: Ledger, which: Which, found: list[str]) -> None:
    once_rejected(ledger, b"x")
    recorded(ledger, announced("E1", "M1", ["A1"]))
    event, parsed = announced("E2", "M2", [])
    record(ledger, [(raw(event.body, at=later(100)), parsed)], now=later(100), give_up_after_s=9.0)

    assert [kept.event_key for kept in all_of(ledger, which)] == found
    assert replayable_count(ledger, which) == len(found)
    ids = [kept.id for kept in all_of(ledger, which)]
    assert (
        [kept.id for kept in replayable(ledger, which, after=ids[0], upto=ids[-1], count=1)] == ids[1:2]
        if ids
        else True
    )
