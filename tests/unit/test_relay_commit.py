"""Group commit: together, in order of the ways, never acknowledged before it is durable, never a hang."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime

import pytest

from mo_sync.clock import SystemClock
from mo_sync.errors import LedgerOutOfReach, OutOfReach
from mo_sync.feeds.relay.commit import Committer, NotKept
from mo_sync.feeds.relay.submission import Kept, Submission
from mo_sync.intake import Receipt

NOW = datetime(2026, 11, 23, tzinfo=UTC)


class Way:
    """A way to be durable that can be held up or fail."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.batches: list[list[bytes]] = []
        self.error: Exception | None = None
        self.open = threading.Event()
        self.open.set()
        self.tended = 0
        self.takes_s = 0.0

    def tend(self) -> float:
        self.tended += 1
        return 0.01

    def probe(self) -> None:
        if self.error is not None:
            raise self.error

    def keep(self, batch: Sequence[Submission]) -> list[Kept]:
        assert self.open.wait(20)
        time.sleep(self.takes_s)
        if self.error is not None:
            raise self.error
        self.batches.append([one.body for one in batch])
        return [Kept(Receipt(new=1), self.name) for _ in batch]

    @property
    def kept(self) -> list[bytes]:
        return [body for batch in self.batches for body in batch]


class Bench:
    def __init__(self) -> None:
        self.ledger, self.spool = Way("ledger"), Way("spool")

    def run(self, work: Callable[[Committer], Awaitable[None]], *, alone: bool = False, **more: object) -> None:
        given = {"timeout_s": 0.2, "most_waiting": 1_000} | more

        async def main() -> None:
            committer = Committer(
                None if alone else self.ledger,
                self.spool,
                SystemClock(),
                **given,  # type: ignore[arg-type]
            )
            running = asyncio.ensure_future(committer.run())
            try:
                await asyncio.wait_for(work(committer), 15)
            finally:
                self.ledger.open.set()
                self.spool.open.set()
                committer.close()
                await asyncio.wait_for(running, 15)
                committer.shut()

        asyncio.run(main())


@pytest.fixture
def bench() -> Iterator[Bench]:
    yield Bench()


def one(number: int, size: int = 1) -> Submission:
    return Submission(f"{number:0{size}}".encode(), NOW)


async def eventually(true: Callable[[], bool]) -> None:
    for _ in range(1_000):
        if true():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("never")


def test_what_arrives_while_a_batch_is_committed_shares_the_next(bench: Bench) -> None:
    async def work(committer: Committer) -> None:
        bench.ledger.open.clear()
        first = asyncio.ensure_future(committer.keep(one(0)))
        await asyncio.sleep(0.05)
        others = [asyncio.ensure_future(committer.keep(one(n))) for n in range(1, 50)]
        await asyncio.sleep(0.05)
        assert not first.done()
        bench.ledger.open.set()
        kept = await asyncio.gather(first, *others)
        assert {outcome.where for outcome in kept} == {"ledger"}

    bench.run(work, timeout_s=10.0)
    assert [len(batch) for batch in bench.ledger.batches] == [1, 49]
    assert bench.spool.batches == []


def test_without_a_ledger_everything_goes_to_the_spool(bench: Bench) -> None:
    async def work(committer: Committer) -> None:
        assert (await committer.keep(one(1))).where == "spool"

    bench.run(work, alone=True)
    assert bench.spool.kept == [b"1"]


def test_a_ledger_out_of_reach_is_passed_by_and_left_in_peace_for_a_while(bench: Bench) -> None:
    async def work(committer: Committer) -> None:
        bench.ledger.error = LedgerOutOfReach("ledger-locked", "locked")
        assert (await committer.keep(one(1))).where == "spool"
        bench.ledger.error = None
        assert (await committer.keep(one(2))).where == "spool"
        assert committer.trouble is None

    bench.run(work)
    assert bench.spool.kept == [b"1", b"2"]


def test_a_ledger_that_hangs_costs_its_time_once_and_is_used_again_when_it_goes_on(bench: Bench) -> None:
    async def work(committer: Committer) -> None:
        bench.ledger.open.clear()
        assert (await committer.keep(one(1))).where == "spool"
        began = asyncio.get_running_loop().time()
        assert (await committer.keep(one(2))).where == "spool"
        assert asyncio.get_running_loop().time() - began < 0.2
        bench.ledger.open.set()
        await eventually(lambda: bench.ledger.kept == [b"1"])
        assert (await committer.keep(one(3))).where == "ledger"

    bench.run(work)
    assert bench.spool.kept == [b"1", b"2"]
    assert bench.ledger.kept == [b"1", b"3"]


def test_where_neither_way_works_it_is_refused_and_taken_again_afterwards(bench: Bench) -> None:
    async def work(committer: Committer) -> None:
        bench.ledger.error = LedgerOutOfReach("ledger-locked", "locked")
        bench.spool.error = OutOfReach("spool-not-writable", "full")
        with pytest.raises(NotKept):
            await committer.keep(one(1))
        assert committer.trouble == "spool-not-writable: full"
        bench.spool.error = None
        assert (await committer.keep(one(1))).where == "spool"
        assert committer.trouble is None

    bench.run(work)


def test_a_bug_in_one_batch_refuses_that_batch_and_ends_nothing(bench: Bench) -> None:
    async def work(committer: Committer) -> None:
        bench.ledger.error = ZeroDivisionError("a bug")
        with pytest.raises(NotKept):
            await committer.keep(one(1))
        bench.ledger.error = None
        assert (await committer.keep(one(2))).where == "ledger"

    bench.run(work)


def test_no_more_waits_than_there_is_room_for(bench: Bench) -> None:
    async def work(committer: Committer) -> None:
        bench.spool.open.clear()
        waiting = [asyncio.ensure_future(committer.keep(one(n, 100))) for n in range(10)]
        await asyncio.sleep(0.05)
        more = [asyncio.ensure_future(committer.keep(one(n, 100))) for n in range(30)]
        await asyncio.sleep(0.05)
        refused = [task for task in more if task.done()]
        assert refused
        assert all(isinstance(task.exception(), NotKept) for task in refused)
        bench.spool.open.set()
        await asyncio.gather(*waiting)

    bench.run(work, alone=True)


def test_the_end_keeps_what_was_taken_and_takes_no_more(bench: Bench) -> None:
    async def work(committer: Committer) -> None:
        waiting = [asyncio.ensure_future(committer.keep(one(n))) for n in range(5)]
        await asyncio.sleep(0)
        committer.close()
        with pytest.raises(NotKept):
            await committer.keep(one(9))
        assert len(await asyncio.gather(*waiting)) == 5

    bench.run(work)
    assert sorted(bench.ledger.kept) == [b"0", b"1", b"2", b"3", b"4"]


def test_who_no_longer_waits_for_the_answer_holds_up_nobody(bench: Bench) -> None:
    async def work(committer: Committer) -> None:
        bench.ledger.open.clear()
        gone = asyncio.ensure_future(committer.keep(one(1)))
        await asyncio.sleep(0.02)
        gone.cancel()
        bench.ledger.open.set()
        assert (await committer.keep(one(2))).where == "ledger"

    bench.run(work, timeout_s=5.0)
    assert bench.ledger.kept == [b"1", b"2"]


def test_segments_are_tended_also_when_nothing_comes(bench: Bench) -> None:
    async def work(committer: Committer) -> None:
        await eventually(lambda: bench.spool.tended > 3)

    bench.run(work)


def test_what_was_in_trouble_is_ready_again_without_being_asked(bench: Bench) -> None:
    """A load balancer asks nothing of one that is not ready: it would never come back."""

    async def work(committer: Committer) -> None:
        bench.spool.error = OutOfReach("spool-not-writable", "full")
        with pytest.raises(NotKept):
            await committer.keep(one(1))
        await asyncio.sleep(0.05)
        assert committer.trouble is not None
        bench.spool.error = None
        await eventually(lambda: committer.trouble is None)

    bench.run(work, alone=True)


def test_an_error_while_tending_ends_no_tending(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mo_sync.feeds.relay.commit._PROBE_AGAIN_S", 0.01)
    calls = []

    def tend() -> float:
        calls.append(1)
        if len(calls) == 1:
            raise ZeroDivisionError("a bug")
        return 0.01

    monkeypatch.setattr(bench.spool, "tend", tend)

    async def work(committer: Committer) -> None:
        await eventually(lambda: len(calls) > 2)

    bench.run(work)


def test_those_who_were_answered_together_are_waited_for_and_no_longer_than_a_moment(bench: Bench) -> None:
    async def work(committer: Committer) -> None:
        async def keep(*numbers: int) -> None:
            await asyncio.gather(*(committer.keep(one(number)) for number in numbers))

        bench.ledger.open.clear()
        held = asyncio.ensure_future(keep(0))
        await asyncio.sleep(0.05)
        many = asyncio.ensure_future(keep(*range(1, 21)))
        await asyncio.sleep(0.05)
        bench.ledger.open.set()
        await asyncio.gather(held, many)
        again = [asyncio.ensure_future(keep(100))]
        await asyncio.sleep(0)
        again.append(asyncio.ensure_future(keep(*range(101, 111))))
        await asyncio.gather(*again)
        await asyncio.wait_for(keep(200), 1.0)
        await asyncio.wait_for(keep(201), 1.0)

    bench.run(work, timeout_s=10.0)
    assert [len(batch) for batch in bench.ledger.batches] == [1, 20, 11, 1, 1]


def test_what_waits_for_company_is_kept_when_the_relay_stops(bench: Bench) -> None:
    async def work(committer: Committer) -> None:
        committer._last = 1_000
        waiting = asyncio.ensure_future(committer.keep(one(1)))
        await asyncio.sleep(0)
        committer.close()
        await waiting

    bench.run(work)
    assert bench.ledger.kept == [b"1"]


def test_while_more_arrives_than_the_ledger_bears_it_goes_to_the_spool_and_back_afterwards(bench: Bench) -> None:
    async def work(committer: Committer) -> None:
        outcomes = [await asyncio.gather(*(committer.keep(one(n)) for n in range(20))) for _ in range(6)]
        assert [{kept.where for kept in together} for together in outcomes] == [{"ledger"}] * 3 + [{"spool"}] * 3
        assert committer.crowded
        await asyncio.sleep(1.1)
        assert not committer.crowded
        assert (await committer.keep(one(99))).where == "ledger"

    bench.ledger.takes_s = 0.02
    bench.run(work, timeout_s=10.0)
    assert len(bench.spool.kept) == 60


def test_one_who_cannot_be_told_costs_no_other_its_answer(bench: Bench) -> None:
    async def work(committer: Committer) -> None:
        def fail(_: object) -> None:
            raise ZeroDivisionError("a bug")

        told = asyncio.get_running_loop().create_future()
        committer.submit(one(1), fail)
        committer.submit(one(2), told.set_result)
        assert isinstance(await told, Kept)
        assert (await committer.keep(one(3))).where == "ledger"

    bench.run(work)
    assert bench.ledger.kept == [b"1", b"2", b"3"]
