"""Events come in once, whatever comes how often, in whatever shape and order, by however many at once."""

from __future__ import annotations

import itertools
import random
import sqlite3
import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy.exc import OperationalError

from mo_sync.errors import LedgerOutOfReach
from mo_sync.events import Envelope, MoMessage, RawEvent, Rejected, parse
from mo_sync.ledger import Ledger, in_transaction, queries
from mo_sync.ledger import record as recording
from mo_sync.ledger.record import Recorded, record, rehearse
from mo_sync.settings import Ledger as LedgerSettings
from tests.contract.conftest import House
from tests.forks import processes
from tests.ledgers import (
    GIVE_UP_AFTER_S,
    NOW,
    Item,
    announced,
    bare,
    column,
    items,
    later,
    one,
    raw,
    recorded,
    rows,
)

NEW, DUPLICATE, IGNORED, REJECTED = Recorded.NEW, Recorded.DUPLICATE, Recorded.IGNORED, Recorded.REJECTED


def everything_but_deliveries(ledger: Ledger) -> dict[str, list[dict[str, Any]]]:
    """All rows of the three tables that events make."""
    found = {table: rows(ledger, f"select * from {table} order by id") for table in ("event", "message", "attachment")}
    for event in found["event"]:
        del event["deliveries"]
    return found


def test_an_event_makes_a_message_and_a_pending_attachment_for_each_id_in_order(ledger: Ledger) -> None:
    assert recorded(ledger, announced("E1", "M1", ["A2", "A1"])) == [NEW]

    message = one(ledger, "select * from message")
    attachments = rows(ledger, "select * from attachment order by position")
    event = one(ledger, "select * from event")
    assert (message["id"], message["application_id"], message["company_id"]) == ("M1", "17226", "11837")
    assert (message["from_address"], message["to_address"]) == ("+14086080000", "18322222222")
    assert (message["body"], message["av_status"]) == ("hello", "OK")
    assert [(row["id"], row["position"], row["state"], row["attempts"]) for row in attachments] == [
        ("A2", 0, "pending", 0),
        ("A1", 1, "pending", 0),
    ]
    assert (event["event_key"], event["state"], event["message_id"], event["deliveries"]) == ("E1", "accepted", "M1", 1)


def test_new_attachments_are_due_now_and_given_up_after_the_time_asked_for(ledger: Ledger) -> None:
    record(ledger, [announced("E1")], now=NOW, give_up_after_s=100.0)

    [row] = queries.list_attachments(ledger, queries.Filters(), limit=None)
    assert (row.due_at, row.deadline_at) == (NOW, later(100.0))


def test_the_payload_is_kept_whole_up_to_its_bound(ledger: Ledger) -> None:
    item = announced("E1")
    assert recorded(ledger, item) == [NEW]
    assert record(ledger, [announced("E2", "M2")], now=NOW, give_up_after_s=1.0, max_payload=10) == [NEW]

    whole, cut = column(ledger, "select payload from event order by id")
    assert whole == item[0].body.decode()
    assert cut.startswith(whole[:10])
    assert len(cut) < 60


# The same announcement, with and without its id, and another announcement of the same message.
X, Y, BARE = announced("X"), announced("Y"), bare()


def test_in_whatever_order_announcements_come_there_is_one_message_and_every_delivery_is_counted(
    ledger: Ledger,
) -> None:
    """All ninety orders of two deliveries each, in ledgers of their own: messages that do not know each other."""
    orders = sorted(set(itertools.permutations("xxyybb")))
    for number, order in enumerate(orders):
        message_id, attachments = f"M{number}", [f"A{number}"]
        shapes = {
            "x": announced(f"X{number}", message_id, attachments),
            "y": announced(f"Y{number}", message_id, attachments),
            "b": bare(message_id, attachments),
        }
        outcomes = [recorded(ledger, shapes[letter])[0] for letter in order]

        rows_made = 1 if order[0] == "b" else 2
        assert (order, outcomes.count(NEW), outcomes.count(DUPLICATE)) == (order, rows_made, 6 - rows_made)

    assert one(ledger, "select count(*) n from message") == {"n": 90}
    assert one(ledger, "select count(*) n from attachment") == {"n": 90}
    assert one(ledger, "select sum(deliveries) n from event") == {"n": 540}
    assert len(orders) == 90


@pytest.mark.parametrize("first", [X, BARE], ids=["named", "bare"])
@pytest.mark.parametrize("again", [X, BARE], ids=["named", "bare"])
def test_the_same_event_again_is_a_duplicate_with_or_without_its_id(ledger: Ledger, first: Item, again: Item) -> None:
    assert recorded(ledger, first) == [NEW]
    assert recorded(ledger, again) == [DUPLICATE]
    assert recorded(ledger, again, again) == [DUPLICATE, DUPLICATE]

    assert one(ledger, "select count(*) n, max(deliveries) deliveries from event") == {"n": 1, "deliveries": 4}


@pytest.mark.parametrize("batch", list(itertools.permutations([X, BARE, Y])), ids=lambda _: "")
def test_one_batch_ends_as_its_events_one_by_one_would(house: House, batch: Sequence[Item]) -> None:
    with house.open() as ledger:
        outcomes = recorded(ledger, *batch)

        singly = [DUPLICATE if batch[0] is BARE or item is BARE else NEW for item in batch]
        assert outcomes == [NEW, *singly[1:]]
        assert sum(column(ledger, "select deliveries from event")) == 3


def test_a_row_keeps_the_key_that_it_was_recorded_under(ledger: Ledger) -> None:
    """Even when the same event comes with its id later: a repetition changes nothing but deliveries."""
    recorded(ledger, BARE)
    [before] = rows(ledger, "select * from event")
    recorded(ledger, X)

    assert before["event_key"].startswith("sha256:")
    assert rows(ledger, "select * from event") == [before | {"deliveries": 2}]


def test_an_event_without_an_id_counts_for_the_oldest_that_said_the_same(ledger: Ledger) -> None:
    recorded(ledger, X)
    recorded(ledger, Y)
    recorded(ledger, BARE)

    assert column(ledger, "select deliveries from event order by id") == [2, 1]


def test_dropping_everything_again_changes_nothing_but_deliveries(ledger: Ledger) -> None:
    named = [announced(f"E{n}", f"M{n}", [f"A{n}"]) for n in range(20)]
    receipt = raw(
        {
            "topic": "SCG-Message",
            "event-id": "R",
            "event": {"evt-tp": "message_state_change", "fld-val-list": {"message_id": "M1"}},
        }
    )
    other = [(receipt, parse(receipt)), (raw(b"<<<"), parse(raw(b"<<<")))]
    recorded(ledger, *named, *other)
    before = everything_but_deliveries(ledger)
    wrapped = [raw({"body": said.body.decode(), "isBase64Encoded": False}) for said, _ in named]
    bodies = [bare(f"M{n}", [f"A{n}"]) for n in range(20)]

    again = recorded(ledger, *bodies, *((said, parse(said)) for said in wrapped), *other, now=later(3600))

    assert set(again) == {DUPLICATE}
    assert everything_but_deliveries(ledger) == before
    assert sum(column(ledger, "select deliveries from event")) == 22 + 42


def test_duplicates_leave_the_life_of_an_attachment_alone(ledger: Ledger) -> None:
    """P4: an event's duplicates never hide, or undo, what became of its attachments."""
    recorded(ledger, X)
    with ledger.begin() as connection:
        connection.exec_driver_sql("update attachment set state = 'failed', due_at = null, attempts = 12")
    before = one(ledger, "select * from attachment")

    recorded(ledger, X, Y, BARE, now=later(9999))

    assert one(ledger, "select * from attachment") == before


def test_a_second_announcement_of_a_message_adds_what_is_missing_and_changes_nothing(ledger: Ledger) -> None:
    recorded(ledger, announced("E1", attachment_ids=["A1"], message_body="", anti_virus_scan_status=""))
    recorded(ledger, announced("E2", attachment_ids=["A1", "A2"], message_body="hi", from_address="+1999"))
    recorded(ledger, announced("E3", attachment_ids=[], message_body=""), now=later(60))

    message = one(ledger, "select * from message")
    assert (message["body"], message["av_status"], message["from_address"]) == ("hi", "OK", "+14086080000")
    assert rows(ledger, "select id, position, state from attachment order by id") == [
        {"id": "A1", "position": 0, "state": "pending"},
        {"id": "A2", "position": 1, "state": "pending"},
    ]
    assert column(ledger, "select message_id from event") == ["M1", "M1", "M1"]


def test_where_files_are_kept_does_not_change_when_a_later_announcement_knows_the_time(ledger: Ledger) -> None:
    recorded(ledger, bare())
    [before] = rows(ledger, "select * from message")
    recorded(ledger, announced("E2"))
    [after] = rows(ledger, "select * from message")

    assert before["occurred_at"] is None
    assert after["filed_at"] == before["filed_at"]


def test_an_attachment_keeps_its_first_owner_and_the_event_says_so(ledger: Ledger) -> None:
    recorded(ledger, announced("E1", "M1", ["A1"]))
    recorded(ledger, announced("E2", "M2", ["A1", "A2"]))

    assert rows(ledger, "select id, message_id from attachment order by id") == [
        {"id": "A1", "message_id": "M1"},
        {"id": "A2", "message_id": "M2"},
    ]
    remarks = column(ledger, "select reason from event order by id")
    assert remarks[0] is None
    assert "A1" in remarks[1]
    assert "M1" in remarks[1]


def test_what_is_not_ours_is_kept_with_its_reason(ledger: Ledger) -> None:
    said = raw({"topic": "NIS-Events", "event-id": "N1", "event": {"evt-tp": "x", "fld-val-list": {"a": "b"}}})
    nonsense = raw(b"\xff\x00 no event")

    assert recorded(ledger, (said, parse(said)), (nonsense, parse(nonsense))) == [IGNORED, REJECTED]
    ignored, rejected = rows(ledger, "select * from event order by id")
    assert (ignored["state"], rejected["state"]) == ("ignored", "rejected")
    assert "NIS-Events" in ignored["reason"]
    assert rejected["reason"]
    assert rejected["payload"].startswith("base64:")
    assert recorded(ledger, (nonsense, parse(nonsense))) == [DUPLICATE]


def test_nothing_is_nothing(ledger: Ledger) -> None:
    assert recorded(ledger) == []


POISONS: dict[str, MoMessage] = {
    "a NUL in its text": MoMessage("MP", "17226", ("AP",), body="a\0b"),
    "a lone surrogate in its text": MoMessage("MP", "17226", ("AP",), body="a\ud800b"),
    "a time without a zone": MoMessage("MP", "17226", ("AP",), occurred_at=NOW.replace(tzinfo=None)),
    "no application": MoMessage("MP", None, ("AP",)),  # type: ignore[arg-type]  # violates NOT NULL
    "no message id": MoMessage(None, "17226", ("AP",)),  # type: ignore[arg-type]  # violates NOT NULL
}
TOO_LONG = MoMessage("MP", "17226", ("AP",), from_address=random.Random(1).randbytes(20_000).hex())
"""For PostgreSQL."""


def poisoned(message: MoMessage) -> Item:
    return raw({"poison": "yes"}), Envelope("EP", "c" * 64, "SCG-Message", "mo_message_received", NOW, 1, message)


@pytest.mark.parametrize("poison", POISONS)
def test_one_event_that_cannot_be_recorded_costs_none_of_its_neighbours(ledger: Ledger, poison: str) -> None:
    """P3. What a database takes differs: a text with NUL is fine in SQLite. Then it is simply recorded."""
    good = list(items(50))
    batch = [*good[:25], poisoned(POISONS[poison]), *good[25:]]

    outcomes = record(ledger, batch, now=NOW, give_up_after_s=GIVE_UP_AFTER_S)

    assert outcomes[:25] + outcomes[26:] == [NEW] * 50
    assert one(ledger, "select count(*) n from attachment where id <> 'AP'") == {"n": 50}
    kept = one(ledger, "select * from event where event_key = 'EP'")
    assert "poison" in kept["payload"]
    if outcomes[25] is REJECTED:
        assert kept["state"] == "rejected"
        assert kept["reason"]
        assert kept["message_id"] is None
        assert column(ledger, "select id from attachment where id = 'AP'") == []
    else:
        assert (poison, outcomes[25]) == ("a NUL in its text", NEW)
        assert column(ledger, "select body from message where id = 'MP'") == ["a\0b"]


def test_an_error_that_only_the_database_can_see_costs_one_event_alone(ledger: Ledger) -> None:
    """The value is well formed, and PostgreSQL's index has no room for it: no sign that the ledger is gone."""
    outcomes = recorded(ledger, announced("E1"), poisoned(TOO_LONG), announced("E3", "M3", ["A3"]))

    assert outcomes == [NEW, REJECTED if ledger.dialect == "postgresql" else NEW, NEW]
    assert len(column(ledger, "select event_key from event")) == 3


@pytest.mark.parametrize("message", [*POISONS.values(), TOO_LONG])
def test_a_rehearsal_foretells_what_cannot_be_recorded_and_leaves_nothing(ledger: Ledger, message: MoMessage) -> None:
    """It broke off where the real run rejected one event."""
    batch = [announced("E1"), poisoned(message), announced("E3", "M3", ["A3"]), announced("E1")]

    foretold = rehearse(ledger, batch, now=NOW, give_up_after_s=GIVE_UP_AFTER_S)

    assert [column(ledger, f"select id from {table}") for table in ("event", "message", "attachment")] == [[], [], []]
    assert recorded(ledger, *batch) == foretold


def test_the_longest_address_is_recorded_on_every_database(ledger: Ledger) -> None:
    """Of whatever characters, and such that it cannot be packed."""
    dice = random.Random(1)
    address = "".join(chr(dice.randrange(0x20000, 0x2A000)) for _ in range(500))

    assert recorded(ledger, announced("E1", from_address=address, to_address=address)) == [NEW]
    assert recorded(ledger, announced("E2", "M2", ["A2"], from_address=address + "1")) == [NEW]
    assert column(ledger, "select distinct from_address from message") == [address]


def test_trouble_of_the_ledger_is_not_blamed_on_an_event(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a batch is recorded singly because of a poison, another program locks what a good event needs."""
    good = announced("E2", "M2", ["A2"])
    write = recording._record

    def locked_for_the_good_one(connection: Any, batch: Sequence[Item], terms: Any) -> list[Recorded]:
        if len(batch) == 1 and batch[0] is good:
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorname = "SQLITE_BUSY"
            raise OperationalError("insert", {}, error)
        return write(connection, batch, terms)

    monkeypatch.setattr(recording, "_record", locked_for_the_good_one)
    poison = poisoned(POISONS["no application"])

    with pytest.raises(LedgerOutOfReach) as caught:
        recorded(ledger, poison, good)

    assert caught.value.code == "ledger-locked"
    assert column(ledger, "select event_key from event") == []
    monkeypatch.undo()
    assert recorded(ledger, poison, good) == [REJECTED, NEW]


def test_a_rejected_event_keeps_where_it_came_from(ledger: Ledger) -> None:
    said, envelope = poisoned(POISONS["no application"])
    recorded(ledger, (replace(said, source="drop:a\udcff.json:line 3"), envelope))

    assert column(ledger, "select source from event") == ["drop:a\ufffd.json:line 3"]


def test_a_rejected_event_that_came_again_is_counted(ledger: Ledger) -> None:
    said = raw(b"nonsense")
    kept = Rejected("raw:1", "no-event: it is none", "line 1")

    assert [recorded(ledger, (said, kept)), recorded(ledger, (said, kept))] == [[REJECTED], [DUPLICATE]]
    assert column(ledger, "select deliveries from event") == [2]


def test_threads_that_record_the_same_events_make_each_row_once(ledger: Ledger) -> None:
    """P2. Each in another order, in another shape, in batches of another size."""
    count, crowd = 60, 6
    outcomes: list[list[Recorded]] = []
    start = threading.Barrier(crowd)

    def work(number: int) -> None:
        mine = [
            bare(f"M{n}", [f"A{n}"]) if (n + number) % 3 == 0 else announced(f"E{n}", f"M{n}", [f"A{n}"])
            for n in range(count)
        ]
        mine = mine[number * 7 :] + mine[: number * 7]
        size = number + 3
        start.wait()
        for begin in range(0, count, size):
            outcomes.append(recorded(ledger, *mine[begin : begin + size]))

    crowded(work, crowd)

    assert_each_once(ledger, count, crowd)
    assert Counter(itertools.chain(*outcomes)) == {NEW: count, DUPLICATE: count * (crowd - 1)}


def crowded(work: Any, crowd: int) -> None:
    """Run ``work(number)`` on so many threads; an exception of any is the test's."""
    errors: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(crowd)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert errors == []


def assert_each_once(ledger: Ledger, count: int, crowd: int) -> None:
    assert one(ledger, "select count(*) n from message") == {"n": count}
    assert one(ledger, "select count(*) n from attachment") == {"n": count}
    assert one(ledger, "select count(*) n, sum(deliveries) d from event") == {"n": count, "d": count * crowd}


def _record_in_a_process(url: str, number: int, count: int, start: Any) -> None:
    with Ledger.open(LedgerSettings(url=url, busy_timeout=60.0)) as ledger:
        mine = list(items(count))
        mine = mine[number * 11 :] + mine[: number * 11]
        start.wait(60)
        for begin in range(0, count, 5):
            recorded(ledger, *mine[begin : begin + 5])


def test_processes_that_record_the_same_events_make_each_row_once(house: House) -> None:
    count, crowd = 60, 3
    forked = processes()
    start = forked.Barrier(crowd)
    workers = [
        forked.Process(target=_record_in_a_process, args=(house.url, number, count, start)) for number in range(crowd)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(90)

    assert [worker.exitcode for worker in workers] == [0] * crowd
    with house.open() as ledger:
        assert_each_once(ledger, count, crowd)


def test_recording_never_leaves_a_transaction_behind(ledger: Ledger) -> None:
    recorded(ledger, X)
    assert not in_transaction()
    with pytest.raises(AttributeError):
        record(ledger, [(RawEvent("s", b"", NOW), None)], now=NOW, give_up_after_s=1.0)  # type: ignore[list-item]

    assert not in_transaction()
