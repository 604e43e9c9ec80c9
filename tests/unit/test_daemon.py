"""What the daemon tells of its jobs."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any, cast

from structlog.testing import capture_logs

from mo_sync.daemon import Daemon
from mo_sync.reconciler import Worked
from mo_sync.service import Service
from tests.clocks import HandClock


class Reconciler:
    """One that answers what it was given, in order."""

    def __init__(self, *no_rooms: str | None) -> None:
        self._no_rooms = iter(no_rooms)

    def work(self, stop: threading.Event, *, for_s: float) -> Worked:
        return Worked(claimed=0, idle=True, no_room=next(self._no_rooms))


def daemon(reconciler: Reconciler) -> Daemon:
    service = cast("Service", SimpleNamespace(reconciler=reconciler))
    return Daemon(service, clock=HandClock(), environ={}, reload=lambda settings: (settings, []))


def test_a_pause_is_logged_when_it_begins_and_when_it_ends_however_its_numbers_change() -> None:
    ticks = (None, "900MB are free", "899MB are free", "the disk is full", None, None, "1MB is free")
    working = daemon(Reconciler(*ticks))

    with capture_logs() as log:
        for _ in ticks:
            working._reconcile()

    told: list[tuple[str, Any]] = [(entry["event"], entry.get("reason")) for entry in log]
    assert told == [
        ("reconcile.paused", "900MB are free"),
        ("reconcile.resumed", None),
        ("reconcile.paused", "1MB is free"),
    ]
