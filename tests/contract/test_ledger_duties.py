"""Duties: what one process does for all of them, on both databases."""

from __future__ import annotations

import threading
from typing import Any

from mo_sync.ledger import Ledger
from mo_sync.ledger.duties import Duties, give_back, take
from mo_sync.settings import Ledger as LedgerSettings
from tests.clocks import HandClock
from tests.contract.conftest import House
from tests.forks import processes
from tests.ledgers import NOW, later, one, rows

NAME = "refresh token"
LEASE_S = 60.0
ASKERS = 16


def taken(ledger: Ledger, *, at_s: float = 0.0, worker: str = "w1", name: str = NAME) -> str | None:
    return take(ledger, name, worker=worker, now=later(at_s), lease_s=LEASE_S)


def test_a_duty_is_taken_by_one_until_its_lease_runs_out(ledger: Ledger) -> None:
    first = taken(ledger)

    assert first is not None
    assert taken(ledger, worker="w2") is None
    assert taken(ledger, at_s=LEASE_S - 0.000001, worker="w2") is None
    second = taken(ledger, at_s=LEASE_S, worker="w2")
    assert second not in (None, first)
    assert one(ledger, "select name, lease, worker from duty") == {"name": NAME, "lease": second, "worker": "w2"}


def test_whoever_has_it_cannot_take_it_a_second_time(ledger: Ledger) -> None:
    assert taken(ledger)
    assert taken(ledger, at_s=1) is None


def test_duties_of_different_names_do_not_know_each_other(ledger: Ledger) -> None:
    assert taken(ledger)
    assert taken(ledger, name="another")


def test_what_is_given_back_can_be_taken_at_once_and_the_row_says_who_had_it(ledger: Ledger) -> None:
    lease = taken(ledger) or ""

    assert give_back(ledger, NAME, lease, now=later(5))
    assert rows(ledger, "select name, lease, worker from duty") == [{"name": NAME, "lease": lease, "worker": "w1"}]
    assert taken(ledger, at_s=5, worker="w2")


def test_only_who_holds_the_lease_can_give_it_back(ledger: Ledger) -> None:
    """A process that was stopped for longer than its lease must not end the next one's."""
    late = taken(ledger) or ""
    current = taken(ledger, at_s=LEASE_S, worker="w2") or ""

    assert not give_back(ledger, NAME, late, now=later(LEASE_S + 1))
    assert not give_back(ledger, "another", current, now=later(LEASE_S + 1))
    assert taken(ledger, at_s=LEASE_S + 1, worker="w3") is None
    assert give_back(ledger, NAME, current, now=later(LEASE_S + 1))
    assert not give_back(ledger, NAME, current, now=later(LEASE_S + 1))


def test_a_lease_that_a_wrong_clock_took_for_years_does_not_count(ledger: Ledger) -> None:
    """P14: the clock was a day ahead, and was put back."""
    ahead = taken(ledger, at_s=86_400)

    assert ahead is not None
    assert taken(ledger, worker="w2") not in (None, ahead)


def test_clocks_that_are_apart_by_minutes_do_not_take_it_twice(ledger: Ledger) -> None:
    assert taken(ledger, at_s=299)
    assert taken(ledger, worker="behind") is None


def test_a_workers_duties_are_taken_and_given_back_by_its_own_clock(ledger: Ledger) -> None:
    clock = HandClock(NOW)
    mine, other = Duties(ledger, "w1", clock), Duties(ledger, "w2", clock)
    lease = mine.take(NAME, LEASE_S)

    assert lease is not None
    assert other.take(NAME, LEASE_S) is None
    assert mine.give_back(NAME, lease)
    assert other.take(NAME, LEASE_S)
    clock.advance(LEASE_S)
    assert mine.take(NAME, LEASE_S)


def test_of_many_threads_that_ask_at_once_one_gets_it_each_time(ledger: Ledger) -> None:
    rounds = 20
    start = threading.Barrier(ASKERS)
    got: list[tuple[int, str]] = []

    def ask(worker: str) -> None:
        for number in range(rounds):
            start.wait(60)
            lease = taken(ledger, at_s=number * LEASE_S, worker=worker)
            if lease:
                got.append((number, lease))

    threads = [threading.Thread(target=ask, args=[f"w{n}"]) for n in range(ASKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert sorted(number for number, _ in got) == list(range(rounds))
    assert len({lease for _, lease in got}) == rounds


def _ask(url: str, worker: str, start: Any, answers: Any) -> None:
    """In a process of its own: how often this worker got one of 20 duties, each asked for once."""
    with Ledger.open(LedgerSettings(url=url, busy_timeout=30.0)) as ledger:
        start.wait(60)
        answers.put([n for n in range(20) if taken(ledger, worker=worker, name=f"duty {n}")])


def test_of_many_processes_that_ask_at_once_one_gets_each(house: House) -> None:
    context = processes()
    start, answers = context.Barrier(4), context.Queue()
    askers = [context.Process(target=_ask, args=(house.url, f"p{n}", start, answers)) for n in range(4)]
    for process in askers:
        process.start()
    got = [answers.get(timeout=100) for _ in askers]
    for process in askers:
        process.join(60)

    assert sorted(number for numbers in got for number in numbers) == list(range(20))
