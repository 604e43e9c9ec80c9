"""Erasing, on every database: nothing personal stays, nothing comes back, and nothing else is touched."""

from __future__ import annotations

import itertools
import json
import threading
import time
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.event import listen

from mo_sync.errors import UsageError
from mo_sync.events import Envelope, RawEvent, Rejected, parse
from mo_sync.ledger import Ledger, erasure, queries, retention, tidying
from mo_sync.ledger import scope as scope_room
from mo_sync.ledger.claims import claim, settle
from mo_sync.ledger.erasure import (
    Erased,
    erase_attachment,
    erase_message,
    erase_unread,
)
from mo_sync.ledger.filters import spellings
from mo_sync.ledger.interventions import By
from mo_sync.ledger.record import Recorded, record
from mo_sync.ledger.schema import metadata
from mo_sync.ledger.scope import Scope, scope
from mo_sync.ledger.veil import ERASED, key_of
from mo_sync.ledger.whereabouts import erased_by_now, files_gone, unfinished
from mo_sync.verdicts import Verdict
from tests.contract.conftest import House
from tests.ledgers import NOW, announced, bare, column, failed, later, one, raw, recorded, rows, settlement, stored

ME = By("me", "request 4711")
ANNA, BERT = "+14085550100", "+14085550199"


def everything(ledger: Ledger) -> str:
    """All that the ledger says, in one text."""
    with ledger.read() as connection:
        return "\n".join(
            repr(tuple(row)) for name in metadata.tables for row in connection.execute(text(f"select * from {name}"))
        )


@pytest.fixture
def filled(ledger: Ledger) -> Ledger:
    """Two messages of Anna, with a file that is stored, one that failed and one that waits; and one of Bert."""
    recorded(
        ledger,
        announced("E1", "M1", ["A1", "A2"], from_address=ANNA, message_body="my secret"),
        announced("E2", "M2", ["A3"], from_address=ANNA, message_body="my other secret"),
        announced("E3", "M3", ["A4", "A5"], from_address=BERT, message_body="not yours"),
    )
    leases = {lease.attachment_id: lease for lease in claim(ledger, worker="w", count=9, now=later(0), lease_s=60)}
    outcomes = {"A1": stored(leases["A1"], filename="anna.jpg"), "A2": failed(Verdict.PERMANENT, code="anna said")}
    outcomes |= {"A4": stored(leases["A4"])}
    batch = [settlement(leases[name], outcome, now=later(1)) for name, outcome in outcomes.items()]
    assert all(settle(ledger, batch, worker="w"))
    with ledger.begin() as connection:
        connection.execute(text("update attachment set state='pending', lease=null, due_at=created_at where lease>''"))
    return ledger


def test_all_that_a_number_sent_is_found_and_nothing_of_another(filled: Ledger) -> None:
    found = scope(filled, sender=[ANNA, ANNA[1:]])

    ids = "M1", "M2", "A1", "A2", "A3"
    assert found == Scope(("M1", "M2"), (), (), 1, 20_480, attachments_in_all=3, events_in_all=2, ids=ids)
    assert scope(filled, message_ids=["M3"], attachment_ids=["A3", "A5", "nothing"]) == Scope(
        ("M3",), ("A3",), (), 1, 20_480, attachments_in_all=3, events_in_all=2, ids=("M3", "A3", "A4", "A5")
    )
    assert scope(filled, sender=["+1408555"]) == Scope((), (), (), 0, 0)


def test_a_number_is_found_behind_whatever_channel(ledger: Ledger) -> None:
    senders = ("+1408", "1408", "whatsapp:+1408", "odd-one:1408", "whatsapp:+14081", "+11408", "sms:1+1408")
    recorded(ledger, *(announced(f"E{n}", f"M{n}", [], from_address=one) for n, one in enumerate(senders)))

    assert scope(ledger, sender=spellings("+1408")).messages == ("M0", "M1", "M2", "M3")
    assert scope(ledger, sender=spellings("whatsapp:+1408")).messages == ("M2",)


def test_a_number_that_sent_more_than_a_statement_can_take_is_no_obstacle(ledger: Ledger) -> None:
    count = 33_000
    sql = {
        "sqlite": "with recursive n(i) as (select 1 union all select i + 1 from n where i < :count)",
        "postgresql": "with n(i) as (select generate_series(1, cast(:count as int)))",
    }[ledger.dialect]
    at = "cast('2026-11-20T12:00:00.000000Z' as timestamptz)"
    at = at if ledger.dialect == "postgresql" else "'2026-11-20T12:00:00.000000Z'"
    columns = "insert into message (id, application_id, from_address, recorded_at, filed_at)"
    with ledger.begin() as connection:
        filling = text(f"{columns} {sql} select 'M' || i, '1', :number, {at}, {at} from n")
        connection.execute(filling, {"count": count, "number": ANNA})

    assert len(scope(ledger, sender=[ANNA]).messages) == count


def test_nothing_of_an_erased_message_stays_and_others_are_as_they_were(filled: Ledger) -> None:
    before = rows(filled, "select * from v_attachment where message_id = 'M3' order by id")

    done = erase_message(filled, "M1", ME, now=later(9))

    assert (len(done.messages), len(done.attachments), done.events, done.busy) == (1, 2, 1, ())
    files_gone(filled, unfinished(filled))
    said = everything(filled)
    for trace in ("M1", "A1", "A2", "E1'", "my secret", "anna.jpg", "ab" * 32):
        assert trace not in said.replace("M3", "").replace("ab" * 32 + "', '2026/11/19//0-A4.jpg", ""), trace
    assert said.count(ANNA) == 2  # the other message of Anna, and the event that announced it
    assert rows(filled, "select * from v_attachment where message_id = 'M3' order by id") == before
    erased = rows(filled, "select id, message_id, state, location, size from attachment where state = 'erased'")
    assert {row["message_id"] for row in erased} == set(done.messages)
    assert {row["id"] for row in erased} == set(done.attachments)
    assert all(name.startswith(ERASED) for name in (*done.messages, *done.attachments))
    assert sorted(column(filled, "select coalesce(size, 0) from attachment where state = 'erased'")) == [0, 20_480]


def test_what_other_events_say_of_it_names_what_stands_for_it(ledger: Ledger) -> None:
    recorded(ledger, announced("E1", "M1", ["A1", "A2"]), announced("E2", "M11", ["A3", "xA2"]))
    recorded(ledger, announced("E3", "M3", ["A1", "A2", "A3", "xA2"], message_body="not yours"))
    said = "select reason from event where event_key = 'E3'"
    before = set(column(ledger, said)[0].split("; "))
    assert before == {f"{name} belongs to message M1" for name in ("A1", "A2")} | (
        others := {f"{name} belongs to message M11" for name in ("A3", "xA2")}
    )

    [first] = erase_attachment(ledger, "A2", ME, now=later(9)).attachments
    alone = set(column(ledger, said)[0].split("; "))
    done = erase_message(ledger, "M1", ME, now=later(10))

    assert alone == {"A1 belongs to message M1", f"{first} belongs to message M1"} | others
    both = {f"{name} belongs to message {done.messages[0]}" for name in (first, *done.attachments)}
    assert set(column(ledger, said)[0].split("; ")) == both | others


def test_where_its_files_are_is_known_until_they_are_gone(filled: Ledger) -> None:
    done = erase_message(filled, "M1", ME, now=later(9))

    left = unfinished(filled)

    day = "2026/11/19/M1"
    assert sorted(left.values()) == [f"{day}/0-A1.jpg", f"{day}/1-A2.bin"]
    assert set(left) == set(done.attachments)
    [first, second] = sorted(left)
    assert unfinished(filled, count=1) == {first: left[first]}
    assert unfinished(filled, after=first) == {second: left[second]}
    files_gone(filled, {first: left[first], second: "elsewhere"})
    assert unfinished(filled) == {second: left[second]}


def test_the_history_says_who_erased_it_and_why_and_nothing_that_was_said_before(filled: Ledger) -> None:
    [_, attachment] = erase_message(filled, "M1", ME, now=later(9)).attachments

    assert rows(filled, "select attachment_id, deed, who, reason, state from intervention where state = 'failed'") == [
        {"attachment_id": attachment, "deed": "erase", "who": "me", "reason": "request 4711", "state": "failed"}
    ]
    assert one(filled, "select outcome, code, error from attempt where attachment_id = :id", id=attachment) == {
        "outcome": "permanent",
        "code": "anna said",
        "error": None,
    }


SAID = {"from_address": ANNA, "message_body": "my secret"}
REPLAYS = {
    "the same announcement": lambda: announced("E1", "M1", ["A1", "A2"], **SAID),
    "the same without an id": lambda: bare("M1", ["A1", "A2"], **SAID),
    "the same with another id": lambda: announced("E7", "M1", ["A1", "A2"], **SAID),
    "another of the same message": lambda: announced("E8", "M1", ["A1", "A9"], from_address=ANNA, message_body="x"),
}


@pytest.mark.parametrize("name", REPLAYS)
def test_a_replay_brings_nothing_back(filled: Ledger, name: str) -> None:
    erase_message(filled, "M1", ME, now=later(9))
    messages = column(filled, "select id from message order by id")
    attachments = column(filled, "select id from attachment order by id")

    for _ in range(2):
        [outcome] = recorded(filled, REPLAYS[name]())
        assert outcome in (Recorded.DUPLICATE, Recorded.IGNORED)

    assert column(filled, "select id from message order by id") == messages
    assert column(filled, "select id from attachment order by id") == attachments
    assert "my secret" not in everything(filled)
    assert not column(filled, "select payload from event where message_id not in ('M2', 'M3') and payload <> ''")
    assert column(filled, "select sum(deliveries) from event where event_key like 'erased:%'") == [3]


def test_a_batch_with_something_erased_in_it_records_the_rest(filled: Ledger) -> None:
    erase_message(filled, "M1", ME, now=later(9))

    outcomes = recorded(
        filled, REPLAYS["the same announcement"](), announced("E20", "M20", ["A20"]), announced("E3", "M3")
    )

    assert outcomes == [Recorded.DUPLICATE, Recorded.NEW, Recorded.DUPLICATE]
    assert column(filled, "select state from attachment where id = 'A20'") == ["pending"]


def test_one_attachment_goes_and_its_message_stays(filled: Ledger) -> None:
    done = erase_attachment(filled, "A4", ME, now=later(9))

    assert (done.messages, len(done.attachments), done.events) == ((), 1, 1)
    assert one(filled, "select body, from_address from message where id = 'M3'") == {
        "body": "not yours",
        "from_address": BERT,
    }
    assert column(filled, "select payload from event where message_id = 'M3'") == [""]
    [again] = recorded(filled, announced("E3b", "M3", ["A4", "A5", "A6"], from_address=BERT, message_body="not yours"))
    assert again is Recorded.NEW
    assert column(filled, "select id from attachment where message_id = 'M3' and state <> 'erased' order by id") == [
        "A5",
        "A6",
    ]
    assert column(filled, "select position from attachment where id = 'A6'") == [2]
    recorded(filled, announced("E21", "M21", ["A4", "A21"]), announced("E22", "M22", ["A22"]))
    assert column(filled, "select id from attachment where message_id in ('M21', 'M22') order by id") == ["A21", "A22"]
    assert column(filled, "select event_key from event where payload <> '' order by event_key") == ["E1", "E2", "E22"]
    assert "'A4'" not in everything(filled)
    assert "A4," not in everything(filled)


def test_a_message_goes_also_after_one_of_its_attachments_went_alone(filled: Ledger) -> None:
    [alone] = erase_attachment(filled, "A1", ME, now=later(9)).attachments
    before = one(filled, "select location, error, updated_at from attachment where id = :id", id=alone)

    done = erase_message(filled, "M1", By("you"), now=later(10))

    assert len(done.attachments) == 1
    stand_ins = rows(filled, "select id, message_id from attachment where state = 'erased'")
    assert {row["id"] for row in stand_ins} == {alone, *done.attachments}
    assert {row["message_id"] for row in stand_ins} == set(done.messages)
    assert one(filled, "select location, error, updated_at from attachment where id = :id", id=alone) == before
    assert column(filled, "select count(*) from message where id = 'M1'") == [0]


def test_what_is_being_fetched_is_left_whole(filled: Ledger) -> None:
    lent = claim(filled, worker="w", count=9, now=later(2), lease_s=60)
    before = everything(filled)

    busy = [lease.attachment_id for lease in lent if lease.message_id == "M3"]
    assert erase_message(filled, "M3", ME, now=later(9)) == Erased(busy=tuple(busy))
    assert erase_attachment(filled, busy[0], ME, now=later(9)) == Erased(busy=(busy[0],))

    assert everything(filled) == before


def test_an_id_that_begins_nearly_as_a_stand_in_is_an_id_as_any_other(ledger: Ledger) -> None:
    recorded(ledger, announced("E1", "Erased:1", ["ERASED:2"], from_address=ANNA, message_body="my secret"))

    assert scope(ledger, sender=[ANNA]).messages == ("Erased:1",)
    assert retention.old_messages(ledger, before=later(1), erased=True) == 0
    done = erase_message(ledger, "Erased:1", ME, now=later(9))

    assert (len(done.messages), len(done.attachments)) == (1, 1)
    assert "my secret" not in everything(ledger)


def test_erasing_again_changes_nothing(filled: Ledger) -> None:
    done = erase_message(filled, "M1", ME, now=later(9))
    before = everything(filled)

    assert erase_message(filled, "M1", ME, now=later(10)) == Erased()
    assert erase_message(filled, done.messages[0], ME, now=later(10)) == Erased()
    assert erase_attachment(filled, "A1", ME, now=later(10)) == Erased()
    assert scope(filled, message_ids=[*done.messages], attachment_ids=[*done.attachments]).messages == ()
    assert everything(filled) == before


def test_events_that_could_not_be_read_are_emptied_when_they_name_the_number(filled: Ledger) -> None:
    texts = {
        "named": f'{{"from": "{ANNA}"',
        "bare": f"from={ANNA[1:]};",
        "longer": f"{ANNA}7",
        "other": BERT,
        "within": "914085550100",
    }
    said = {name: raw(content.encode()) for name, content in texts.items()}
    record(
        filled,
        [(event, Rejected(f"raw:{name}", "no event", "byte 0")) for name, event in said.items()],
        now=NOW,
        give_up_after_s=9.0,
    )

    found = scope(filled, sender=[ANNA, ANNA[1:]], event_keys=["raw:other"])
    assert erase_unread(filled, found.events, now=later(1)) == 3

    left = column(filled, "select event_key from event where state = 'rejected' order by event_key")
    assert left == ["raw:longer", "raw:within"]
    again = record(filled, [(said["bare"], Rejected("raw:bare", "no event", "byte 0"))], now=NOW, give_up_after_s=9.0)
    assert again == [Recorded.DUPLICATE]
    assert ANNA[1:] + ";" not in everything(filled)


def hidden(number: str) -> dict[str, bytes]:
    """A number in events, written so that a look at their bytes does not find it."""
    said = json.dumps({"from": number, "more": "x" * 2_000})
    return {
        "escaped": said.replace("+1", "\\u002b\\u0031").encode()[:100],
        "in base64": json.dumps({"isBase64Encoded": True, "body": b64encode(number.encode() * 2).decode()}).encode(),
        "in UTF-16": json.dumps({"from": number}).encode("utf-16"),
        "cut": said.encode("utf-16"),
        "no text": b"\xff" + said.encode()[:100],
        "with references": f"<from>{number}</from>".replace("+1", "&#43;&#x31;").encode(),
        "in pieces": f"<from>{number[:5]}<![CDATA[{number[5:8]}]]>{number[8:]}</from>".encode(),
    }


@pytest.mark.parametrize("understood", [True, False])
def test_a_number_is_found_in_events_however_it_is_written_there(ledger: Ledger, understood: bool) -> None:
    bodies = hidden(ANNA) | {f"not {name}": body for name, body in hidden(BERT).items()}
    batch: list[tuple[RawEvent, Envelope | Rejected]] = [
        (raw(body), _ignored(name) if understood else Rejected(name, "no event", "byte 0"))
        for name, body in bodies.items()
    ]
    record(ledger, batch, now=NOW, give_up_after_s=9.0, max_payload=1_000)
    keys = {row["id"]: row["event_key"] for row in rows(ledger, "select id, event_key from event")}

    found = scope(ledger, sender=[ANNA, ANNA[1:]])

    assert {keys[one] for one in found.events} == hidden(ANNA).keys()


def test_no_statement_looks_at_more_than_a_few_events_or_addresses(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them in one were broken off by PostgreSQL when there were many, and then nothing could be erased."""
    monkeypatch.setattr(scope_room, "_EVENTS_AT_ONCE", 3)
    monkeypatch.setattr(scope_room, "_ADDRESSES_AT_ONCE", 2)
    said = [raw(f'{{"n": {n}, "from": "{ANNA if n in (0, 13, 19) else BERT}"}}'.encode()) for n in range(20)]
    batch: list[tuple[RawEvent, Envelope | Rejected]] = [
        (body, _ignored(f"E{n}") if n % 2 else Rejected(f"E{n}", "no event", "byte 0")) for n, body in enumerate(said)
    ]
    record(ledger, batch, now=NOW, give_up_after_s=9.0)
    recorded(ledger, *(announced(f"F{n}", f"M{n}", [], from_address=f"{n}:{ANNA}") for n in range(5)))
    asked: list[str] = []
    listen(ledger._engine, "before_cursor_execute", lambda *told: asked.append(told[2]))

    found = scope(ledger, sender=[ANNA])

    numbers = {row["event_key"]: row["id"] for row in rows(ledger, "select event_key, id from event")}
    assert found.events == tuple(numbers[name] for name in ("E0", "E13", "E19"))
    assert found.messages == tuple(f"M{n}" for n in range(5))
    assert len([one for one in asked if "payload" in one]) == 7
    assert len([one for one in asked if "LIMIT" in one]) == 4


def _ignored(key: str) -> Envelope:
    return Envelope(key, f"content of {key}", "SCG-Message", "message_state_change", NOW, 1, None, "not ours")


def test_an_event_that_comes_again_while_it_is_emptied_brings_nothing_back(
    filled: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = raw(f'{{"from": "{ANNA}"'.encode())
    unread = [(bad, Rejected("raw:1", "no event", "byte 0"))]
    record(filled, unread, now=NOW, give_up_after_s=9.0)
    erase_message(filled, "M2", ME, now=later(1))
    outcomes: list[Recorded] = []
    comes = threading.Thread(
        target=lambda: outcomes.extend(record(filled, unread, now=later(3), give_up_after_s=9.0)), daemon=True
    )
    emptied = erasure._erase_events

    def held_up(*arguments: Any, **more: Any) -> int:
        done = emptied(*arguments, **more)
        comes.start()
        wait_until_somebody_waits(filled)
        return done

    monkeypatch.setattr(erasure, "_erase_events", held_up)
    assert erase_unread(filled, scope(filled, event_keys=["raw:1"]).events, now=later(2)) == 1
    comes.join(20)

    assert outcomes == [Recorded.DUPLICATE]
    assert "no event" not in everything(filled)
    assert column(filled, "select deliveries from event where payload = '' and message_id is null") == [2]


def wait_until_somebody_waits(ledger: Ledger) -> None:
    """For a lock of the database. On SQLite whoever writes waits in any case."""
    waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    end = time.monotonic() + 20
    while ledger.dialect == "postgresql" and not column(ledger, waiting)[0]:
        assert time.monotonic() < end, "nobody waits"
        time.sleep(0.01)


TRACES = (b"my secret", b"my other secret", ANNA[1:].encode(), b"anna.jpg")


def test_nothing_of_it_is_left_in_the_ledgers_files_once_that_is_written_anew(
    filled: Ledger, pages: Callable[[], bytes]
) -> None:
    before = pages()
    assert [trace for trace in TRACES if trace not in before] == []
    for message_id in ("M1", "M2"):
        erase_message(filled, message_id, ME, now=later(9))
    files_gone(filled, unfinished(filled))

    assert filled.tidy(compact=True)

    after = pages()
    assert [trace for trace in TRACES if trace in after] == []
    assert b"not yours" in after


def test_what_an_open_transaction_may_see_is_not_called_gone(filled: Ledger, house: House) -> None:
    with house.open(busy_timeout=0.2) as impatient:
        with filled.read() as reader:
            reader.exec_driver_sql("select version_num from alembic_version").all()
            erase_message(impatient, "M1", ME, now=later(9))
            while_it_reads = impatient.tidy(compact=True)
        afterwards = impatient.tidy(compact=True)

    assert (while_it_reads, afterwards) == (False, True)


CUT = b'{"fields": {"message_body": "my diagnosis", "message_id": "MessageOfAnna1", "attachm'
CHANGE = (
    b'{"event": {"topic": "SCG-Message", "evt-tp": "message_state_change", "event-id": "1", "file": "FileOfAnna1"}}'
)
LONGER = b'{"fields": {"message_body": "yours", "message_id": "MessageOfAnna12", "attachm'


def test_what_stood_for_an_odd_id_before_stands_for_it_still(ledger: Ledger) -> None:
    """By the hash of the id itself, and not of what its file's name has for it."""
    recorded(ledger, announced("E1", "M1", ["A/odd", "A2"]))
    [stand_in] = erase_attachment(ledger, "A/odd", ME, now=later(9)).attachments
    with ledger.begin() as connection:
        formerly = key_of(connection, now=NOW).filed("A/odd")
        for table in ("attempt", "intervention"):
            connection.execute(text(f"delete from {table} where attachment_id = :id"), {"id": stand_in})
        renamed = text("update attachment set id = :new where id = :old")
        connection.execute(renamed, {"new": formerly, "old": stand_in})

    recorded(ledger, announced("E2", "M1", ["A/odd", "A2"], price="2"))

    assert sorted(column(ledger, "select id from attachment")) == ["A2", formerly]
    assert erased_by_now(ledger, ["A/odd", "A2"]) == {"A/odd"}


@pytest.mark.parametrize("by", ["number", "message"])
@pytest.mark.parametrize("many", [1, 60])
def test_an_event_that_names_what_is_erased_by_an_id_goes_too(ledger: Ledger, by: str, many: int) -> None:
    """It announced no message, and says no number."""
    others = (announced(f"E{n}", f"Another{n:05}", [], from_address=ANNA) for n in range(many))
    recorded(ledger, announced("E", "MessageOfAnna1", ["FileOfAnna1"], from_address=ANNA), *others)
    recorded(ledger, *((raw(one), parse(raw(one))) for one in (CUT, CHANGE, LONGER)))
    chosen = scope(ledger, sender=spellings(ANNA)) if by == "number" else scope(ledger, message_ids=["MessageOfAnna1"])

    assert len(chosen.events) == 2
    assert erase_unread(ledger, chosen.events, now=later(9)) == 2

    assert column(ledger, "select payload from event where message_id is null order by id") == ["", "", LONGER.decode()]


def test_writing_it_anew_is_broken_off_and_leaves_all_as_it_was(
    filled: Ledger, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large ledger takes minutes, and PostgreSQL waits for who reads: who stops it is not to wait for that."""
    monkeypatch.setattr(tidying, "_STEPS", 10)
    asked = itertools.count(1)
    with house.open(busy_timeout=60) as another:
        with filled.read() as reader:
            before = len(reader.execute(text("select * from event")).all())
            broken_off = not another.tidy(compact=True, stop=lambda: next(asked) >= 3)
        assert broken_off
        assert next(asked) > 3
        assert len(column(another, "select id from event")) == before
        assert another.tidy(compact=True, stop=lambda: False)


def test_who_asks_for_what_was_erased_is_told_so(filled: Ledger) -> None:
    done = erase_message(filled, "M1", ME, now=later(9))

    assert queries.find_story(filled, "M1").id == done.messages[0]
    assert queries.find_story(filled, "A2").attachments[0].error == "erased by me"
    with pytest.raises(UsageError):
        queries.find_story(filled, "M0")


def test_two_ledgers_have_nothing_in_common(filled: Ledger, ledger: Ledger) -> None:
    del ledger
    erase_message(filled, "M1", ME, now=later(9))
    [key] = column(filled, "select key from erasure_key")

    assert len(bytes.fromhex(key)) == 32
    erase_message(filled, "M2", ME, now=later(10))
    assert column(filled, "select key from erasure_key") == [key]


def test_an_event_of_the_feed_without_a_message_is_no_obstacle(filled: Ledger) -> None:
    erase_message(filled, "M1", ME, now=later(9))
    odd = RawEvent("test", b"odd", NOW)

    assert record(filled, [(odd, Rejected("raw:1", "odd", "byte 0"))], now=NOW, give_up_after_s=1) == [
        Recorded.REJECTED
    ]
