"""The reconciler on a real ledger and a real store; only the fetch is scripted, to hold it up at the wanted moment."""

from __future__ import annotations

import errno
import hashlib
import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from mo_sync.backoff import Policy
from mo_sync.clock import SystemClock
from mo_sync.errors import LedgerOutOfReach
from mo_sync.events import RawEvent
from mo_sync.fetch import Fetched
from mo_sync.gateway.pace import Paces
from mo_sync.intake import Intake
from mo_sync.ledger import Ledger, claims
from mo_sync.lifecycle import Claim, Failed, Interrupted, Outcome, Settlement, Stored, next_state
from mo_sync.log import redact_text
from mo_sync.naming import key
from mo_sync.reconciler import Reconciler
from mo_sync.settings import Ledger as LedgerSettings
from mo_sync.settings import Limits, Sync
from mo_sync.settings import Store as StoreSettings
from mo_sync.store import Placed, Placement, Store, open_store
from mo_sync.verdicts import Step, Verdict
from tests.stores import put_in_place

LIMIT_S = 20.0
BYTES = b"%PDF-1.4 a small one"


class Bench:
    """A ledger with due attachments, a store, and a reconciler whose fetch is ``fetch``."""

    def __init__(self, root: Path, fetch: Callable[[Bench, Claim, Callable[[], bool]], Fetched | Outcome], **sync: Any):
        self.root = root
        self.clock = SystemClock()
        self.ledger = Ledger.open(LedgerSettings(url=f"sqlite:///{root}/ledger.db", busy_timeout=0.2))
        self.store: Store = open_store(StoreSettings(url=str(root / "media")), worker="bench-1-aa")
        self.intake = Intake(self.ledger, self.clock, give_up_after_s=3600.0)
        self.settled: list[Settlement] = []
        self.aborted = threading.Event()
        self.reconciler = Reconciler(
            ledger=self.ledger,
            store=self.store,
            fetch=lambda claim, stop: fetch(self, claim, stop),
            policy=Policy(base_s=3600.0, max_delay_s=3600.0),
            sync=Sync(**{"workers": 4, "batch": 8, "lease": 60, **sync}),
            limits=Limits(min_free=0),
            clock=self.clock,
            worker="bench-1-aa",
            watcher=self.settled.extend,
            abort=self.aborted.set,
            paces=Paces(64, {}),
        )

    def announce(self, count: int) -> None:
        self.intake.record([_event(number) for number in range(count)])

    def staged(self, claim: Claim, content: bytes = BYTES) -> Fetched:
        staged = self.store.stage(claim.lease)
        staged.write(content)
        staged.finish()
        return Fetched(staged, place_of(claim), staged.size, staged.sha256, "application/pdf")

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        ledger = sqlite3.connect(self.root / "ledger.db", timeout=10)
        try:
            return ledger.execute(sql).fetchall()
        finally:
            ledger.close()

    def files(self) -> list[str]:
        return sorted(path.name for path in (self.root / "media").rglob("*") if path.is_file() and path.name != ".lock")


def place_of(claim: Claim) -> str:
    return key(
        filed_at=claim.filed_at,
        message_id=claim.message_id,
        position=claim.position,
        attachment_id=claim.attachment_id,
        extension="pdf",
    )


Make = Callable[..., Bench]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Make]:
    made: list[Bench] = []

    def make(fetch: Callable[..., Fetched | Outcome], **sync: Any) -> Bench:
        made.append(Bench(tmp_path, fetch, **sync))
        return made[-1]

    yield make
    for one in made:
        one.reconciler.close(grace_s=0.0)
        one.store.close()
        one.ledger.close()


def test_everything_due_is_fetched_placed_and_settled(bench: Make) -> None:
    this = bench(lambda this, claim, stop: this.staged(claim))
    this.announce(40)

    worked = this.reconciler.work(threading.Event())

    assert (worked.claimed, worked.idle) == (40, True)
    assert this.rows("select state, count(*), count(distinct location) from attachment") == [("stored", 40, 40)]
    assert len(this.files()) == 40
    assert len(this.settled) == 40


def test_no_more_are_claimed_than_there_are_idle_workers(bench: Make) -> None:
    at_once = threading.Semaphore(4)
    overrun: list[str] = []

    def fetch(this: Bench, claim: Claim, stop: Callable[[], bool]) -> Fetched:
        if not at_once.acquire(blocking=False):
            overrun.append(claim.attachment_id)
        fetched = this.staged(claim)
        at_once.release()
        return fetched

    this = bench(fetch)
    this.announce(100)

    this.reconciler.work(threading.Event())

    assert overrun == []
    assert this.rows("select count(*) from attachment where state = 'stored'") == [(100,)]


def test_a_bug_in_a_fetch_costs_neither_the_worker_nor_the_claim(bench: Make) -> None:
    def fetch(this: Bench, claim: Claim, stop: Callable[[], bool]) -> Fetched:
        if claim.message_id == "message-3":
            raise ZeroDivisionError
        return this.staged(claim)

    this = bench(fetch)
    this.announce(10)

    this.reconciler.work(threading.Event())

    [(state, code, attempts)] = this.rows(
        "select state, error_code, attempts from attachment where message_id = 'message-3'"
    )
    assert (state, code, attempts) == ("pending", "unexpected-error", 1)
    assert this.rows("select count(*) from attachment where state = 'stored'") == [(9,)]


def test_a_worker_that_lost_its_lease_changes_neither_the_ledger_nor_the_store(bench: Make) -> None:
    def fetch(this: Bench, claim: Claim, stop: Callable[[], bool]) -> Fetched:
        claims.rescue(this.ledger, ["bench-1-aa"], now=this.clock.now())
        [other] = claims.claim(this.ledger, worker="other-2-bb", count=1, now=this.clock.now(), lease_s=60)
        assert other.attachment_id == claim.attachment_id
        return this.staged(claim)

    this = bench(fetch)
    this.announce(1)

    this.reconciler.work(threading.Event())

    assert this.rows("select state, worker, attempts from attachment") == [("fetching", "other-2-bb", 0)]
    assert this.rows("select outcome from attempt") == [("lost",)]
    assert this.files() == []
    assert this.settled == []


def test_a_long_fetch_keeps_its_lease(bench: Make) -> None:
    going = threading.Event()

    def fetch(this: Bench, claim: Claim, stop: Callable[[], bool]) -> Fetched:
        for _ in range(25):
            going.wait(0.1)
            assert claims.expire(this.ledger, now=this.clock.now()) == []
        return this.staged(claim)

    this = bench(fetch, lease=1)
    this.announce(1)

    this.reconciler.work(threading.Event())

    assert this.rows("select state, attempts from attachment") == [("stored", 1)]


def test_a_locked_ledger_is_waited_for_and_nothing_is_settled_by_halves(bench: Make) -> None:
    locked, fetched = threading.Event(), threading.Event()

    def fetch(this: Bench, claim: Claim, stop: Callable[[], bool]) -> Fetched:
        locked.wait(LIMIT_S)
        fetched.set()
        return this.staged(claim)

    this = bench(fetch)
    this.announce(3)
    worker = threading.Thread(target=lambda: _try_to_work(this))
    worker.start()
    while this.rows("select count(*) from attachment where state = 'fetching'") != [(3,)]:
        assert worker.is_alive()
    with sqlite3.connect(this.root / "ledger.db", isolation_level=None) as other:
        other.execute("begin immediate")
        locked.set()
        assert fetched.wait(LIMIT_S)
        threading.Event().wait(1.0)  # longer than busy_timeout, so that settling is refused at least once
        assert this.settled == []
        other.execute("rollback")
    other.close()

    this.reconciler.work(threading.Event())
    worker.join(LIMIT_S)

    assert this.rows("select state, count(*) from attachment group by state") == [("stored", 3)]
    assert len(this.files()) == 3


def _try_to_work(this: Bench) -> None:

    try:
        this.reconciler.work(threading.Event())
    except LedgerOutOfReach:
        return


def test_close_gives_back_what_is_not_finished_within_the_grace_and_uses_up_no_attempt(bench: Make) -> None:
    begun = threading.Semaphore(0)

    def fetch(this: Bench, claim: Claim, stop: Callable[[], bool]) -> Outcome:
        begun.release()
        this.aborted.wait(LIMIT_S)
        return Interrupted() if stop() else Failed(Step.CONTENT, None, "x", Verdict.RETRY, "not stopped")

    this = bench(fetch)
    this.announce(6)
    stop = threading.Event()
    worker = threading.Thread(target=this.reconciler.work, args=[stop])
    worker.start()
    for _ in range(4):
        assert begun.acquire(timeout=LIMIT_S)
    stop.set()
    worker.join(LIMIT_S)

    assert this.reconciler.close(grace_s=0.1)
    assert this.rows("select state, attempts, count(*) from attachment group by state, attempts") == [("pending", 0, 6)]
    assert this.files() == []


def test_below_the_floor_of_free_space_nothing_is_claimed_and_the_reason_has_the_numbers(bench: Make) -> None:
    this = bench(lambda this, claim, stop: this.staged(claim))
    this.announce(2)
    this.reconciler.adopt(Policy(), Limits(min_free=10**18))

    worked = this.reconciler.work(threading.Event())

    assert worked.claimed == 0
    assert worked.no_room is not None
    assert f"limits.min_free asks for {10**18:,}" in worked.no_room
    assert redact_text(worked.no_room) == worked.no_room
    this.reconciler.adopt(Policy(), Limits(min_free=0))
    assert this.reconciler.work(threading.Event()).claimed == 2


def test_a_file_left_by_a_death_between_rename_and_commit_is_adopted_not_doubled(bench: Make) -> None:
    this = bench(lambda this, claim, stop: this.staged(claim))
    this.announce(1)
    [claim] = claims.claim(this.ledger, worker="dead-9-cc", count=1, now=this.clock.now(), lease_s=60)
    orphan = this.staged(claim)
    this.store.harden([orphan.staged])
    this.store.place([Placement(orphan.staged, orphan.key)])
    inode = (this.root / "media" / orphan.key).stat().st_ino
    claims.rescue(this.ledger, ["dead-9-cc"], now=this.clock.now())

    this.reconciler.work(threading.Event())

    assert this.rows("select state, location from attachment") == [("stored", orphan.key)]
    assert (this.root / "media" / orphan.key).stat().st_ino == inode
    assert len(this.files()) == 1


def _event(number: int) -> RawEvent:
    fields = {"message_id": f"message-{number}", "application_id": 17226, "attachment_ids": f"attachment-{number}"}
    event = {"fld-val-list": fields, "evt-tp": "mo_message_received", "timestamp": "2026-11-20T12:00:00.000Z"}
    envelope = {"topic": "SCG-Message", "attempt": 1, "event": event, "event-id": f"event-{number}"}
    return RawEvent("test", json.dumps(envelope).encode(), datetime(2026, 11, 20, 12, tzinfo=UTC))


def test_without_a_thread_to_be_had_claims_come_back_and_it_goes_on_when_there_are_some(
    bench: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start

    def refused(thread: threading.Thread) -> None:
        if thread.name.startswith("fetch-"):
            raise RuntimeError("can't start new thread")
        start(thread)

    this = bench(lambda this, claim, stop: this.staged(claim))
    this.announce(10)
    monkeypatch.setattr(threading.Thread, "start", refused)

    worked = this.reconciler.work(threading.Event())

    assert "no threads" in (worked.no_room or "")
    assert this.reconciler._flight.wait_until_empty(patience_s=LIMIT_S)
    assert this.rows("select state, sum(attempts) from attachment group by state") == [("pending", 0)]
    monkeypatch.undo()
    claims_due_now(this)
    assert this.reconciler.work(threading.Event()).idle
    assert this.rows("select state, count(*) from attachment group by state") == [("stored", 10)]


def claims_due_now(this: Bench) -> None:
    this.reconciler._store_rests = None
    with this.ledger.begin() as connection:
        connection.exec_driver_sql("update attachment set due_at = created_at where state = 'pending'")


def test_a_store_that_takes_no_writes_stops_the_claims_and_not_only_what_met_it(bench: Make) -> None:
    """P13: ten thousand attachments must not each be fetched to learn that the disk is read-only."""
    fetched: list[str] = []

    def fetch(this: Bench, claim: Claim, stop: Callable[[], bool]) -> Outcome:
        fetched.append(claim.attachment_id)
        return Interrupted("the store: read-only file system (erofs)", delay_s=60.0, everybody=True)

    this = bench(fetch)
    this.announce(200)

    worked = this.reconciler.work(threading.Event())

    assert worked.no_room == "the store: read-only file system (erofs)"
    assert len(fetched) <= 4 + 8
    assert this.rows("select distinct attempts from attachment") == [(0,)]


def test_the_keeper_of_leases_outlives_any_error(bench: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    hurt, again, go_on = threading.Event(), threading.Event(), threading.Event()
    extend = claims.extend

    def stumble(*arguments: Any, **named: Any) -> set[str]:
        if not hurt.is_set():
            hurt.set()
            raise ZeroDivisionError
        again.set()
        return extend(*arguments, **named)

    def fetch(this: Bench, claim: Claim, stop: Callable[[], bool]) -> Fetched:
        assert go_on.wait(LIMIT_S)
        return this.staged(claim)

    monkeypatch.setattr(claims, "extend", stumble)
    this = bench(fetch, lease=1)
    this.announce(1)
    working = threading.Thread(target=this.reconciler.work, args=[threading.Event()])
    working.start()

    assert hurt.wait(LIMIT_S)
    assert again.wait(LIMIT_S)
    go_on.set()
    working.join(LIMIT_S)
    assert this.rows("select state from attachment") == [("stored",)]


OTHER = b"%PDF-1.4 what the gateway served to the successor"


def succeed(this: Bench, claim: Claim) -> None:
    """Another worker takes the claim over, gets other bytes from the gateway, and stores them."""
    now = this.clock.now()
    claims.rescue(this.ledger, ["bench-1-aa"], now=now)
    [taken] = claims.claim(this.ledger, worker="other-2-bb", count=1, now=now, lease_s=60)
    with closing(open_store(StoreSettings(url=str(this.root / "media")), worker="other-2-bb")) as store:
        staged = store.stage(taken.lease)
        staged.write(OTHER)
        staged.finish()
        assert put_in_place(store, Placement(staged, place_of(claim))) == Placed()
    outcome = Stored(place_of(claim), len(OTHER), hashlib.sha256(OTHER).hexdigest(), "application/pdf")
    moved = next_state(taken, outcome, now=now, policy=Policy(), roll=0.5)
    assert claims.settle(this.ledger, [Settlement(taken, outcome, moved, now, now)], worker="other-2-bb") == [True]


@pytest.mark.parametrize("stopped", ["before the name", "after the name", "where no file has two names"])
def test_a_worker_that_was_stopped_and_wakes_late_leaves_its_successors_file_alone(
    bench: Make, monkeypatch: pytest.MonkeyPatch, stopped: str
) -> None:
    """P5, P7: the moment after it looked at its lease, the moment before it tells the ledger, and again."""
    this = bench(lambda this, claim, stop: this.staged(claim))
    this.announce(1)
    late: list[Claim] = []
    owned, settle = claims.owned, claims.settle

    def then_stopped(ledger: Ledger, mine: list[Claim]) -> set[str]:
        answer = owned(ledger, mine)
        if not late:
            late.extend(mine)
            succeed(this, mine[0])
        return answer

    def stopped_before(
        ledger: Ledger, settlements: list[Settlement], *, worker: str, marking: bool = False
    ) -> list[bool]:
        if worker == "bench-1-aa" and not late:
            late.append(settlements[0].claim)
            succeed(this, settlements[0].claim)
        return settle(ledger, settlements, worker=worker, marking=marking)

    if stopped == "after the name":
        monkeypatch.setattr(claims, "settle", stopped_before)
    else:
        monkeypatch.setattr(claims, "owned", then_stopped)
    if stopped == "where no file has two names":
        monkeypatch.setattr("os.link", no_second_names)

    with capture_logs() as log:
        this.reconciler.work(threading.Event())
        assert this.reconciler.close(grace_s=LIMIT_S)

    [(state, key, sha256)] = this.rows("select state, location, sha256 from attachment")
    assert (state, sha256) == ("stored", hashlib.sha256(OTHER).hexdigest())
    assert (this.root / "media" / key).read_bytes() == OTHER
    assert this.files() == [Path(key).name]
    assert [entry["event"] for entry in log if entry["event"] == "claim.lost"] == ["claim.lost"]
    assert len(late) == 1


def no_second_names(*paths: object, **options: object) -> None:
    raise OSError(errno.EPERM, "this file system knows no links")
