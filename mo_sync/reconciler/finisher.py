"""Makes many finished downloads durable and settles them together.

One at a time, a file costs several waits for the disk: its data, its folder, the ledger. Many together cost little
more than one, so this is a thread of its own that takes whatever has been finished meanwhile.
The order is the promise (P5 to P7): data durable, lease looked at, final name, folder durable, ledger. A final name is
given only where nothing is; where something is, one worker at a time goes from the lease to the ledger (``_exchange``).
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import structlog

from mo_sync.backoff import Policy
from mo_sync.clock import Clock
from mo_sync.errors import LedgerOutOfReach
from mo_sync.fetch import Fetched, disk_trouble
from mo_sync.ledger import Ledger, claims
from mo_sync.ledger.whereabouts import erased_by_now
from mo_sync.lifecycle import Interrupted, Outcome, Settlement, next_state
from mo_sync.reconciler.crew import Result
from mo_sync.reconciler.flight import Flight
from mo_sync.store import Occupied, Placed, Placement, Store

__all__ = ["Finisher", "Watcher"]

_log = structlog.get_logger(__name__)

_LEDGER_PATIENCE_S = 1.0
_GATHER_S = 0.01
_BUSY = "another worker is about to put its file there"
_BUSY_REST_S = 5.0
T = TypeVar("T")

Watcher = Callable[[Sequence[Settlement]], None]
"""Is told of what was settled, after the commit."""


class Finisher:
    """The one thread that places and settles. Results come by :meth:`take`; ``watcher`` hears of what was settled."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        store: Store,
        policy: Policy,
        clock: Clock,
        worker: str,
        flight: Flight,
        batch: int,
        watcher: Watcher,
        marking: bool = False,
    ) -> None:
        self._ledger = ledger
        self._store = store
        self.policy = policy
        self._clock = clock
        self._worker = worker
        self._flight = flight
        self._batch = batch
        self._watcher = watcher
        self._marking = marking
        self._results: queue.SimpleQueue[Result | None] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="finisher", daemon=True)

    def start(self) -> None:
        """Begin to take results. May be repeated."""
        if not self._thread.is_alive():
            self._thread.start()

    def take(self, result: Result) -> None:
        """Finish ``result`` soon. Any thread may call this."""
        self._results.put(result)

    def close(self, *, patience_s: float) -> bool:
        """Finish what was taken and end; whether that was done within ``patience_s``.

        From now on a ledger out of reach is not waited for: its leases run out, and the next pass begins again.
        """
        self._closing.set()
        self._results.put(None)
        self._thread.join(patience_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            batch, last = self._next_batch()
            if batch:
                self._finish_safely(batch)
            if last:
                return

    def _next_batch(self) -> tuple[list[Result], bool]:
        """What is finished, and what more comes within a moment; and whether that was the last."""
        result = self._results.get()
        batch: list[Result] = []
        until = self._clock.monotonic() + _GATHER_S
        while result is not None:
            batch.append(result)
            # Waiting for more makes sense only while more is on its way.
            wait_s = until - self._clock.monotonic() if len(self._flight) > len(batch) else 0.0
            if len(batch) == self._batch:
                return batch, False
            try:
                result = self._results.get(timeout=wait_s) if wait_s > 0 else self._results.get_nowait()
            except queue.Empty:
                return batch, False
        return batch, True

    def _finish_safely(self, batch: list[Result]) -> None:
        try:
            self._finish(batch)
        except LedgerOutOfReach as error:
            _log.error("settle.abandoned", claims=len(batch), error=str(error))
        except Exception:  # noqa: BLE001  the border of the thread: a bug must not stop all settling; leases run out
            _log.exception("settle.crashed", claims=len(batch))
        finally:
            for result in batch:
                if isinstance(result.product, Fetched):
                    result.product.staged.discard()
            self._flight.land(result.claim.lease for result in batch)

    def _finish(self, batch: list[Result]) -> None:
        outcomes, occupied = self._place(batch)
        self._settle(outcomes)
        for result, product in occupied:
            self._exchange(result, product)

    def _exchange(self, result: Result, product: Fetched) -> None:
        """Where something lies already: the lease is looked at, and the ledger told, while nobody else may do the same.

        A worker that was stopped in here finds its lease lost, or nobody has stored anything of this key meanwhile.
        """
        try:
            with self._store.exchange(Placement(product.staged, product.key)) as exchange:
                if exchange is None:
                    self._settle([(result, Interrupted(_BUSY, delay_s=_BUSY_REST_S))])
                elif not self._insist(lambda: claims.owned(self._ledger, [result.claim])):
                    _log_lost(result.claim.attachment_id)
                else:
                    self._settle([(result, _outcome(product, exchange()))])
        except OSError as error:
            self._settle([(result, disk_trouble(error))])

    def _settle(self, outcomes: Sequence[tuple[Result, Outcome]]) -> None:
        now = self._clock.now()
        settlements = [
            Settlement(
                claim=result.claim,
                outcome=outcome,
                transition=next_state(result.claim, outcome, now=now, policy=self.policy, roll=self._clock.roll()),
                started_at=result.started_at,
                finished_at=now,
            )
            for result, outcome in outcomes
        ]
        ours = self._insist(
            lambda: claims.settle(self._ledger, settlements, worker=self._worker, marking=self._marking)
        )
        lost = [result for (result, _), settled in zip(outcomes, ours, strict=True) if not settled]
        for result in lost:
            _log_lost(result.claim.attachment_id)
        self._take_back({r.claim.attachment_id: r.product.key for r in lost if isinstance(r.product, Fetched)})
        self._watcher([s for s, settled in zip(settlements, ours, strict=True) if settled])

    def _take_back(self, places: Mapping[str, str]) -> None:
        """Whoever erased it after its lease was looked at did not find its file yet, and does not look again."""
        if not places:
            return
        for attachment_id in self._insist(lambda: erased_by_now(self._ledger, places)):
            _log.warning("claim.erased", attachment=attachment_id, hint="its file is removed again")
            try:
                self._store.purge(places[attachment_id])
            except OSError as error:
                hint = "mo-sync ledger verify --repair removes it"
                _log.error("erase.file-left", attachment=attachment_id, error=error.strerror, hint=hint)

    def _place(self, batch: list[Result]) -> tuple[list[tuple[Result, Outcome]], list[tuple[Result, Fetched]]]:
        """Give every fetched file that is still ours its final name: the outcomes, and those whose name is taken."""
        outcomes = [(result, result.product) for result in batch if not isinstance(result.product, Fetched)]
        fetched = [(result, result.product) for result in batch if isinstance(result.product, Fetched)]
        occupied: list[tuple[Result, Fetched]] = []
        if not fetched:
            return outcomes, occupied
        troubles = self._store.harden([product.staged for _, product in fetched])
        owned = self._insist(lambda: claims.owned(self._ledger, [result.claim for result, _ in fetched]))
        whole: list[tuple[Result, Fetched]] = []
        for (result, product), trouble in zip(fetched, troubles, strict=True):
            if result.claim.lease not in owned:
                _log_lost(result.claim.attachment_id)
            elif trouble is not None:
                outcomes.append((result, disk_trouble(trouble)))
            else:
                whole.append((result, product))
        answers = self._store.place([Placement(product.staged, product.key) for _, product in whole])
        for (result, product), answer in zip(whole, answers, strict=True):
            if isinstance(answer, Occupied):
                occupied.append((result, product))
            else:
                outcomes.append((result, _outcome(product, answer)))
        return outcomes, occupied

    def _insist(self, do: Callable[[], T]) -> T:
        """Do it, and again while the ledger is out of reach, until this finisher is closed."""
        told: str | None = None
        while True:
            try:
                return do()
            except LedgerOutOfReach as error:
                if self._closing.is_set():
                    raise
                if error.code != told:
                    told = error.code
                    _log.warning("settle.waiting", error=str(error))
                self._clock.wait(self._closing, _LEDGER_PATIENCE_S)


def _outcome(product: Fetched, answer: Placed | OSError) -> Outcome:
    return disk_trouble(answer) if isinstance(answer, OSError) else product.stored()


def _log_lost(attachment_id: str) -> None:
    _log.warning("claim.lost", attachment=attachment_id, hint="its lease ran out; another worker has it now")
