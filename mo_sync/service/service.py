"""The composition root: settings in, a wired whole out.

Nothing else in the house constructs the rooms it uses. :meth:`Service.sync_now` is what ``mo-sync --sync-now`` does and
what the daemon's jobs do in smaller steps.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from datetime import date
from functools import partial
from types import TracebackType
from typing import Self

import structlog

from mo_sync.clock import Clock, Drift
from mo_sync.errors import LedgerOutOfReach
from mo_sync.feeds.drop import DropFeed
from mo_sync.feeds.dropcopies import forget_days
from mo_sync.feeds.inbox.feed import InboxFeed, Looked
from mo_sync.feeds.inbox.marking import Marking
from mo_sync.feeds.inbox.setting_up import inbox_feed
from mo_sync.feeds.relay.spool import adopt
from mo_sync.fetch import Fetcher, Inspection
from mo_sync.gateway import Credentials, Gateway
from mo_sync.gateway.pace import Paces, Spacing
from mo_sync.intake import Intake, Receipt
from mo_sync.ledger import Ledger, applications, claims, queries, timekeeping
from mo_sync.ledger.duties import Duties
from mo_sync.lifecycle import Settlement
from mo_sync.presence import worker_name
from mo_sync.reconciler import Reconciler
from mo_sync.scan import Scanner
from mo_sync.service.beginning import may_begin
from mo_sync.service.chosen import ceilings_of, furthest_s, policy_of, rate_of, scanner_of
from mo_sync.service.passes import Summary, one_pass
from mo_sync.settings import Drop, Settings
from mo_sync.store import Store, open_store
from mo_sync.tally import Standings, log_settled
from mo_sync.upkeep.rounds import Rounds

__all__ = ["Service"]

_log = structlog.get_logger(__name__)

_JUMP_S = 5.0
_LONGEST_LEASES = 10
_BUSY = 1_000


class Service:
    """Everything wired. Make it with :meth:`open`; it is a context manager that closes what it opened."""

    def __init__(
        self,
        *,
        settings: Settings,
        clock: Clock,
        worker: str,
        ledger: Ledger,
        store: Store,
        gateway: Gateway,
        scanner: Scanner | None,
        intake: Intake,
        drop: DropFeed | None,
        inbox: InboxFeed | None,
        fetcher: Fetcher,
        opened: contextlib.ExitStack,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.worker = worker
        self.ledger = ledger
        self.store = store
        self.gateway = gateway
        self._scanner = scanner
        self.intake = intake
        self.drop = drop
        self.inbox = inbox
        self.marking = (
            Marking(gateway.inbox.mark_processed, ledger, clock, Duties(ledger, worker, clock))
            if settings.inbox.mark_processed
            else None
        )
        self._fetcher = fetcher
        self._opened = opened
        self._watchers: list[Callable[[Sequence[Settlement]], None]] = [log_settled, Standings().tell]
        self._drift = Drift(clock)
        self.rounds = Rounds(ledger, store, settings, clock, worker, forget_days=partial(_forget_days, settings.drop))
        self._leases_count_from = clock.monotonic()
        self.reconciler = Reconciler(
            ledger=ledger,
            store=store,
            fetch=lambda claim, stop: fetcher.fetch(claim, stop=stop),
            policy=policy_of(settings.retry),
            sync=settings.sync,
            limits=settings.limits,
            clock=clock,
            worker=worker,
            watcher=self._settled,
            abort=self._abort,
            paces=Paces(settings.sync.workers, ceilings_of(settings)),
            marking=settings.inbox.mark_processed,
        )

    @classmethod
    def open(cls, settings: Settings, *, clock: Clock) -> Service:
        """Open ledger and store, make the rooms. Raises MoSyncError, and then leaves nothing open."""
        policy = policy_of(settings.retry)
        with contextlib.ExitStack() as opened:
            ledger = opened.enter_context(Ledger.open(settings.ledger, make=may_begin(settings)))
            worker = worker_name()
            store = open_store(settings.store, worker=worker)
            opened.callback(store.close)
            credentials = Credentials(settings.gateway, settings.applications)
            gateway = Gateway(
                settings.gateway,
                credentials,
                clock,
                spacing=Spacing(lambda name: rate_of(settings, name)),
                guard=Duties(ledger, worker, clock),
            )
            opened.callback(gateway.close)
            scanner = scanner_of(settings.scan)
            inspection = Inspection(scanner, too_large=settings.scan.too_large) if scanner is not None else None
            intake = Intake(ledger, clock, give_up_after_s=policy.give_up_after_s)
            drop = DropFeed(settings.drop, settings.limits, intake, clock, worker) if settings.drop.path else None
            if drop is not None:
                opened.callback(drop.close)
            return cls(
                settings=settings,
                clock=clock,
                worker=worker,
                ledger=ledger,
                store=store,
                gateway=gateway,
                scanner=scanner,
                intake=intake,
                drop=drop,
                inbox=inbox_feed(settings, gateway, ledger, intake, clock=clock, worker=worker),
                fetcher=Fetcher(gateway, store, settings.limits, policy, clock, inspection=inspection),
                opened=opened.pop_all(),
            )

    def watch(self, watcher: Callable[[Sequence[Settlement]], None]) -> None:
        """Tell ``watcher`` of everything that is settled, after its commit."""
        self._watchers.append(watcher)

    def rescue(self) -> int:
        """Make due again what dead workers held: at once for those seen dead here, else when their leases run out.

        Also puts right what a clock that jumped left behind, and takes what a relay that died had not handed over.
        """
        self._keep_time()
        dead = [worker for worker in self.store.sweep() if worker != self.worker]
        if self.settings.drop.path is not None:
            adopt(self.settings.drop.path, self.clock)
        now = self.clock.now()
        freed = claims.rescue(self.ledger, dead, now=now) if dead else []
        if self.clock.monotonic() >= self._leases_count_from:
            freed = [*freed, *claims.expire(self.ledger, now=now)]
        if freed:
            _log.info("claims.rescued", count=len(freed), dead_workers=len(dead))
        return len(freed) + applications.adopt(self.ledger, now=now)

    def _keep_time(self) -> None:
        """After a jump forward every lease looks run out: those that live get the time to be extended."""
        jumped_s, lease_s = self._drift.jumped_s(), self.settings.sync.lease
        if abs(jumped_s) >= _JUMP_S:
            _log.warning("clock.jumped", seconds=round(jumped_s, 1), hint="see how this machine keeps its time")
        if jumped_s >= _JUMP_S:
            self._leases_count_from = self.clock.monotonic() + lease_s
            self.reconciler.extend_leases()
        corrected = timekeeping.put_right(
            self.ledger,
            now=self.clock.now(),
            furthest_s=furthest_s(policy_of(self.settings.retry)),
            lease_s=lease_s,
            longest_lease_s=_LONGEST_LEASES * lease_s,
        )
        if corrected:
            _log.warning("times.put-right", count=corrected, hint="they were written while a clock ran ahead")

    def ingest(self, stop: Callable[[], bool], *, wait_for_settle: bool = False) -> Receipt:
        """Read every feed once. ``stop`` is asked between batches, and so is a sign of progress too."""
        if self.drop is None:
            return Receipt()
        return self.drop.ingest(stop, wait_for_settle=wait_for_settle)

    def look(self, stop: Callable[[], bool]) -> Looked:
        """See what is in the inboxes that nobody announced, if it is their turn. ``stop`` is asked all the time."""
        return self.inbox.look(stop) if self.inbox is not None else Looked()

    def fill(self, stop: Callable[[], bool], *, between: Callable[[], object] = lambda: None) -> Looked:
        """Go on with what was in the inboxes before the first look. ``between`` pages it may be made to wait."""
        return self.inbox.fill(stop, between=between) if self.inbox is not None else Looked()

    @property
    def is_busy(self) -> bool:
        """Whether so much is due that what is not urgent had better wait. Raises LedgerOutOfReach."""
        return queries.more_due_than(self.ledger, _BUSY, now=self.clock.now())

    def sync_now(self, stop: threading.Event, *, hurry: threading.Event | None = None) -> Summary:
        """One pass: ingest every feed, reconcile until nothing is due, and say what came of it.

        ``stop`` ends it early, letting fetches finish; ``hurry`` does not even wait for those.
        """
        return one_pass(self, stop, hurry=hurry)

    def reload(self, settings: Settings) -> None:
        """Take over what can change while running: patience, limits, tokens. The caller says what needs a restart.

        Applications that rest are tried at once: this is how an operator says that something was mended.
        """
        policy = policy_of(settings.retry)
        self.settings = settings
        self.gateway.credentials.reload()
        self._fetcher.adopt(settings.limits, policy)
        self.rounds.settings = settings
        self.reconciler.adopt(policy, settings.limits)
        try:
            released = applications.release(self.ledger, now=self.clock.now())
        except LedgerOutOfReach as error:
            _log.warning("applications.not-released", error=str(error), hint="they are tried when their rest is over")
        else:
            _log.info("applications.released", applications=released)

    def close(self, *, grace_s: float = 0.0, hurry: threading.Event | None = None) -> bool:
        """End the work, then close what was opened. Whether every thread ended. ``hurry`` cuts the grace short."""
        with self._opened:
            return self.reconciler.close(grace_s=grace_s, hurry=hurry)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _abort(self) -> None:
        """End every wait for the network, for good."""
        self.gateway.abort()
        if self._scanner is not None:
            self._scanner.close()

    def _settled(self, settlements: Sequence[Settlement]) -> None:
        for watcher in self._watchers:
            watcher(settlements)


def _forget_days(drop: Drop, before: date) -> tuple[int, dict[str, str]]:
    return forget_days(drop.path, before=before) if drop.path is not None else (0, {})
