"""Drives every due attachment to a verified file, or to a state that explains itself.

Three kinds of thread, each with one job::

    caller    claims as many attachments as there are idle workers     ledger -> claims
    workers   fetch one claim each, into a temporary file              claims -> results
    finisher  makes many results durable and settles them together     results -> store, ledger

A claim is lent, not given: its lease is extended while the fetch lives (by a fourth, the keeper), looked at once more
before the file gets its final name, and shown when it is settled. Whoever lost it changes nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog

from mo_sync.backoff import Policy
from mo_sync.clock import Clock
from mo_sync.errors import LedgerOutOfReach
from mo_sync.fetch import Fetched
from mo_sync.findings import nothing_ever_lay_there
from mo_sync.gateway.pace import Answer, Paces, share_of
from mo_sync.ledger import Ledger, applications, claims
from mo_sync.ledger.verification import settled_count
from mo_sync.lifecycle import Claim, Interrupted, Outcome, Settlement
from mo_sync.reconciler.crew import Crew, Fetch
from mo_sync.reconciler.finisher import Finisher, Watcher
from mo_sync.reconciler.flight import Flight
from mo_sync.settings import Limits, Sync
from mo_sync.store import Store

__all__ = ["Reconciler", "Worked"]

_log = structlog.get_logger(__name__)

_GATHER_S = 0.02
_LOOK_AGAIN_S = 0.05
_BREAK_OFF_S = 2.0
_CLOSE_S = 5.0


@dataclass(frozen=True, slots=True)
class Worked:
    """Why :meth:`Reconciler.work` returned. ``idle``: nothing is due and nothing in the air.

    ``no_room`` is the sentence that says why nothing may be fetched now, when that is so.
    """

    claimed: int
    idle: bool
    no_room: str | None = None


class Reconciler:
    """Claims, fetches and settles. :meth:`work` may be called again and again, by one thread at a time.

    ``watcher`` hears of what was settled; ``abort`` ends waits for the network when the grace of a stop is over.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        store: Store,
        fetch: Fetch,
        policy: Policy,
        sync: Sync,
        limits: Limits,
        clock: Clock,
        worker: str,
        watcher: Watcher,
        abort: Callable[[], None],
        paces: Paces,
        marking: bool = False,
    ) -> None:
        """``marking`` as for :func:`mo_sync.ledger.claims.settle`."""
        self._ledger = ledger
        self._store = store
        self._sync = sync
        self.limits = limits
        self._clock = clock
        self._worker = worker
        self._abort = abort
        self._fetch = fetch
        self._paces = paces
        self._flight = Flight(sync.workers, backlog=sync.batch)
        self._finisher = Finisher(
            ledger=ledger,
            store=store,
            policy=policy,
            clock=clock,
            worker=worker,
            flight=self._flight,
            batch=sync.batch,
            watcher=self._settled,
            marking=marking,
        )
        self._watcher = watcher
        self._store_rests: tuple[float, str] | None = None
        self._crew = Crew(
            self._fetch_at_pace, size=sync.workers, flight=self._flight, finished=self._finisher.take, clock=clock
        )
        self._closing = threading.Event()
        self._keeper = threading.Thread(target=self._keep_leases, name="lease-keeper", daemon=True)
        self._started = False
        self._noted: dict[str, int | None] = {}

    def adopt(self, policy: Policy, limits: Limits) -> None:
        """From now on be this patient and this strict (after a reload)."""
        self._finisher.policy = policy
        self.limits = limits

    def work(self, stop: threading.Event, *, for_s: float | None = None) -> Worked:
        """Claim and fetch until nothing is due and all is settled, or ``stop`` is set, or ``for_s`` seconds passed.

        What is in the air then goes on. Raises LedgerOutOfReach when nothing can be claimed.
        """
        self._start()
        until = None if for_s is None else self._clock.monotonic() + for_s
        claimed = 0
        while not stop.is_set():
            if no_room := self._no_room():
                return Worked(claimed, idle=False, no_room=no_room)
            new = self._claim_for_idle_workers()
            claimed += new
            if not new:
                quiet_s = self._paces.quiet_s(self._clock.monotonic())
                if len(self._flight):
                    self._flight.wait_for_landing(patience_s=_LOOK_AGAIN_S)
                elif quiet_s:
                    self._clock.wait(stop, quiet_s)
                else:
                    no_room = self._no_room()  # what landed last may have told it
                    return Worked(claimed, idle=no_room is None, no_room=no_room)
            if until is not None and self._clock.monotonic() >= until:
                break
        return Worked(claimed, idle=False)

    def in_the_air(self) -> int:
        """How many claims are being worked on."""
        return len(self._flight)

    def pace(self, application_id: str) -> int:
        """How many of its attachments may be fetched at once now, as its gateway bears it."""
        return self._paces.limit(application_id, self._clock.monotonic())

    def close(self, *, grace_s: float, hurry: threading.Event | None = None) -> bool:
        """Let running fetches finish within ``grace_s`` seconds, then break them off and give their claims back.

        ``hurry``, once set, ends the grace. A second call does nothing more.
        No attempt is used up by what was broken off. Whether every thread ended; one that hangs in a silent socket is
        left behind: its claim was given back, and a late settle of it changes nothing.
        """
        if not self._started or self._closing.is_set():
            return True
        self._wait_for_landings(grace_s, hurry)
        self._closing.set()
        self._crew.break_off()
        if len(self._flight):
            self._abort()
        self._flight.wait_until_empty(patience_s=_BREAK_OFF_S)
        self._give_back_the_rest()
        ended = self._crew.close(patience_s=0.5)
        ended = self._finisher.close(patience_s=_CLOSE_S) and ended
        self._keeper.join(_CLOSE_S)
        return ended and not self._keeper.is_alive()

    def _wait_for_landings(self, grace_s: float, hurry: threading.Event | None) -> None:
        until = self._clock.monotonic() + grace_s
        while not (hurry and hurry.is_set()):
            left_s = until - self._clock.monotonic()
            if left_s <= 0 or self._flight.wait_until_empty(patience_s=min(left_s, 0.1)):
                return

    def _start(self) -> None:
        if not self._started:
            # Each may fail for want of threads; then the next call goes on where this one ended.
            self._finisher.start()
            if not self._keeper.is_alive():
                self._keeper.start()
            self._started = True

    def _claim_for_idle_workers(self) -> int:
        gather = max(1, self._sync.workers // 4)
        room = self._flight.wait_for_room(gather, patience_s=_GATHER_S)
        count = min(room, self._sync.batch)
        if not count:
            self._flight.wait_for_room(1, patience_s=_LOOK_AGAIN_S)
            return 0
        lent = claims.claim(
            self._ledger,
            worker=self._worker,
            count=count,
            now=self._clock.now(),
            lease_s=self._sync.lease,
            room=self._room,
        )
        if lent:
            _log.debug("claims.taken", count=len(lent))
            self._crew.hand_out(lent)
        return len(lent)

    def _room(self, application_id: str, alone: bool) -> int:
        """How many more of its attachments may be fetched now: what it bears, and what it leaves to others."""
        busy = self._flight.fetching(application_id)
        bears = self._paces.limit(application_id, self._clock.monotonic()) - busy
        return min(bears, share_of(self._flight.room(), busy, alone=alone))

    def _fetch_at_pace(self, claim: Claim, stop: Callable[[], bool]) -> Fetched | Outcome:
        began = self._clock.monotonic()
        product = self._fetch(claim, stop)
        now = self._clock.monotonic()
        if isinstance(product, Fetched):
            self._paces.tell(claim.application_id, claim.attachment_id, Answer.GOOD, began=began, now=now)
            return product
        return self._paces.judge(claim, product, began=began, now=now, rest_s=self._finisher.policy.base_s)

    def note_pace(self) -> None:
        """Write down how fast each application goes, where that changed. Raises LedgerOutOfReach."""
        paces = self._paces.slowed()
        changed = {name: count for name, count in paces.items() if self._noted.get(name) != count}
        applications.note_pace(self._ledger, changed)
        self._noted = paces

    def _settled(self, settlements: Sequence[Settlement]) -> None:
        """What is everybody's trouble, as a store that cannot be written to, lets nothing be claimed for a while."""
        for settlement in settlements:
            outcome = settlement.outcome
            if isinstance(outcome, Interrupted) and outcome.everybody:
                self._store_rests = (self._clock.monotonic() + outcome.delay_s, outcome.reason)
        self._watcher(settlements)

    def _no_room(self) -> str | None:
        rests = self._store_rests
        if rests is not None and self._clock.monotonic() < rests[0]:
            return rests[1]
        free = self._store.free_bytes()
        if free >= self.limits.min_free:
            return self._another_store()
        return f"the store has {free:,} bytes free and limits.min_free asks for {self.limits.min_free:,}"

    def _another_store(self) -> str | None:
        """What is put where a disk is to be mounted is hidden by it afterwards."""
        if not self._store.untouched() or not (count := settled_count(self._ledger)):
            return None
        return nothing_ever_lay_there(count)

    def _keep_leases(self) -> None:
        """Extend what is in the air three times a lease, so that a long download keeps what it was lent."""
        while not self._clock.wait(self._closing, self._sync.lease / 3):
            try:
                self.extend_leases()
            except Exception:  # noqa: BLE001  the border of the thread: without it every long download would be lost
                _log.exception("leases.keeper-stumbled")

    def extend_leases(self) -> None:
        """Extend the lease of everything in the air, counted from now. A ledger out of reach is logged."""
        flying = self._flight.claims()
        if not flying:
            return
        until = self._clock.now() + timedelta(seconds=self._sync.lease)
        try:
            kept = claims.extend(self._ledger, flying, until=until)
        except LedgerOutOfReach as error:
            _log.warning("leases.not-extended", error=str(error), claims=len(flying))
        else:
            self._flight.extended(kept, until)

    def _give_back_the_rest(self) -> None:
        rest = self._flight.claims()
        if not rest:
            return
        try:
            given = claims.give_back(self._ledger, rest, now=self._clock.now(), reason="stopped")
        except LedgerOutOfReach as error:
            _log.warning("claims.not-given-back", error=str(error), claims=len(rest), hint="their leases run out")
        else:
            _log.info("claims.given-back", count=given)
        self._flight.land(claim.lease for claim in rest)
