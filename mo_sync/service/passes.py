"""One pass over everything: what ``mo-sync --sync-now`` does, and what the daemon's jobs do in smaller steps."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from mo_sync.errors import ExitCode, StoreOutOfReach
from mo_sync.feeds.inbox.feed import Looked
from mo_sync.intake import Receipt
from mo_sync.ledger import applications, queries
from mo_sync.ledger.applications import Troubled
from mo_sync.lifecycle import Standing
from mo_sync.reconciler import Worked
from mo_sync.tally import Tally, exit_code
from mo_sync.upkeep.quarantine import take_back, take_in

if TYPE_CHECKING:
    from mo_sync.service.service import Service

__all__ = ["Summary", "one_pass"]

_log = structlog.get_logger(__name__)

_SHORT_REST_S = 10.0


@dataclass(frozen=True, slots=True)
class Summary:
    """What one pass did, and what the ledger holds afterwards. Durations in seconds."""

    receipt: Receipt
    recovered: int
    inbox_troubles: tuple[str, ...]
    settled: dict[str, int]
    stored_bytes: int
    ledger: dict[str, int]
    applications: tuple[Troubled, ...]
    beside: tuple[str, ...]
    paused: str | None
    left_alone: int
    interrupted: bool
    took_s: float
    exit_code: ExitCode


def one_pass(service: Service, stop: threading.Event, *, hurry: threading.Event | None = None) -> Summary:
    """One pass: ingest every feed, reconcile until nothing is due, and say what came of it.

    ``stop`` ends it early, letting fetches finish; ``hurry`` does not even wait for those.
    """
    began = service.clock.monotonic()
    tally = Tally()
    service.watch(tally.add)
    service.rescue()
    receipt = service.ingest(stop.is_set, wait_for_settle=True)
    looked = _look_through(service, stop)
    worked = _work_through(service, stop)
    service.reconciler.close(grace_s=service.settings.sync.stop_grace, hurry=hurry)
    service.reconciler.note_pace()
    take_in(service.ledger, service.store, service.settings.limits, clock=service.clock, stop=stop.is_set)
    take_back(service.ledger, service.store, stop=stop.is_set)
    _forget(service, stop)
    if service.marking is not None:
        service.marking.tell(stop.is_set)
    counts = queries.counts(service.ledger)
    left_alone = service.drop.left_alone if service.drop is not None else 0
    return Summary(
        receipt=receipt + looked.receipt,
        recovered=looked.recovered,
        inbox_troubles=looked.troubles,
        settled={state.value: count for state, count in sorted(tally.states.items())},
        stored_bytes=tally.stored_bytes,
        ledger={state.value: count for state, count in counts.items() if count},
        applications=tuple(applications.troubled(service.ledger)),
        beside=tuple(service.store.neighbours()),
        paused=worked.no_room,
        interrupted=stop.is_set(),
        took_s=service.clock.monotonic() - began,
        left_alone=left_alone,
        exit_code=exit_code(
            tally,
            counts,
            paused=worked.no_room is not None,
            interrupted=stop.is_set() or bool(looked.troubles),
            unread=left_alone + receipt.rejected,
        ),
    )


def _forget(service: Service, stop: threading.Event) -> None:
    """Where no daemon works, nobody else removes the files of what was erased by who was killed before he could."""
    try:
        service.rounds.finish(stop)
    except StoreOutOfReach as error:
        _log.error("erase.file-left", error=str(error), hint="see whether the store is mounted; it is tried again")


def _look_through(service: Service, stop: threading.Event) -> Looked:
    """All of it; what an inbox in trouble does not show is looked for in another pass."""
    looked = service.look(stop.is_set)
    while not stop.is_set() and not looked.troubles and service.inbox is not None and not service.inbox.is_filled:
        more = service.fill(stop.is_set)
        looked += more
        if not more.spans:
            break  # it is somebody else's turn
    return looked


def _work_through(service: Service, stop: threading.Event) -> Worked:
    """Until nothing is due. A short rest that the gateway asked for is waited for, as long as that helps."""
    while True:
        worked = service.reconciler.work(stop)
        if not worked.idle or stop.is_set():
            return worked
        now = service.clock.now()
        rests = [
            (one.until - now).total_seconds()
            for one in applications.troubled(service.ledger)
            if one.standing is Standing.THROTTLED and one.failures <= 1 and one.until is not None
        ]
        if not rests or min(rests) > _SHORT_REST_S:
            return worked
        service.clock.wait(stop, min(rests))
