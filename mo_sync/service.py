"""The composition root: settings in, a wired whole out; and one pass over everything.

Nothing else in the house constructs the rooms it uses. :meth:`Service.sync_now` is what ``mo-sync --sync-now`` does and
what the daemon's jobs do in smaller steps.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import structlog

from mo_sync.backoff import Policy
from mo_sync.clock import Clock
from mo_sync.errors import ExitCode
from mo_sync.feeds.drop import DropFeed
from mo_sync.fetch import Fetcher
from mo_sync.gateway import Credentials, Gateway
from mo_sync.intake import Intake, Receipt
from mo_sync.ledger import Ledger, claims, queries
from mo_sync.lifecycle import Failed, Settlement, State, Stored
from mo_sync.presence import worker_name
from mo_sync.reconciler import Reconciler
from mo_sync.settings import Retry, Settings
from mo_sync.store import Store, open_store
from mo_sync.verdicts import Verdict

__all__ = ["Service", "Summary", "Tally", "exit_code", "policy_of"]

_log = structlog.get_logger(__name__)

_NEEDS_A_PERSON = (State.FAILED, State.MISSING, State.REFUSED, State.QUARANTINED)
_WILL_BE_RETRIED = (State.PENDING, State.FETCHING)


@dataclass(slots=True)
class Tally:
    """What one pass did, counted as it is settled. Several threads may add; one reads at the end."""

    states: Counter[State] = field(default_factory=Counter)
    stored_bytes: int = 0
    unanswered: int = 0
    held_applications: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, settlements: Sequence[Settlement]) -> None:
        """Count these."""
        with self._lock:
            for settlement in settlements:
                self._add(settlement)

    def _add(self, settlement: Settlement) -> None:
        self.states[settlement.transition.state] += 1
        match settlement.outcome:
            case Stored(size=size):
                self.stored_bytes += size
            case Failed(verdict=Verdict.HOLD):
                self.held_applications.add(settlement.claim.application_id)
            case Failed(status=None):
                self.unanswered += 1

    @property
    def gateway_silent(self) -> bool:
        """Whether every single attempt ended without any answer."""
        return self.unanswered > 0 and self.unanswered == self.states.total()


@dataclass(frozen=True, slots=True)
class Summary:
    """What one pass did, and what the ledger holds afterwards. Durations in seconds."""

    receipt: Receipt
    settled: dict[str, int]
    stored_bytes: int
    ledger: dict[str, int]
    held_applications: tuple[str, ...]
    beside: tuple[str, ...]
    paused: str | None
    interrupted: bool
    took_s: float
    exit_code: ExitCode


def policy_of(retry: Retry) -> Policy:
    """The retry policy that the settings ask for."""
    return Policy(
        base_s=retry.base,
        max_delay_s=retry.max_delay,
        max_attempts=retry.max_attempts,
        absent_attempts=retry.absent_attempts,
        give_up_after_s=retry.give_up_after,
        snooze_s=retry.snooze,
        hold_s=retry.hold,
    )


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
        intake: Intake,
        drop: DropFeed | None,
        fetcher: Fetcher,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.worker = worker
        self.ledger = ledger
        self.store = store
        self.gateway = gateway
        self.intake = intake
        self.drop = drop
        self._fetcher = fetcher
        self._watchers: list[Callable[[Sequence[Settlement]], None]] = [_log_settled]
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
            abort=gateway.abort,
        )

    @classmethod
    def open(cls, settings: Settings, *, clock: Clock) -> Service:
        """Open ledger and store, make the rooms. Raises MoSyncError, and then leaves nothing open."""
        worker = worker_name()
        policy = policy_of(settings.retry)
        ledger = Ledger.open(settings.ledger)
        try:
            store = open_store(settings.store, worker=worker)
        except BaseException:
            ledger.close()
            raise
        gateway = Gateway(settings.gateway, Credentials(settings.gateway, settings.applications), clock)
        intake = Intake(ledger, clock, give_up_after_s=policy.give_up_after_s)
        drop = DropFeed(settings.drop, settings.limits, intake, clock, worker) if settings.drop.path else None
        fetcher = Fetcher(gateway, store, settings.limits, policy, clock)
        return cls(
            settings=settings,
            clock=clock,
            worker=worker,
            ledger=ledger,
            store=store,
            gateway=gateway,
            intake=intake,
            drop=drop,
            fetcher=fetcher,
        )

    def watch(self, watcher: Callable[[Sequence[Settlement]], None]) -> None:
        """Tell ``watcher`` of everything that is settled, after its commit."""
        self._watchers.append(watcher)

    def rescue(self) -> int:
        """Make due again what dead workers held: at once for those seen dead here, else when their leases run out."""
        dead = self.store.sweep()
        now = self.clock.now()
        freed = claims.rescue(self.ledger, dead, now=now) if dead else []
        freed = [*freed, *claims.expire(self.ledger, now=now)]
        if freed:
            _log.info("claims.rescued", count=len(freed), dead_workers=len(dead))
        return len(freed)

    def ingest(self, stop: Callable[[], bool], *, wait_for_settle: bool = False) -> Receipt:
        """Read every feed once. ``stop`` is asked between batches, and so is a sign of progress too."""
        if self.drop is None:
            return Receipt()
        return self.drop.ingest(stop, wait_for_settle=wait_for_settle)

    def sync_now(self, stop: threading.Event, *, hurry: threading.Event | None = None) -> Summary:
        """One pass: ingest every feed, reconcile until nothing is due, and say what came of it.

        ``stop`` ends it early, letting fetches finish; ``hurry`` does not even wait for those.
        """
        began = self.clock.monotonic()
        tally = Tally()
        self.watch(tally.add)
        self.rescue()
        receipt = self.ingest(stop.is_set, wait_for_settle=True)
        worked = self.reconciler.work(stop)
        self.reconciler.close(grace_s=self.settings.sync.stop_grace, hurry=hurry)
        counts = queries.counts(self.ledger)
        return Summary(
            receipt=receipt,
            settled={state.value: count for state, count in sorted(tally.states.items())},
            stored_bytes=tally.stored_bytes,
            ledger={state.value: count for state, count in counts.items() if count},
            held_applications=tuple(sorted(tally.held_applications)),
            beside=tuple(self.store.neighbours()),
            paused=worked.no_room,
            interrupted=stop.is_set(),
            took_s=self.clock.monotonic() - began,
            exit_code=exit_code(tally, counts, paused=worked.no_room is not None),
        )

    def reload(self, settings: Settings) -> None:
        """Take over what can change while running: patience, limits, tokens. The caller says what needs a restart."""
        policy = policy_of(settings.retry)
        self.settings = settings
        self.gateway.credentials.reload()
        self._fetcher.adopt(settings.limits, policy)
        self.reconciler.adopt(policy, settings.limits)

    def close(self, *, grace_s: float = 0.0, hurry: threading.Event | None = None) -> bool:
        """End the work, then close what was opened. Whether every thread ended. ``hurry`` cuts the grace short."""
        ended = self.reconciler.close(grace_s=grace_s, hurry=hurry)
        if self.drop is not None:
            self.drop.close()
        self.gateway.close()
        self.store.close()
        self.ledger.close()
        return ended

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _settled(self, settlements: Sequence[Settlement]) -> None:
        for watcher in self._watchers:
            watcher(settlements)


def exit_code(tally: Tally, counts: dict[State, int], *, paused: bool) -> ExitCode:
    """What a pass exits with: come back (4, or 75 when nothing was possible), look (5), or done (0)."""
    if any(counts.get(state) for state in _WILL_BE_RETRIED):
        return ExitCode.NOTHING_POSSIBLE_NOW if paused or tally.gateway_silent else ExitCode.WORK_REMAINS
    if any(counts.get(state) for state in _NEEDS_A_PERSON):
        return ExitCode.NEEDS_A_PERSON
    return ExitCode.SETTLED


def _log_settled(settlements: Sequence[Settlement]) -> None:
    """One line per attachment: at info what came to rest, at warning what needs a person, else at debug."""
    for settlement in settlements:
        state = settlement.transition.state
        log = _log.warning if state in _NEEDS_A_PERSON else _log.info
        log(
            f"attachment.{state}",
            attachment=settlement.claim.attachment_id,
            message=settlement.claim.message_id,
            application=settlement.claim.application_id,
            attempts=settlement.transition.attempts,
            reason=settlement.transition.reason,
            due_at=settlement.transition.due_at.isoformat() if settlement.transition.due_at else None,
            size=settlement.outcome.size if isinstance(settlement.outcome, Stored) else None,
        )
