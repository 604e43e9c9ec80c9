"""The numbers themselves, read when they are asked for: from the ledger, the store, and this process.

Each state is always there, also when it counts nothing, and ages are told in seconds: silence must not look like
health. Ids of applications come from events, which strangers may write, so only so many of them are told.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from mo_sync.errors import LedgerOutOfReach, StoreOutOfReach
from mo_sync.ledger import Ledger, queries
from mo_sync.ledger.gaps import ABOUT_MESSAGES, Kind
from mo_sync.ledger.inboxes import Inboxes
from mo_sync.ledger.queries import Status
from mo_sync.ledger.rows import ApplicationRow
from mo_sync.lifecycle import Failed, Interrupted, Refused, Settlement, Standing, Stored
from mo_sync.store import Store

__all__ = ["Exposition", "Seen"]

_MOST_APPLICATIONS: Final = 500
_OUTCOMES: Final = ("stored", "failed", "refused", "interrupted")


class Seen:
    """Counts what this process settled. :meth:`tell` is for the reconciler, the rest for any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._outcomes = Counter(dict.fromkeys(_OUTCOMES, 0))
        self._bytes = 0

    def tell(self, settlements: Sequence[Settlement]) -> None:
        """Take in what was settled."""
        with self._lock:
            for settlement in settlements:
                self._outcomes[type(settlement.outcome).__name__.lower()] += 1
                self._bytes += _received(settlement)

    def counted(self) -> tuple[dict[str, int], int]:
        """Attempts by outcome, and bytes that came, since this process began."""
        with self._lock:
            return dict(self._outcomes), self._bytes


@dataclass(frozen=True)
class Exposition(Collector):
    """What is read for one answer. ``pace`` is how many fetches at once an application gets now, ``in_the_air`` how
    many there are; ``ages`` are the seconds since each job of the daemon last completed a tick."""

    version: str
    ledger: Ledger
    store: Store
    seen: Seen
    pace: Callable[[str], int]
    in_the_air: Callable[[], int]
    ages: Callable[[], Mapping[str, float]]
    now: Callable[[], datetime]

    def describe(self) -> Iterable[Metric]:
        """Nothing beforehand: to register it must not ask the ledger."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """All of it. A ledger or store out of reach leaves its own numbers out, and says so in one."""
        yield InfoMetricFamily("mo_sync", "The program.", value={"version": self.version})
        yield from self._of_this_process()
        yield from self._of_the_store()
        try:
            status = queries.status(self.ledger, now=self.now())
        except LedgerOutOfReach:
            yield _gauge("ledger_reachable", "Whether the ledger could be read.", 0)
            return
        yield _gauge("ledger_reachable", "Whether the ledger could be read.", 1)
        yield from self._of_the_ledger(status)
        yield from self._of_applications(status.applications[:_MOST_APPLICATIONS])
        yield from self._of_inboxes(status.inboxes)

    def _of_this_process(self) -> Iterator[Metric]:
        outcomes, received = self.seen.counted()
        yield _counter("attempts", "Attempts that ended, by outcome.", outcomes, "outcome")
        yield CounterMetricFamily("mo_sync_received_bytes", "Bytes of attachments that came.", value=received)
        yield _gauge("in_the_air", "Attachments that are being fetched by this process.", self.in_the_air())
        yield _gauges("job_age_seconds", "Since each job last completed a tick.", self.ages(), "job")

    def _of_the_store(self) -> Iterator[Metric]:
        try:
            yield _gauge("store_free_bytes", "Free space where the files go.", self.store.free_bytes())
        except StoreOutOfReach:
            yield _gauge("store_reachable", "Whether the store could be asked.", 0)
        else:
            yield _gauge("store_reachable", "Whether the store could be asked.", 1)

    def _of_the_ledger(self, status: Status) -> Iterator[Metric]:
        yield _gauges("attachments", "Attachments in each state.", status.attachments, "state")
        yield _gauges("events", "Events in each state.", status.events, "state")
        yield _gauge("messages", "Messages that were recorded.", status.messages)
        yield _gauge("deliveries", "Events with all their repetitions.", status.deliveries)
        yield _gauge("stored_bytes", "Bytes of all stored files.", status.stored_bytes)
        oldest, overdue = self._since(status.oldest_pending), self._since(status.overdue_since)
        yield _gauge("oldest_pending_seconds", "Since the oldest of all pending attachments was announced.", oldest)
        yield _gauge("overdue_seconds", "How long what is due now, of applications at work, waits at most.", overdue)

    def _since(self, at: datetime | None) -> float:
        return max(0.0, (self.now() - at).total_seconds()) if at is not None else 0.0

    def _of_applications(self, applications: Iterable[ApplicationRow]) -> Iterator[Metric]:
        state = GaugeMetricFamily(
            "mo_sync_application_state", "1 for how an application stands.", labels=["application", "state"]
        )
        workers, failures = {}, {}
        for one in applications:
            for standing in Standing:
                state.add_metric([one.id, standing.value], float(one.state == standing))
            workers[one.id] = self.pace(one.id)
            failures[one.id] = one.failures
        yield state
        yield _gauges("application_workers", "Fetches at once that its gateway bears.", workers, "application")
        yield _gauges("application_failures", "Tries in a row that were in vain.", failures, "application")

    def _of_inboxes(self, inboxes: Inboxes) -> Iterator[Metric]:
        now = self.now()
        ages = {
            name: max(0.0, (now - place.seen_to).total_seconds())
            for name, place in inboxes.places.items()
            if place.seen_to is not None
        }
        troubles = Counter(one.kind for one in inboxes.troubles)
        yield _gauges("inbox_age_seconds", "Up to how long ago each inbox was seen.", ages, "inbox")
        brought = "Messages of the last day that only the inbox brought: above 0, the webhook loses some."
        yield _gauge("inbox_recovered_messages", brought, inboxes.recovered_last_day)
        yield _gauges("marks", "Messages that are to be marked as PROCESSED, or could not be.", inboxes.marks, "state")
        silent = {kind.value: float(troubles[kind.value]) for kind in Kind if kind not in ABOUT_MESSAGES}
        yield _gauges("inbox_troubles", "Inboxes out of reach or empty, and silent applications.", silent, "kind")


def _received(settlement: Settlement) -> int:
    match settlement.outcome:
        case Stored(size=size):
            return size
        case Failed(received_bytes=size) | Refused(received_bytes=size):
            return size
        case Interrupted():
            return 0


def _gauge(name: str, meaning: str, value: float) -> Metric:
    return GaugeMetricFamily(f"mo_sync_{name}", meaning, value=value)


def _gauges(name: str, meaning: str, values: Mapping[str, float], label: str) -> Metric:
    family = GaugeMetricFamily(f"mo_sync_{name}", meaning, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def _counter(name: str, meaning: str, values: Mapping[str, float], label: str) -> Metric:
    family = CounterMetricFamily(f"mo_sync_{name}", meaning, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family
