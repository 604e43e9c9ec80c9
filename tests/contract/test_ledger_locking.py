"""Whoever changes many rows locks them in the order of their ids, so that no two wait for each other for ever."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from mo_sync.errors import LedgerOutOfReach
from mo_sync.events import RawEvent, parse
from mo_sync.ledger import Ledger, applications, timekeeping
from mo_sync.ledger.claims import claim, expire, extend, give_back, rescue, settle
from mo_sync.ledger.dialect import take_turns_recording
from mo_sync.ledger.interventions import By, Choice, Deed, intervene
from mo_sync.ledger.retention import delete_events, delete_retired, empty_payloads, retire
from mo_sync.ledger.verification import Filed, found_whole, put_undated_first
from mo_sync.ledger.whereabouts import files_gone
from mo_sync.lifecycle import Claim, Interrupted, State
from tests.contract.conftest import House, on_postgresql
from tests.ledgers import NOW, announced, column, later, recorded, settlement

pytestmark = on_postgresql

NAMES = [f"A{n}" for n in range(6)]
Change = Callable[[Ledger, list[Claim]], object]

WAITING = "select count(*) from pg_locks where not granted and locktype in ('transactionid', 'tuple')"
_STORED = "state = 'stored', due_at = null, location = id, sha256 = id, size = 1"
_ERASED = "state = 'erased', due_at = null, error = 'pruned'"


def verified(ledger: Ledger, _: list[Claim]) -> object:
    items = [Filed(name, name, 1, name, later(0)) for name in reversed(NAMES)]
    return found_whole(ledger, items, now=later(9))


def corrected(ledger: Ledger, _: list[Claim]) -> object:
    return timekeeping.put_right(ledger, now=later(-99), furthest_s=1.0, lease_s=1.0, longest_lease_s=2.0)


def held(ledger: Ledger, _: list[Claim]) -> object:
    return intervene(ledger, Deed.HOLD, Choice(), now=later(9), give_up_after_s=9.0, by=By())


def named(ledger: Ledger, _: list[Claim]) -> object:
    return recorded(ledger, *(announced(f"F{name}", f"M{name}", [name], sender_id="7") for name in reversed(NAMES)))


LEASED: dict[str, Change] = {
    "extend": lambda ledger, lent: extend(ledger, lent, until=later(99)),
    "settle": lambda ledger, lent: settle(ledger, [settlement(one, Interrupted()) for one in lent], worker="w"),
    "give back": lambda ledger, lent: give_back(ledger, lent[::-1], now=later(9), reason="test"),
    "expire": lambda ledger, _: expire(ledger, now=later(999)),
    "rescue": lambda ledger, _: rescue(ledger, ["w"], now=later(9)),
    "leases put right": corrected,
}
OTHERS: dict[str, tuple[str, Change]] = {
    "due times put right": ("attempts = 0", corrected),
    "a deed": ("attempts = 0", held),
    "an application named": ("application_id = 'unknown'", named),
    "found to be whole": (_STORED, verified),
    "dated": (_STORED, lambda ledger, _: put_undated_first(ledger, now=later(9))),
    "retire": (
        _STORED,
        lambda ledger, _: retire(ledger, state=State.STORED, before=later(9), now=later(9), count=99),
    ),
    "delete retired": (_ERASED, lambda ledger, _: delete_retired(ledger, count=99)),
    "files gone": (f"{_ERASED}, location = id", lambda ledger, _: files_gone(ledger, {name: name for name in NAMES})),
}


def in_the_other_order(ledger: Ledger) -> None:
    """In the table they stand with the last id first."""
    recorded(ledger, *(announced(f"E{name}", f"M{name}", [name]) for name in reversed(NAMES)))


def until(fact: Callable[[], bool]) -> bool:
    """Whether it came true in time."""
    pause = threading.Event()
    return any(fact() or pause.wait(0.01) for _ in range(1000))


def locked_while_waiting_for_the_first(
    house: House, ledger: Ledger, change: Callable[[], object], *, table: str = "attachment"
) -> list[str]:
    """What ``change`` has locked when it comes upon the row with the lowest id, which somebody else holds."""
    with ThreadPoolExecutor() as pool, house.open() as other:
        with ledger.begin() as connection:
            connection.exec_driver_sql(f"select id from {table} where id = 'A0' for update")
            changing = pool.submit(change)
            waits = until(lambda: changing.done() or column(other, WAITING) != [0])
            with other.begin() as looking:
                free = looking.exec_driver_sql(f"select id from {table} for update skip locked").scalars().all()
            assert waits
            assert not changing.done()
        changing.result(10)
    return sorted({*NAMES[1:]} - {*free})


@pytest.mark.parametrize("name", LEASED)
def test_what_is_lent_is_locked_in_the_order_of_the_ids(house: House, ledger: Ledger, name: str) -> None:
    """The lease keeper and those who settled ended each other's transactions, since each had what the other wanted."""
    in_the_other_order(ledger)
    lent = claim(ledger, worker="w", count=99, now=later(0), lease_s=60)

    assert locked_while_waiting_for_the_first(house, ledger, lambda: LEASED[name](ledger, lent)) == []


@pytest.mark.parametrize("name", OTHERS)
def test_all_else_is_locked_in_the_order_of_the_ids(house: House, ledger: Ledger, name: str) -> None:
    columns, change = OTHERS[name]
    in_the_other_order(ledger)
    with ledger.begin() as connection:
        connection.exec_driver_sql(f"update attachment set {columns}")
        if "unknown" in columns:
            connection.exec_driver_sql("update message set application_id = 'unknown'")
            connection.exec_driver_sql("update application set id = 'unknown'")

    assert locked_while_waiting_for_the_first(house, ledger, lambda: change(ledger, [])) == []


APPLICATIONS: dict[str, Callable[[Ledger], object]] = {
    "release": lambda ledger: applications.release(ledger, now=later(9)),
    "pace": lambda ledger: applications.note_pace(ledger, dict.fromkeys(reversed(NAMES), 3)),
    "times put right": lambda ledger: corrected(ledger, []),
}


@pytest.mark.parametrize("name", APPLICATIONS)
def test_applications_are_locked_in_the_order_of_their_ids(house: House, ledger: Ledger, name: str) -> None:
    with ledger.begin() as connection:
        for one in reversed(NAMES):
            connection.exec_driver_sql(
                "insert into application (id, state, until, updated_at) values (%s, 'held', now(), now())", (one,)
            )

    def change() -> object:
        return APPLICATIONS[name](ledger)

    assert locked_while_waiting_for_the_first(house, ledger, change, table="application") == []


def test_messages_that_gain_something_are_locked_in_the_order_of_their_ids(house: House, ledger: Ledger) -> None:
    recorded(ledger, *(announced(f"E{name}", name, []) for name in reversed(NAMES)))

    def change() -> object:
        return recorded(ledger, *(announced(f"F{name}", name, [], sender_id="7") for name in reversed(NAMES)))

    assert locked_while_waiting_for_the_first(house, ledger, change, table="message") == []


PRUNED: dict[str, Callable[[Ledger], object]] = {
    "payloads": lambda ledger: empty_payloads(ledger, before=later(9), now=later(9), count=9),
    "events": lambda ledger: delete_events(ledger, before=later(9), erased=False, count=9),
}


@pytest.mark.parametrize("name", PRUNED)
def test_events_are_pruned_while_nobody_records_any(house: House, ledger: Ledger, name: str) -> None:
    """Who records again what is known locks events too, in the order in which they come."""
    broken = RawEvent("drop:1", b"{", NOW)
    recorded(ledger, (broken, parse(broken)))
    in_the_other_order(ledger)

    with house.open(busy_timeout=0.1) as other, ledger.begin() as connection:
        take_turns_recording(connection)
        with pytest.raises(LedgerOutOfReach, match="ledger-locked"):
            PRUNED[name](other)


def test_who_claims_waits_for_no_application_that_somebody_else_is_about(house: House, ledger: Ledger) -> None:
    """It held the attachments of one that it had lent, and waited for another: who settled wanted these the other way
    round."""
    recorded(ledger, announced("E1", "M1", ["A1"], application_id="1"), announced("E2", "M2", ["A2"]))
    resting = "update application set state = 'held', until = updated_at, failures = 1 where id = '17226'"
    with ledger.begin() as connection:
        connection.exec_driver_sql(resting)

    with house.open(busy_timeout=0.1) as other, ledger.begin() as connection:
        connection.exec_driver_sql("select id from application where id = '17226' for update")
        lent = claim(other, worker="w", count=9, now=later(9), lease_s=60)

    assert [one.attachment_id for one in lent] == ["A1"]
    assert [one.attachment_id for one in claim(ledger, worker="w", count=9, now=later(9), lease_s=60)] == ["A2"]
