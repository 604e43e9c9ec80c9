"""What was kept long enough goes, on every database, and nothing else does."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from datetime import datetime
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text

from mo_sync.events import Rejected, parse
from mo_sync.ledger import Ledger, retention
from mo_sync.ledger.claims import claim, settle
from mo_sync.ledger.dialect import take_turns_recording
from mo_sync.ledger.erasure import erase_attachment, erase_message, erase_unread
from mo_sync.ledger.interventions import By
from mo_sync.ledger.record import Recorded, record
from mo_sync.ledger.replay import Which, replay, replayable
from mo_sync.ledger.retention import PRUNED
from mo_sync.ledger.scope import scope
from mo_sync.ledger.whereabouts import files_gone, unfinished
from mo_sync.lifecycle import State
from tests.contract.conftest import House, on_postgresql
from tests.ledgers import announced, bare, column, later, one, raw, recorded, settlement, stored

OLD, NEW, CUT, NOW = later(0), later(1_000), later(500), later(2_000)


@pytest.fixture
def filled(ledger: Ledger) -> Ledger:
    """For each state an attachment that came to it long ago, and one that came to it lately."""
    for age, at in (("old", OLD), ("new", NEW)):
        recorded(ledger, *(announced(f"E{age}{s}", f"M{age}{s}", [f"A{age}{s}"]) for s in State), now=at)
        leases = {one.attachment_id: one for one in claim(ledger, worker="w", count=99, now=at, lease_s=60)}
        kept = [leases[f"A{age}{state}"] for state in ("stored", "quarantined")]
        settle(ledger, [settlement(one, stored(one), now=at) for one in kept], worker="w")
        with ledger.begin() as connection:
            for state in State:
                lease = "'x'" if state is State.FETCHING else "null"
                values = f"state = '{state}', lease = {lease}, due_at = created_at"
                connection.execute(text(f"update attachment set {values} where id = 'A{age}{state}'"))
    return ledger


def ids(ledger: Ledger) -> set[str]:
    return set(column(ledger, "select id from attachment"))


@pytest.mark.parametrize("state", [state for state in State if state not in (State.PENDING, State.FETCHING)])
def test_only_old_ones_of_that_state_are_retired_then_deleted_when_their_file_is_gone(
    filled: Ledger, state: State
) -> None:
    before = ids(filled)
    assert retention.old_attachments(filled, state=state, before=CUT) == 1

    assert retention.retire(filled, state=state, before=CUT, now=NOW, count=9) == 1

    assert retention.retire(filled, state=state, before=CUT, now=NOW, count=9) == 0
    assert one(filled, f"select state, error from attachment where id = 'Aold{state}'") == {
        "state": "erased",
        "error": PRUNED,
    }
    may_have_file = state is not State.ERASED
    assert retention.delete_retired(filled, count=9) == (0 if may_have_file else 1)
    files_gone(filled, unfinished(filled))
    assert retention.delete_retired(filled, count=9) == (1 if may_have_file else 0)
    assert ids(filled) == before - {f"Aold{state}"}
    assert column(filled, f"select count(*) from attempt where attachment_id = 'Aold{state}'") == [0]


def test_where_a_file_may_lie_is_known_until_it_is_removed(filled: Ledger) -> None:
    """It may have been set aside, or put in place by a worker that died before it could tell."""
    retention.retire(filled, state=State.FAILED, before=CUT, now=NOW, count=9)

    [place] = unfinished(filled).values()
    assert place.endswith(f"/0-Aold{State.FAILED}.bin")


def pruned(ledger: Ledger, state: State = State.FAILED) -> int:
    retention.retire(ledger, state=state, before=CUT, now=NOW, count=9)
    files_gone(ledger, unfinished(ledger))
    return retention.delete_retired(ledger, count=9)


def test_what_was_pruned_does_not_come_back_as_long_as_its_message_is_kept(ledger: Ledger) -> None:
    recorded(ledger, announced("E1", "M1", ["A1", "A2"]), announced("E2", "M2", ["A3"]))
    for name in ("A2", "A1"):
        with ledger.begin() as connection:
            connection.execute(text("update attachment set state = 'failed' where id = :id"), {"id": name})
        assert pruned(ledger) == 1

    [kept] = replayable(ledger, Which(keys=["E1"]), after=0, upto=9, count=9)
    assert kept.raw is not None
    again = replay(ledger, kept, [(kept.raw, parse(kept.raw))], now=NOW, give_up_after_s=9.0)
    assert again == [Recorded.DUPLICATE]
    assert recorded(ledger, announced("E1b", "M1", ["A1", "A2", "A4"], price="1")) == [Recorded.NEW]
    assert recorded(ledger, bare("M1", ["A2"], price="2")) == [Recorded.NEW]

    assert ids(ledger) == {"A3", "A4"}
    assert column(ledger, "select position from attachment where id = 'A4'") == [2]
    assert column(ledger, "select id from event where reason is not null") == []


def test_a_message_whose_attachments_were_pruned_is_none_without_ids(ledger: Ledger) -> None:
    recorded(ledger, announced("E1", "M1", ["A1"]), announced("E2", "M2", ["A2", "A1"]))  # with a remark on A1
    with ledger.begin() as connection:
        connection.execute(text("update attachment set state = 'failed'"))

    assert pruned(ledger) == 2

    assert column(ledger, "select reason from event where reason is not null") == ["A1 belongs to message M1"]
    assert column(ledger, "select kind from v_problem") == []


def test_what_was_pruned_comes_again_as_new_when_its_message_was_pruned_too(ledger: Ledger) -> None:
    recorded(ledger, announced("E1", "M1", ["A1"]), announced("E2", "M2", ["A3"]))
    with ledger.begin() as connection:
        connection.execute(text("update attachment set state = 'failed' where id = 'A1'"))
    pruned(ledger)
    assert retention.delete_messages(ledger, before=CUT, erased=False, count=9) == 1

    assert recorded(ledger, announced("E1", "M1", ["A1"])) == [Recorded.NEW]

    assert ids(ledger) == {"A1", "A3"}


def test_what_stood_for_an_erased_one_leaves_no_mark(ledger: Ledger) -> None:
    recorded(ledger, announced("E1", "M1", ["A1", "A2"]))
    erase_attachment(ledger, "A1", By("me"), now=OLD)
    files_gone(ledger, unfinished(ledger))

    assert pruned(ledger, State.ERASED) == 1

    assert column(ledger, "select pruned from message") == [None]


@on_postgresql
def test_who_records_while_something_is_pruned_finds_the_row_or_the_mark(house: House) -> None:
    """SQLite has one writer at a time."""
    with house.open() as ledger, house.open() as other, ThreadPoolExecutor() as pool:
        recorded(ledger, announced("E1", "M1", ["A1"]), announced("E2", "M2", ["A3"]))
        with ledger.begin() as connection:
            connection.execute(text("update attachment set state = 'failed' where id = 'A1'"))
        retention.retire(ledger, state=State.FAILED, before=CUT, now=NOW, count=9)
        files_gone(ledger, unfinished(ledger))
        with ledger.begin() as feed:
            take_turns_recording(feed)
            pruning = pool.submit(retention.delete_retired, other, count=9)
            while not column(ledger, "select pid from pg_locks where not granted"):
                assert not pruning.done()
        assert pruning.result(10) == 1


def test_many_go_in_pieces(ledger: Ledger) -> None:
    recorded(ledger, *(announced(f"E{n}", f"M{n}", [f"A{n}"]) for n in range(7)), now=OLD)
    with ledger.begin() as connection:
        connection.execute(text("update attachment set state = 'failed'"))

    pieces = [retention.retire(ledger, state=State.FAILED, before=CUT, now=NOW, count=3) for _ in range(4)]
    files_gone(ledger, unfinished(ledger))
    deleted = [retention.delete_retired(ledger, count=3) for _ in range(4)]

    assert (pieces, deleted) == ([3, 3, 1, 0], [3, 3, 1, 0])


def test_messages_go_with_their_events_when_nothing_is_left_of_them(filled: Ledger) -> None:
    recorded(filled, announced("Etext", "Mtext", []), now=OLD)
    pruned(filled)
    recorded(filled, announced("Elast", "Mlast", []), now=NEW)

    assert retention.old_messages(filled, before=CUT, erased=False) == 2
    assert [retention.delete_messages(filled, before=CUT, erased=False, count=1) for _ in range(3)] == [1, 1, 0]

    left = set(column(filled, "select id from message"))
    assert left.isdisjoint({"Mtext", "Moldfailed"})
    assert len(left) == 2 * len(State)
    assert column(filled, "select count(*) from event where event_key in ('Etext', 'Eoldfailed')") == [0]


def test_messages_are_looked_for_while_others_write(house: House) -> None:
    """The look takes a second and a half for each million messages that still have attachments."""
    with house.open() as writer, house.open(busy_timeout=0.1) as ledger:
        recorded(ledger, announced("E1", "M1", ["A1"]), now=OLD)
        with writer.begin() as connection:
            connection.execute(text("update message set body = 'changed'"))

            assert retention.delete_messages(ledger, before=CUT, erased=False, count=9) == 0


def test_a_message_that_got_an_attachment_since_it_was_found_stays(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded(ledger, *(announced(f"E{n}", f"M{n}", []) for n in range(3)), announced("Elast", "Mlast", []), now=OLD)

    def late() -> AbstractContextManager[Any]:
        monkeypatch.undo()
        recorded(ledger, announced("Emore", "M1", ["A1"]), announced("Enew", "Mnew", []), now=NEW)
        return ledger.begin()

    monkeypatch.setattr(ledger, "begin", late)

    assert retention.delete_messages(ledger, before=CUT, erased=False, count=9) == 2
    assert column(ledger, "select id from message order by id") == ["M1", "Mlast", "Mnew"]
    assert column(ledger, "select event_key from event order by id") == ["E1", "Elast", "Emore", "Enew"]


def test_what_stands_for_erased_ones_is_kept_apart(filled: Ledger) -> None:
    """Else what was erased on request would come back with the next replay."""
    recorded(filled, announced("Etext", "Mtext", []), announced("Elast", "Mlast", []), now=OLD)
    erase_message(filled, "Mtext", By("me"), now=OLD)
    bad = raw(b"no event", at=OLD)
    record(filled, [(bad, Rejected("raw:1", "no event", "byte 0"))], now=OLD, give_up_after_s=9.0)
    recorded(filled, announced("Enewest", "Mnewest", []), now=NEW)

    assert retention.old_messages(filled, before=CUT, erased=False) == 1
    assert retention.delete_messages(filled, before=CUT, erased=False, count=9) == 1
    assert recorded(filled, announced("Etext", "Mtext", [])) == [Recorded.DUPLICATE]
    assert retention.old_messages(filled, before=CUT, erased=True) == 1
    assert retention.delete_messages(filled, before=CUT, erased=True, count=9) == 1
    assert retention.old_events(filled, before=CUT, erased=True) == 0
    assert retention.old_events(filled, before=CUT, erased=False) == 1
    assert retention.delete_events(filled, before=CUT, erased=False, count=9) == 1


def test_what_stands_for_erased_ones_is_kept_from_the_day_on_which_they_were_erased(ledger: Ledger) -> None:
    """However old they were by then: or the next replay of them would bring back all of it."""
    bad = raw(b"no event", at=OLD)
    unread = [(bad, Rejected("raw:1", "no event", "byte 0"))]
    recorded(ledger, announced("E1", "M1", []), announced("E2", "M2", ["A2"]), now=OLD)
    record(ledger, unread, now=OLD, give_up_after_s=9.0)
    days = column(ledger, "select day from v_daily")
    for message_id in ("M1", "M2"):
        erase_message(ledger, message_id, By("me"), now=NEW)
    assert erase_unread(ledger, scope(ledger, event_keys=["raw:1"]).events, now=NEW) == 1
    files_gone(ledger, unfinished(ledger))
    recorded(ledger, announced("E3", "M3", []), now=NOW)

    def prune(before: datetime) -> list[int]:
        retired = retention.retire(ledger, state=State.ERASED, before=before, now=NOW, count=9)
        retention.delete_retired(ledger, count=9)
        steps = (retention.delete_messages, retention.delete_events)
        return [retired, *(step(ledger, before=before, erased=True, count=9) for step in steps)]

    assert prune(CUT) == [0, 0, 0]
    assert column(ledger, "select day from v_daily") == days
    again = recorded(ledger, announced("E1", "M1", []), announced("E2", "M2", ["A2"]), now=NOW)
    again += record(ledger, unread, now=NOW, give_up_after_s=9.0)
    assert again == [Recorded.DUPLICATE] * 3
    assert prune(later(1_001)) == [1, 2, 1]


def test_the_newest_rows_stay_so_that_their_numbers_are_never_given_again(ledger: Ledger) -> None:
    recorded(ledger, announced("E1", "M1", []), now=OLD)
    record(ledger, [(raw(b"x", at=OLD), Rejected("raw:1", "no event", "byte 0"))], now=OLD, give_up_after_s=9.0)
    newest = column(ledger, "select max(id) from event")

    assert retention.delete_events(ledger, before=CUT, erased=False, count=9) == 0
    assert retention.delete_messages(ledger, before=CUT, erased=False, count=9) == 1

    assert column(ledger, "select max(id) from event") == newest
    recorded(ledger, announced("E2", "M2", ["A2"]), now=OLD)
    assert retention.delete_events(ledger, before=CUT, erased=False, count=9) == 1


def test_old_payloads_are_emptied_once_and_in_pieces(filled: Ledger) -> None:
    record(filled, [(raw(b"bad", at=OLD), Rejected("raw:1", "no event", "byte 0"))], now=OLD, give_up_after_s=9.0)
    with filled.begin() as connection:
        connection.execute(
            text("update event set received_at = :new where event_key like 'Enew%'"), {"new": text_of(filled, NEW)}
        )
    assert retention.old_payloads(filled, before=CUT) == len(State)

    went = [retention.empty_payloads(filled, before=CUT, now=NOW, count=4) for _ in range(4)]

    assert went == [4, 4, 2, 0]
    assert retention.old_payloads(filled, before=CUT) == 0
    assert column(filled, "select distinct substr(event_key, 1, 4) from event where payload = ''") == ["Eold"]
    assert column(filled, "select payload from event where state = 'rejected'") == ["bad"]
    assert column(filled, "select count(*) from event where payload <> ''") == [len(State) + 1]


def received(ledger: Ledger, name: str, at: datetime) -> None:
    said, parsed = announced(name, f"M{name}", [])
    record(ledger, [(raw(said.body, at=at), parsed)], now=at, give_up_after_s=9.0)


def test_an_event_whose_clock_ran_ahead_keeps_no_other_from_being_emptied(ledger: Ledger) -> None:
    """For as long as it ran ahead, nothing that was recorded after it was emptied."""
    for name, at in (("E1", OLD), ("E2", later(900)), ("E3", OLD), ("E4", OLD), ("E5", NEW)):
        received(ledger, name, at)
    full = "select event_key from event where payload <> '' order by id"
    assert retention.old_payloads(ledger, before=CUT) == 3

    assert [retention.empty_payloads(ledger, before=CUT, now=NOW, count=2) for _ in range(3)] == [2, 1, 0]
    assert column(ledger, full) == ["E2", "E5"]
    assert retention.old_payloads(ledger, before=CUT) == 0

    assert retention.empty_payloads(ledger, before=later(950), now=NOW, count=2) == 1
    assert column(ledger, full) == ["E5"]


def test_what_was_ahead_and_is_the_newest_of_the_old_hides_none_that_are_as_old(ledger: Ledger) -> None:
    for name, at in (("E1", later(100)), ("E2", OLD), ("E3", OLD)):
        received(ledger, name, at)

    assert retention.empty_payloads(ledger, before=CUT, now=NOW, count=9) == 3


def test_only_what_was_emptied_is_counted(ledger: Ledger) -> None:
    """Five that were passed, because they were not understood, were told as five that were emptied."""
    bad = [(raw(b"bad %d" % n, at=OLD), Rejected(f"raw:{n}", "no event", "byte 0")) for n in range(5)]
    record(ledger, bad, now=OLD, give_up_after_s=9.0)

    assert retention.old_payloads(ledger, before=CUT) == 0
    assert retention.empty_payloads(ledger, before=CUT, now=NOW, count=9) == 0
    assert column(ledger, "select count(*) from event where payload <> ''") == [5]


def text_of(ledger: Ledger, moment: datetime) -> Any:
    return moment if ledger.dialect == "postgresql" else moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


STEPS: list[Callable[..., int]] = [
    partial(retention.retire, state=State.STORED, now=NOW),
    partial(retention.delete_messages, erased=False),
    partial(retention.delete_events, erased=False),
    partial(retention.empty_payloads, now=NOW),
]


@pytest.mark.parametrize("number", range(len(STEPS)))
def test_an_empty_ledger_has_nothing_old(ledger: Ledger, number: int) -> None:
    assert STEPS[number](ledger, before=CUT, count=9) == 0
