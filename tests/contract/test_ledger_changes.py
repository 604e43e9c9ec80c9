"""What changed, from a cursor on, on every database: nothing is missed, nothing is told twice, whoever writes."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import text

from mo_sync.errors import UsageError
from mo_sync.ledger import Ledger, retention
from mo_sync.ledger.changes import Change, Cursor, Horizon, changes, furthest, newest
from mo_sync.ledger.claims import claim, settle
from mo_sync.ledger.interventions import By, Choice, Deed, intervene
from mo_sync.ledger.record import record
from mo_sync.ledger.whereabouts import files_gone, unfinished
from mo_sync.lifecycle import State
from tests.contract.conftest import Ask, House, on_postgresql
from tests.ledgers import announced, column, failed, later, recorded, settlement, stored

BEGINNING = Cursor()


def told(ledger: Ledger, after: Cursor = BEGINNING, *, count: int = 99) -> list[Change]:
    return changes(ledger, after, newest(ledger), count=count)


@pytest.fixture
def lived(ledger: Ledger) -> Ledger:
    """Two messages; one attachment failed, was retried and stored, the other one is held."""
    recorded(ledger, announced("E1", "M1", ["A1"]), now=later(0))
    [lease] = claim(ledger, worker="w", count=1, now=later(1), lease_s=60)
    settle(ledger, [settlement(lease, failed(), now=later(2))], worker="w")
    intervene(ledger, Deed.RETRY, Choice(ids=["A1"]), now=later(3), give_up_after_s=9.0, by=By("me", "now"))
    [lease] = claim(ledger, worker="w", count=1, now=later(4), lease_s=60)
    settle(ledger, [settlement(lease, stored(lease), now=later(5))], worker="w")
    with_time = announced("E2", "M2", ["A2"])
    record(ledger, [(_at(with_time[0], 6), with_time[1])], now=later(6), give_up_after_s=9.0)
    intervene(ledger, Deed.HOLD, Choice(ids=["A2"]), now=later(7), give_up_after_s=9.0, by=By("me"))
    return ledger


def _at(raw, seconds):  # type: ignore[no-untyped-def]
    from msgspec.structs import replace

    return replace(raw, received_at=later(seconds))


def test_everything_is_told_in_its_order_with_what_matters(lived: Ledger) -> None:
    found = told(lived)

    assert [(change.kind, change.at) for change in found] == [
        ("event", later(0)),
        ("attempt", later(2)),
        ("intervention", later(3)),
        ("attempt", later(5)),
        ("event", later(6)),
        ("intervention", later(7)),
    ]
    event, first, retried, second, _, held = (change.facts for change in found)
    assert (event["event_key"], event["state"], event["message_id"]) == ("E1", "accepted", "M1")
    assert (first["attachment_id"], first["outcome"], first["status"]) == ("A1", "retry", 500)
    assert (retried["deed"], retried["who"], retried["reason"], retried["state"]) == ("retry", "me", "now", "pending")
    assert (second["outcome"], second["attachment"]["state"]) == ("stored", "stored")
    assert second["attachment"]["location"].endswith("0-A1.jpg")
    assert (held["deed"], held["attachment"]["message_id"]) == ("hold", "M2")
    assert "payload" not in event
    assert "from_address" not in event


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_who_goes_on_behind_any_line_misses_nothing_and_gets_nothing_twice(lived: Ledger, count: int) -> None:
    everything = told(lived)
    for place in range(len(everything)):
        after = everything[place].cursor
        rest: list[Change] = []
        while some := told(lived, Cursor.parse(str(after)), count=count):
            assert len(some) <= count
            rest += some
            after = some[-1].cursor
        assert rest == everything[place + 1 :]


def test_there_is_nothing_behind_the_newest_place(lived: Ledger) -> None:
    assert told(lived)[-1].cursor == newest(lived)
    assert told(lived, newest(lived)) == []
    assert changes(lived, BEGINNING, BEGINNING, count=9) == []


def test_a_place_stays_one_when_what_is_before_it_was_pruned(lived: Ledger, asked: Ask) -> None:
    """The newest intervention went with its attachment, and the place passed for one of another ledger."""
    place = newest(lived)
    with lived.begin() as connection:
        connection.execute(text("update attachment set state = 'cancelled', due_at = null where id = 'A2'"))
    retention.retire(lived, state=State.CANCELLED, before=later(99), now=later(100), count=9)
    files_gone(lived, unfinished(lived))
    assert retention.delete_retired(lived, count=9) == 1

    assert newest(lived).intervention < place.intervention
    assert furthest(lived) == place
    assert asked("follow", "--once", "--cursor", str(place)).out == ""
    with pytest.raises(UsageError, match="cursor-ahead"):
        asked("follow", "--once", "--cursor", str(place.moved("intervention", place.intervention + 1)))
    recorded(lived, announced("E3", "M3", ["A3"]))
    intervene(lived, Deed.HOLD, Choice(ids=["A3"]), now=later(100), give_up_after_s=9.0, by=By())
    assert [change.kind for change in told(lived, place)] == ["event", "intervention"]


@pytest.mark.parametrize(
    "words", ["", "e1", "e1.a2", "e1.a2.i", "e-1.a2.i3", "e1.a2.i3.x", "e1.a2.i9999999999999999999"]
)
def test_what_is_no_cursor_is_an_error_of_usage(words: str) -> None:
    with pytest.raises(UsageError):
        Cursor.parse(words)


def settled(horizon: Horizon) -> Cursor:
    for _ in range(4):
        found = horizon.look()
    return found


def test_a_horizon_reaches_what_is_there_after_a_few_looks(lived: Ledger) -> None:
    assert settled(Horizon(lived)) == newest(lived)


@on_postgresql
def test_a_number_that_was_drawn_and_is_not_committed_keeps_the_horizon_back(house: House) -> None:
    """On PostgreSQL a higher number may be there first; SQLite has one writer at a time."""
    with house.open() as ledger:
        recorded(ledger, announced("E1", "M1", ["A1"]))
        sql = "insert into intervention (attachment_id, deed, at, state) values ('A1', 'hold', now(), 'pending')"
        with ledger.begin() as slow:
            slow.execute(text(sql))  # draws the lower number
            with house.open() as other:
                with other.begin() as quick:
                    quick.execute(text(sql))
                assert newest(other).intervention == 2
                horizon = Horizon(other)
                assert settled(horizon).intervention == 0
                assert changes(other, BEGINNING, horizon.look(), count=9) == []
        assert column(ledger, "select id from intervention order by id") == [1, 2]
        assert settled(horizon).intervention == 2


def test_nothing_is_missed_and_nothing_told_twice_while_many_write(house: House) -> None:
    writers, each = 4, 25

    def write(writer: int) -> None:
        with house.open() as ledger:
            for n in range(each):
                name = f"{writer}-{n}"
                recorded(ledger, announced(f"E{name}", f"M{name}", [f"A{name}"]))
                choice = Choice(ids=[f"A{name}"])
                intervene(ledger, Deed.HOLD, choice, now=later(n), give_up_after_s=9.0, by=By())

    threads = [threading.Thread(target=write, args=[writer]) for writer in range(writers)]
    for thread in threads:
        thread.start()
    found: list[Change] = []
    with house.open() as ledger:
        horizon, quiet = Horizon(ledger), 0
        while quiet < 4:
            alive = any(thread.is_alive() for thread in threads)
            some = changes(ledger, found[-1].cursor if found else BEGINNING, horizon.look(), count=10)
            found += some
            quiet = 0 if some or alive else quiet + 1
    for thread in threads:
        thread.join()

    names = {f"{writer}-{n}" for writer in range(writers) for n in range(each)}
    assert sorted(c.facts["event_key"] for c in found if c.kind == "event") == sorted(f"E{name}" for name in names)
    assert sorted(c.facts["attachment_id"] for c in found if c.kind == "intervention") == sorted(
        f"A{name}" for name in names
    )
