"""Group commit: requests that arrive while one batch is being made durable share the next.

One batch at a time, in two ways. The ledger first, where there is one; a batch that it does not take in time goes to
the spool, and is acknowledged from there. What the ledger takes all the same, later, is known again by its key. So do
all batches while more arrives than the ledger bears.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Protocol, TypeAlias

import structlog

from mo_sync.clock import Clock
from mo_sync.errors import MoSyncError
from mo_sync.feeds.relay.crowding import Crowding
from mo_sync.feeds.relay.submission import Kept, Submission

__all__ = ["Committer", "Heard", "NotKept", "Sink"]

_log = structlog.get_logger(__name__)

_MOST_EVENTS: Final = 1_000
_MOST_BYTES: Final = 8 * 1024 * 1024
_TRY_AGAIN_S: Final = 5.0
_PROBE_AGAIN_S: Final = 1.0
_GATHER_S: Final = 0.005


class Sink(Protocol):
    """Where a batch is made durable."""

    def keep(self, batch: Sequence[Submission]) -> list[Kept]:
        """When this answers, all of ``batch`` is durable; what became of each, in order. Raises MoSyncError."""


class SpoolLike(Sink, Protocol):
    """The way that is always there, and needs care."""

    def tend(self) -> float:
        """Hand over what is old enough; in how many seconds to look again."""

    def probe(self) -> None:
        """Raises MoSyncError when nothing could be kept now."""


class NotKept(Exception):
    """It could not be made durable, or there is no room for more: it must be sent again."""


Heard: TypeAlias = Callable[[Kept | NotKept], None]
"""Is told, on the loop's thread, what became of a submission."""
Waiting: TypeAlias = tuple[Submission, Heard]


class Committer:
    """Takes submissions on an event loop. ``ledger`` may be missing; ``spool`` is the way that is always there.

    ``timeout_s`` is how long the ledger may take for one batch, ``most_waiting`` how many bytes may wait.
    """

    def __init__(
        self,
        ledger: Sink | None,
        spool: SpoolLike,
        clock: Clock,
        *,
        timeout_s: float,
        most_waiting: int,
    ) -> None:
        self._ledger = ledger
        self._spool = spool
        self._clock = clock
        self._timeout_s = timeout_s
        self._most_waiting = most_waiting
        self._queue: deque[Waiting] = deque()
        self._bytes = 0
        self._last = 0
        self._enough = 1
        self._arrived = asyncio.Event()
        self._closing = False
        self._ledger_thread = ThreadPoolExecutor(1, "relay-ledger")
        self._spool_thread = ThreadPoolExecutor(1, "relay-spool")
        self._late: asyncio.Future[list[Kept]] | None = None
        self._ledger_rests_until = 0.0
        self._crowding = Crowding()
        self.trouble: str | None = None
        """Why the last batch could not be kept; None when it could."""

    @property
    def crowded(self) -> bool:
        """Whether more arrived of late than the ledger bears. Any thread may ask."""
        return self._crowding.crowded and not self._crowding.has_gone(now_s=self._clock.monotonic())

    async def keep(self, submission: Submission) -> Kept:
        """What became of it, once it is durable. Raises NotKept."""
        future: asyncio.Future[Kept] = asyncio.get_running_loop().create_future()

        def hear(outcome: Kept | NotKept) -> None:
            if future.done():  # who asked no longer waits
                return
            if isinstance(outcome, NotKept):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)

        self.submit(submission, hear)
        return await future

    def submit(self, submission: Submission, heard: Heard) -> None:
        """Have it made durable with others; ``heard`` is told, later. Raises NotKept when there is no room."""
        if self._closing or self._bytes + len(submission.body) > self._most_waiting:
            raise NotKept("too much is waiting" if not self._closing else "the relay stops")
        self._queue.append((submission, heard))
        self._bytes += len(submission.body)
        if len(self._queue) >= self._enough:
            self._arrived.set()

    async def run(self) -> None:
        """Commit until :meth:`close`; everything that was taken before is kept, or told that it was not."""
        tending = asyncio.ensure_future(self._tend_regularly())
        try:
            while not (self._closing and not self._queue):
                await self._gather()
                if batch := self._next_batch():
                    await self._commit(batch)
        finally:
            tending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await tending

    def close(self) -> None:
        """Take no more. On the loop's thread."""
        self._closing = True
        self._arrived.set()

    def shut(self) -> None:
        """Let go of the threads, when :meth:`run` has ended. A commit that hangs is left behind."""
        self._spool_thread.shutdown(wait=True)
        self._ledger_thread.shutdown(wait=False, cancel_futures=True)

    async def _gather(self) -> None:
        """Wait for a submission; and a moment for those who are on their way, nearly as many as were in the last batch.

        Who was answered together comes again together, and a batch of the first of them alone would keep all others
        waiting. Of a spool half of them are enough: it syncs while the other half is answered. Recording in the ledger
        is work for the same interpreter, which does both more slowly at once than one after the other.
        """
        await self._until_waiting(1)
        enough = self._last // 2 if self._ledger is None or self._crowding.crowded else self._last * 9 // 10
        if len(self._queue) < enough and not self._closing:
            patience = asyncio.get_running_loop().call_later(_GATHER_S, self._arrived.set)
            await self._until_waiting(enough)
            patience.cancel()

    async def _until_waiting(self, enough: int) -> None:
        self._enough = enough
        if len(self._queue) < enough and not self._closing:
            self._arrived.clear()
            await self._arrived.wait()

    def _next_batch(self) -> list[Waiting]:
        batch: list[Waiting] = []
        size = 0
        while self._queue and len(batch) < _MOST_EVENTS and size < _MOST_BYTES:
            waiting = self._queue.popleft()
            size += len(waiting[0].body)
            batch.append(waiting)
        self._bytes -= size
        self._last = len(batch)
        return batch

    async def _commit(self, batch: list[Waiting]) -> None:
        submissions = [submission for submission, _ in batch]
        try:
            kept = await self._by_ledger(submissions)
            if kept is None:
                loop = asyncio.get_running_loop()
                kept = await loop.run_in_executor(self._spool_thread, self._spool.keep, submissions)
        except MoSyncError as error:
            self._refuse(batch, str(error))
            return
        except Exception as error:  # noqa: BLE001  the border of the task: one batch must not end the relay
            _log.exception("batch.crashed", events=len(batch))
            self._refuse(batch, type(error).__name__)
            return
        self.trouble = None
        for (_, heard), outcome in zip(batch, kept, strict=True):
            _tell(heard, outcome)

    def _refuse(self, batch: list[Waiting], why: str) -> None:
        if self.trouble is None:
            _log.error("batch.not-kept", events=len(batch), error=why, hint="they are refused with 503, and sent again")
        self.trouble = why
        for _, heard in batch:
            _tell(heard, NotKept(why))

    async def _by_ledger(self, submissions: list[Submission]) -> list[Kept] | None:
        """None when there is no ledger, or it does not take this batch now."""
        if self._ledger is None or not self._ledger_is_free() or self._is_crowded(len(submissions)):
            return None
        loop = asyncio.get_running_loop()
        began_s = self._clock.monotonic()
        commit = loop.run_in_executor(self._ledger_thread, self._ledger.keep, submissions)
        done, _ = await asyncio.wait({commit}, timeout=self._timeout_s)
        if not done:
            self._late = commit
            commit.add_done_callback(_forget)
            _log.warning("relay.ledger-late", events=len(submissions), hint="events go to the drop folder meanwhile")
            return None
        try:
            kept = commit.result()
        except MoSyncError as error:
            self._ledger_rests_until = self._clock.monotonic() + _TRY_AGAIN_S
            _log.warning("relay.ledger-out-of-reach", error=str(error), hint="events go to the drop folder meanwhile")
            return None
        self._crowding = self._crowding.recorded(len(kept), began_s=began_s, ended_s=self._clock.monotonic())
        if self._crowding.crowded:
            hint = "events go to the drop folder, and are recorded from there"
            _log.info("relay.crowded", ledger_bears_per_s=round(self._crowding.bears), hint=hint)
        return kept

    def _is_crowded(self, events: int) -> bool:
        if not self._crowding.crowded:
            return False
        self._crowding = self._crowding.arrived(events, now_s=self._clock.monotonic())
        if not self._crowding.crowded:
            _log.info("relay.uncrowded")
        return self._crowding.crowded

    def _ledger_is_free(self) -> bool:
        if self._late is not None:
            if not self._late.done():
                return False
            self._late = None
            _log.info("relay.ledger-back")
        return self._clock.monotonic() >= self._ledger_rests_until

    async def _tend_regularly(self) -> None:
        """Segments are handed over by time, also when nothing comes. Who is not ready is asked nothing any more by a
        load balancer: so whether things are mended is tried out here."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                wait_s = await loop.run_in_executor(self._spool_thread, self._spool.tend)
                if self.trouble is not None:
                    await loop.run_in_executor(self._spool_thread, self._spool.probe)
                    self.trouble = None
                    _log.info("relay.ready-again")
            except MoSyncError:
                wait_s = _PROBE_AGAIN_S
            except Exception:  # noqa: BLE001  the border of the task: without it no segment would be handed over
                _log.exception("segment.not-tended")
                wait_s = _PROBE_AGAIN_S
            await asyncio.sleep(wait_s)


def _tell(heard: Heard, outcome: Kept | NotKept) -> None:
    try:
        heard(outcome)
    except Exception:  # noqa: BLE001  one who cannot be told must not keep the others from it
        _log.exception("relay.not-told")


def _forget(commit: asyncio.Future[list[Kept]]) -> None:
    """Whatever came of a commit that was no longer waited for: its events are in the spool."""
    if not commit.cancelled() and commit.exception() is not None:
        _log.warning("relay.ledger-failed-late", error=type(commit.exception()).__name__)
