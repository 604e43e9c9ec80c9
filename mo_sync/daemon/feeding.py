"""The daemon's jobs that look for what is new: the drop folder, the inboxes, and what is told to Syniverse of them."""

from __future__ import annotations

import threading
from collections.abc import Callable

from mo_sync.clock import Clock
from mo_sync.daemon.ticks import Job, Ticks
from mo_sync.service import Service

__all__ = ["Feeding"]

_TICK_LIMIT_S = 120.0
_PUT_OFF_S = 10.0
_LOOK_S = 30.0
_MARK_S = 10.0


class Feeding:
    """These jobs, each of which ends soon after ``stop``.

    ``crowded`` says whether what can wait had better wait; ``nudge`` lets another job have its turn at once.
    """

    def __init__(
        self,
        service: Service,
        clock: Clock,
        ticks: Ticks,
        stop: threading.Event,
        *,
        crowded: Callable[[], bool],
        nudge: Callable[[str], None],
    ) -> None:
        self._service = service
        self._clock = clock
        self._ticks = ticks
        self._stop = stop
        self._crowded = crowded
        self._nudge = nudge
        self._ingested_at_s = clock.monotonic()

    def jobs(self) -> list[Job]:
        """Those of the feeds that there are."""
        settings = self._service.settings
        jobs: list[Job] = []
        if self._service.drop is not None:
            interval_s = settings.drop.interval
            jobs.append(Job("drop", self.ingest, interval_s, _TICK_LIMIT_S + interval_s))
        if self._service.inbox is not None:
            interval_s = min(_LOOK_S, settings.inbox.interval)
            jobs.append(Job("inbox", self._look, interval_s, _TICK_LIMIT_S + interval_s))
            jobs.append(Job("backfill", self._fill, _LOOK_S, _TICK_LIMIT_S + _LOOK_S))
        if self._service.marking is not None:
            jobs.append(Job("mark", self._mark, _MARK_S, _TICK_LIMIT_S + _MARK_S))
        return jobs

    def ingest(self) -> None:
        """Take what lies in the drop folder, unless that had better wait."""
        if self._can_wait():
            return
        receipt = self._service.ingest(self._ingesting_on)
        if not self._can_wait():
            self._ingested_at_s = self._clock.monotonic()
        if receipt.new:
            self._nudge("reconcile")

    def _ingesting_on(self) -> bool:
        """Asked between batches of a scan, which may go on for an hour when a backlog was dropped."""
        self._ticks.progressed("drop")
        return self._stop.is_set() or self._can_wait()

    def _can_wait(self) -> bool:
        """Whether what lies in the drop folder had better wait: what the relay puts there while it is crowded is the
        same work for interpreter and ledger as what keeps its clients waiting. Now and then its turn comes anyway."""
        since_s = self._clock.monotonic() - self._ingested_at_s
        return since_s < _PUT_OFF_S and self._crowded()

    def _look(self) -> None:
        """Whose turn it is, the feed knows: here it is only asked often enough."""
        looked = self._service.look(self._going_on("inbox"))
        self._go_on_after(new=looked.receipt.new, spans=looked.spans)

    def _fill(self) -> None:
        looked = self._service.fill(self._going_on("backfill"), between=self._let_others_pass)
        self._go_on_after(new=looked.receipt.new, spans=looked.spans)

    def _go_on_after(self, *, new: int, spans: int) -> None:
        if new:
            self._nudge("reconcile")
        if spans:
            self._nudge("backfill")

    def _let_others_pass(self) -> None:
        """What came long ago waits while there is much that came just now."""
        while self._service.is_busy and not self._clock.wait(self._stop, 1.0):
            self._ticks.progressed("backfill")

    def _going_on(self, name: str) -> Callable[[], bool]:
        """Whether to stop, asked all the time in the middle of a tick of ``name``: a sign of life."""

        def stopped() -> bool:
            self._ticks.progressed(name)
            return self._stop.is_set()

        return stopped

    def _mark(self) -> None:
        if self._service.marking is not None:
            self._service.marking.tell(self._going_on("mark"))
