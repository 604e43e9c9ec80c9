"""What the daemon tells of its jobs."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from mo_sync.daemon import Daemon
from mo_sync.daemon.feeding import Feeding
from mo_sync.daemon.ticks import Ticks
from mo_sync.errors import StoreOutOfReach
from mo_sync.intake import Receipt
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


class Rounds:
    """Some that note who made them, and with which priority."""

    def __init__(self, answer: bool | BaseException) -> None:
        self.answer = answer
        self.made: list[tuple[str, int]] = []

    def make(self, stop: threading.Event, progressed: Any) -> bool:
        del stop
        progressed()
        own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
        self.made.append((threading.current_thread().name, own))
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


def with_rounds(rounds: Rounds) -> Daemon:
    service = cast("Service", SimpleNamespace(rounds=rounds))
    return Daemon(service, clock=HandClock(), environ={}, reload=lambda settings: (settings, []))


def test_upkeep_has_a_low_priority_that_ends_with_it() -> None:
    rounds = Rounds(False)
    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    with_rounds(rounds)._look_after()

    assert rounds.made == [("upkeep", 19)]
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before


def test_where_a_sandbox_forbids_that_upkeep_is_made_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbid(*_: int) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "setpriority", forbid)
    rounds = Rounds(True)

    with_rounds(rounds)._look_after()

    assert len(rounds.made) == 1


def test_trouble_of_upkeep_is_trouble_of_its_job() -> None:
    with pytest.raises(StoreOutOfReach):
        with_rounds(Rounds(StoreOutOfReach("store-gone", "it is gone")))._look_after()


class Relay:
    """A companion that is crowded, or not."""

    def __init__(self) -> None:
        self.crowded = False


class Feed:
    """A service whose drop folder holds a backlog: it is asked between batches, of a second each, whether to go on."""

    def __init__(self, clock: HandClock, batches: int, busy: Callable[[int], None] = lambda _: None) -> None:
        self.clock, self.batches, self.busy = clock, batches, busy
        self.read = 0

    def ingest(self, stop: Callable[[], bool]) -> Receipt:
        for _ in range(self.batches):
            self.clock.advance(1.0)
            self.read += 1
            self.busy(self.read)
            if stop():
                break
        return Receipt()


def taking(feed: Feed, relay: Relay) -> Feeding:
    service, clock = cast("Service", feed), feed.clock
    stop = threading.Event()
    return Feeding(service, clock, Ticks(clock), stop, crowded=lambda: relay.crowded, nudge=lambda _: None)


def test_what_was_dropped_waits_while_the_relay_is_crowded_but_not_for_ever() -> None:
    relay, feed = Relay(), Feed(HandClock(), 3)
    working = taking(feed, relay)
    relay.crowded = True

    for _ in range(9):
        working.ingest()
        feed.clock.advance(1.0)
    assert feed.read == 0

    feed.clock.advance(1.0)
    working.ingest()
    assert feed.read == 3

    working.ingest()
    assert feed.read == 3


def test_a_pass_over_the_drop_folder_makes_way_for_a_crowd_and_goes_on_when_its_turn_comes() -> None:
    relay = Relay()

    def crowd_comes(read: int) -> None:
        relay.crowded = relay.crowded or read == 2

    feed = Feed(HandClock(), 5, crowd_comes)
    working = taking(feed, relay)

    working.ingest()
    assert feed.read == 2

    working.ingest()
    assert feed.read == 2

    feed.clock.advance(8.0)
    working.ingest()
    assert feed.read == 7
