"""Leases: lent once, in order, to one worker; given back, run out, rescued, and never without a trace."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from mo_sync.ledger import Ledger
from mo_sync.ledger.claims import claim, expire, extend, give_back, owned, rescue
from mo_sync.lifecycle import Claim
from mo_sync.settings import Ledger as LedgerSettings
from tests.contract.conftest import House
from tests.forks import processes
from tests.ledgers import NOW, announced, column, items, later, one, recorded, rows

LEASE_S = 60.0


def lent(ledger: Ledger, count: int = 10, *, at_s: float = 0.0, worker: str = "w1") -> list[Claim]:
    return claim(ledger, worker=worker, count=count, now=later(at_s), lease_s=LEASE_S)


def ids(claims: Sequence[Claim]) -> list[str]:
    return [lease.attachment_id for lease in claims]


def set_all(ledger: Ledger, columns: str) -> None:
    with ledger.begin() as connection:
        connection.exec_driver_sql(f"update attachment set {columns}")


def test_a_claim_holds_all_that_a_worker_needs(ledger: Ledger) -> None:
    recorded(ledger, announced("E1", "M1", ["A1"]))

    [got] = lent(ledger)

    row = one(ledger, "select * from attachment")
    assert got == Claim(
        attachment_id="A1",
        message_id="M1",
        application_id="17226",
        position=0,
        lease=row["lease"],
        lease_until=later(LEASE_S),
        attempts=0,
        deadline_at=later(72 * 3600),
        filed_at=got.filed_at,
        declared_type=None,
        av_status="OK",
        absences=0,
    )
    assert got.filed_at.isoformat() == "2026-11-19T16:16:17.579000+00:00"
    assert (row["state"], row["worker"], row["due_at"]) == ("fetching", "w1", None)
    assert len(got.lease) == 32


def test_the_longest_due_are_lent_first_and_no_more_than_asked_for(ledger: Ledger) -> None:
    for n in (3, 1, 2):
        recorded(ledger, announced(f"E{n}", f"M{n}", [f"A{n}"]), now=later(n))

    assert ids(lent(ledger, 2, at_s=10)) == ["A1", "A2"]
    assert ids(lent(ledger, 2, at_s=10)) == ["A3"]
    assert lent(ledger, 2, at_s=10) == []


def test_what_is_due_later_is_left_alone_until_then(ledger: Ledger) -> None:
    recorded(ledger, announced("E1"), now=later(100))

    assert lent(ledger, at_s=99.999999) == []
    assert ids(lent(ledger, at_s=100)) == ["A1"]


def test_an_application_that_rests_is_left_alone_until_then_and_slows_no_other(ledger: Ledger) -> None:
    """P10."""
    recorded(ledger, announced("E1", "M1", ["A1"], application_id="1"))
    recorded(ledger, announced("E2", "M2", ["A2"], application_id="2"), now=later(1))
    with ledger.begin() as connection:
        connection.exec_driver_sql(
            "update application set state = 'held', reason = 'no credit', failures = 1,"
            " until = '2026-11-20T12:10:00.000000Z' where id = '1'"
        )

    assert ids(lent(ledger, at_s=5)) == ["A2"]
    assert lent(ledger, at_s=599) == []
    assert ids(lent(ledger, at_s=600)) == ["A1"]


def test_threads_and_processes_share_the_work_and_never_get_the_same(house: House) -> None:
    """P7."""
    count, crowd = 500, 2
    with house.open() as ledger:
        recorded(ledger, *items(count))
        forked = processes()
        told = forked.Queue()
        workers = [forked.Process(target=_claim_in_a_process, args=(house.url, told)) for _ in range(crowd)]
        for worker in workers:
            worker.start()
        taken: list[str] = _claim_on_threads(ledger, 8)
        for _ in workers:
            taken += told.get(timeout=60)
        for worker in workers:
            worker.join(60)
        taken += ids(lent(ledger, count))

        assert Counter(taken).most_common(1)[0][1] == 1
        assert len(taken) == count
        assert one(ledger, "select count(distinct lease) n from attachment") == {"n": count}


def _claim_in_a_process(url: str, told: Any) -> None:
    with Ledger.open(LedgerSettings(url=url, busy_timeout=60.0)) as ledger:
        told.put(_claim_on_threads(ledger, 2))


def _claim_on_threads(ledger: Ledger, crowd: int) -> list[str]:
    taken: list[str] = []

    def work() -> None:
        while got := lent(ledger, 7):
            taken.extend(ids(got))

    threads = [threading.Thread(target=work) for _ in range(crowd)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return taken


def test_extending_moves_the_end_of_what_is_still_the_callers_and_of_nothing_else(ledger: Ledger) -> None:
    recorded(ledger, *items(3))
    kept, lost, other = lent(ledger)
    give_back(ledger, [lost], now=later(1), reason="test")
    [again] = lent(ledger, at_s=2, worker="w2")

    assert extend(ledger, [kept, lost], until=later(500)) == {kept.lease}
    assert owned(ledger, [kept, lost, other]) == {kept.lease, other.lease}
    assert owned(ledger, [again]) == {again.lease}
    assert extend(ledger, [], until=later(500)) == set()
    assert sorted(expire(ledger, now=later(300))) == sorted([other.attachment_id, again.attachment_id])
    assert column(ledger, "select id from attachment where state = 'fetching'") == [kept.attachment_id]


def test_what_is_given_back_is_due_at_once_and_no_attempt_is_used_up(ledger: Ledger) -> None:
    recorded(ledger, announced("E1"))
    got = lent(ledger)

    assert give_back(ledger, got, now=later(5), reason="stopped") == 1
    assert give_back(ledger, got, now=later(6), reason="stopped") == 0

    assert one(ledger, "select state, attempts, lease, lease_until from attachment") == {
        "state": "pending",
        "attempts": 0,
        "lease": None,
        "lease_until": None,
    }
    assert rows(ledger, "select number, outcome, error, worker from attempt") == [
        {"number": 1, "outcome": "interrupted", "error": "stopped", "worker": "w1"}
    ]
    assert lent(ledger, at_s=4.999999) == []
    assert ids(lent(ledger, at_s=5)) == ["A1"]


def test_a_lease_that_ran_out_is_due_again_within_the_lease_and_leaves_a_trace(ledger: Ledger) -> None:
    """P8."""
    recorded(ledger, announced("E1"))
    [got] = lent(ledger)

    assert expire(ledger, now=later(LEASE_S - 0.000001)) == []
    assert expire(ledger, now=later(LEASE_S)) == ["A1"]
    assert expire(ledger, now=later(LEASE_S)) == []

    assert owned(ledger, [got]) == set()
    assert one(ledger, "select outcome, error, worker from attempt") == {
        "outcome": "lost",
        "error": "the lease ran out",
        "worker": "w1",
    }
    [again] = lent(ledger, at_s=LEASE_S, worker="w2")
    assert again.attempts == 0
    assert again.lease != got.lease


def test_what_was_claimed_after_its_deadline_and_lost_again_has_failed(ledger: Ledger) -> None:
    """P9: something that kills its workers must not do so for ever."""
    recorded(ledger, announced("E1"), announced("E2", "M2", ["A2"]))
    lent(ledger, 1)
    late = 80 * 3600.0
    assert expire(ledger, now=later(late)) == ["A1"]
    lent(ledger, at_s=late)

    assert sorted(expire(ledger, now=later(late + LEASE_S))) == ["A1", "A2"]

    assert rows(ledger, "select id, state, due_at, error, error_code from attachment order by id") == [
        {
            "id": name,
            "state": "failed",
            "due_at": None,
            "error": "its worker died on it after its deadline",
            "error_code": "worker-died",
        }
        for name in ("A1", "A2")
    ]
    assert column(ledger, "select number from attempt where attachment_id = 'A1' order by id") == [1, 2]


def test_what_kills_its_workers_fails_after_its_deadline_however_their_deaths_were_seen(ledger: Ledger) -> None:
    recorded(ledger, announced("E1"))
    late = 80 * 3600.0
    lent(ledger, at_s=late, worker="dead")

    assert rescue(ledger, ["dead"], now=later(late + 1)) == ["A1"]

    assert one(ledger, "select state, error_code from attachment") == {"state": "failed", "error_code": "worker-died"}


def test_what_dead_workers_had_is_due_at_once(ledger: Ledger) -> None:
    recorded(ledger, *items(4))
    lent(ledger, 2, worker="dead")
    lent(ledger, 1, worker="alive")

    assert rescue(ledger, [], now=NOW) == []
    assert len(rescue(ledger, ["dead", "never seen"], now=later(1))) == 2

    assert one(ledger, "select count(*) n from attachment where state = 'fetching'") == {"n": 1}
    assert column(ledger, "select distinct error from attempt") == ["its worker died"]
    assert len(lent(ledger, at_s=1)) == 3


def test_attempts_are_numbered_from_one_without_a_gap(ledger: Ledger) -> None:
    recorded(ledger, announced("E1", "M1", ["A1", "A2"]))
    for n in range(3):
        give_back(ledger, lent(ledger, at_s=n), now=later(n), reason="stopped")
    lent(ledger, 1, at_s=3, worker="dead")
    rescue(ledger, ["dead"], now=later(4))

    numbers = rows(ledger, "select attachment_id, number from attempt order by id")
    by_attachment = {name: [row["number"] for row in numbers if row["attachment_id"] == name] for name in ("A1", "A2")}
    assert sorted(map(len, by_attachment.values())) == [3, 4]
    assert all(found == list(range(1, len(found) + 1)) for found in by_attachment.values())


def test_a_claim_that_waits_for_a_writer_of_another_process_gets_its_turn(house: House) -> None:
    """On SQLite a write lock that is asked for at the beginning waits; on PostgreSQL nobody waits at all."""
    with house.open() as one_, house.open() as other:
        recorded(one_, *items(2))
        holding, done = threading.Event(), threading.Event()

        def hold() -> None:
            with one_.begin() as connection:
                connection.exec_driver_sql("update attachment set due_at = due_at where id = 'A0-0'")
                holding.set()
                done.wait(0.3)

        holder = threading.Thread(target=hold)
        holder.start()
        holding.wait(10)
        got = claim(other, worker="w", count=2, now=NOW + timedelta(seconds=1), lease_s=60)
        done.set()
        holder.join(10)

        assert ids(got) == (["A0-0", "A1-0"] if house.kind == "sqlite" else ["A1-0"])


@pytest.mark.parametrize("columns", ["state = 'fetching'", "due_at = null", "state = 'unheard-of'"])
def test_the_database_itself_refuses_a_row_that_would_wait_for_ever(ledger: Ledger, columns: str) -> None:
    """P9: fetching without a lease, pending without a time, a state that nobody knows."""
    recorded(ledger, announced("E1"))

    with pytest.raises(Exception, match=r"(?i)check constraint"):
        set_all(ledger, columns)
