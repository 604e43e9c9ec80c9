"""``mo-sync run``: the jobs on APScheduler, the signals, the words to systemd.

Each tick of the reconciler is bounded, so that a backlog of hours still completes a tick every few seconds.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import signal
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from datetime import timedelta

import structlog

from mo_sync.clock import Clock
from mo_sync.daemon.companion import Companion
from mo_sync.daemon.feeding import Feeding
from mo_sync.daemon.schedule import Schedule
from mo_sync.daemon.systemd import Systemd
from mo_sync.daemon.ticks import Job, Ticks
from mo_sync.errors import ExitCode, LedgerOutOfReach, MoSyncError
from mo_sync.ledger import processes, queries
from mo_sync.ledger.processes import ProcessRow
from mo_sync.lifecycle import State
from mo_sync.service import Service
from mo_sync.settings import Settings
from mo_sync.signals import heard

__all__ = ["Daemon", "Reload"]

_log = structlog.get_logger(__name__)

_TICK_LIMIT_S = 60.0
_WORK_FOR_S = 5.0
_UPKEEP_S = 60.0
_TOLD = (State.STORED, State.PENDING, State.FAILED)
_NICE = 19  # on Linux a thread's own, and the priority of its reading follows it (ioprio_set(2))

Reload = Callable[[Settings], tuple[Settings, list[str]]]
"""Reads the settings again: the new ones, and the names of those that changed but need a restart."""


class Daemon:
    """A service at work until it is told to stop, with its ``companions`` beside it."""

    def __init__(self, service: Service, *, clock: Clock, environ: Mapping[str, str], reload: Reload) -> None:
        self.companions: list[Companion] = []
        self._service = service
        self._clock = clock
        self._systemd = Systemd(environ, pid=os.getpid())
        self._reload = reload
        self._ticks = Ticks(clock)
        self._stop = threading.Event()
        self._stop_at_once = threading.Event()
        self._reload_wanted = threading.Event()
        self._woken = threading.Event()
        self._schedule = Schedule(self._ticks, clock)
        self._paused: str | None = None
        self._started_at = clock.now()
        self._feeding = Feeding(service, clock, self._ticks, self._stop, crowded=self._is_crowded, nudge=self._nudge)

    def ages(self) -> dict[str, float]:
        """For each job, the seconds since it last completed a tick."""
        return self._ticks.ages()

    def run(self) -> ExitCode:
        """Work until SIGTERM or SIGINT; a second one stops at once. SIGHUP reads the settings again."""
        with heard([signal.SIGTERM, signal.SIGINT, signal.SIGHUP], self._on_signal):
            self._schedule.start(self._jobs())
            watcher = self._watch_drop()
            try:
                for companion in self.companions:
                    companion.start()
            except BaseException:
                self._stop.set()
                self._shut_down(watcher)
                raise
            self._systemd.ready("working")
            _log.info("daemon.ready", worker=self._service.worker, workers=self._service.settings.sync.workers)
            self._wait_for_stop()
            return self._shut_down(watcher)

    def _jobs(self) -> list[Job]:
        sync = self._service.settings.sync
        return [
            Job("rescue", self._rescue, max(1.0, sync.lease / 4), max(_TICK_LIMIT_S, sync.lease)),
            Job("reconcile", self._reconcile, sync.interval, _TICK_LIMIT_S + sync.interval),
            Job("upkeep", self._look_after, _UPKEEP_S, _UPKEEP_S + 2 * _TICK_LIMIT_S),
            Job("heartbeat", self._heartbeat, min(10.0, (self._systemd.watchdog_s or 20.0) / 3), _TICK_LIMIT_S),
            *self._feeding.jobs(),
        ]

    def _is_crowded(self) -> bool:
        return any(one.crowded for one in self.companions)

    def _rescue(self) -> None:
        if self._service.rescue():
            self._nudge("reconcile")

    def _reconcile(self) -> None:
        worked = self._service.reconciler.work(self._stop, for_s=_WORK_FOR_S)
        before, self._paused = self._paused, worked.no_room
        if (worked.no_room is None) is not (before is None):
            if worked.no_room:
                _log.error("reconcile.paused", reason=worked.no_room, hint="it goes on by itself when that is mended")
            else:
                _log.info("reconcile.resumed")
        if not worked.idle and worked.no_room is None:
            self._nudge("reconcile")

    def _look_after(self) -> None:
        """On a thread of its own, whose low priority ends with it: the scheduler's are used again by others."""
        done = Future[bool]()

        def work() -> None:
            with contextlib.suppress(OSError):  # a sandbox may forbid it; the work is as good at another priority
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
            try:
                done.set_result(self._service.rounds.make(self._stop, lambda: self._ticks.progressed("upkeep")))
            except BaseException as error:  # noqa: BLE001  it is raised where the result is waited for
                done.set_exception(error)

        threading.Thread(target=work, name="upkeep", daemon=True).start()
        if done.result():
            self._nudge("reconcile")

    def _heartbeat(self) -> None:
        self._service.reconciler.note_pace()
        counts = queries.at_a_glance(self._service.ledger, _TOLD)
        troubles = self._ticks.troubles() + ([self._paused] if self._paused else [])
        status = ", ".join(f"{count} {state}" for state, count in counts.items())
        self._systemd.status("; ".join([status, *troubles]))
        with contextlib.suppress(LedgerOutOfReach):  # those who need it to work say so
            processes.seen(self._service.ledger, self._said(troubles))

    def _said(self, troubles: list[str]) -> ProcessRow:
        now = self._clock.now()
        ages = self._ticks.ages().items()
        return ProcessRow(
            worker=self._service.worker,
            version=importlib.metadata.version("mo-sync"),
            started_at=self._started_at,
            seen_at=now,
            jobs={name: now - timedelta(seconds=age_s) for name, age_s in ages},
            trouble="; ".join(troubles) or None,
        )

    def _watch_drop(self) -> threading.Thread | None:
        drop = self._service.drop
        if drop is None:
            return None
        thread = threading.Thread(
            target=drop.watch, args=[self._stop, lambda: self._nudge("drop")], name="drop-watch", daemon=True
        )
        thread.start()
        return thread

    def wake(self) -> None:
        """There is something new to be fetched. Any thread may call this."""
        self._nudge("reconcile")

    def _nudge(self, name: str) -> None:
        if not self._stop.is_set():
            self._schedule.nudge(name)

    def _wait_for_stop(self) -> None:
        """The main thread's loop: feed the watchdog, reload when asked, until a stop."""
        pause_s = (self._systemd.watchdog_s or 20.0) / 4
        while not self._stop.is_set():
            late = self._ticks.late() + [one.name for one in self.companions if not one.alive]
            if late:
                _log.error("watchdog.starving", late=late, hint="a job does not complete; systemd will restart us")
            else:
                self._systemd.alive()
            self._schedule.keep_on_time()
            self._clock.wait(self._woken, pause_s)
            self._woken.clear()
            if self._reload_wanted.is_set():
                self._reload_wanted.clear()
                self._take_new_settings()

    def _take_new_settings(self) -> None:
        self._systemd.reloading(self._clock.monotonic())
        try:
            settings, need_restart = self._reload(self._service.settings)
        except MoSyncError as error:
            _log.error("settings.not-reloaded", error=str(error), hint="the old settings stay in force")
        else:
            self._service.reload(settings)
            for companion in self.companions:
                self._reload_companion(companion, settings)
            self._nudge("reconcile")
            _log.info("settings.reloaded", need_restart=need_restart)
        self._systemd.ready("working")

    def _reload_companion(self, companion: Companion, settings: Settings) -> None:
        try:
            companion.reload(settings)
        except MoSyncError as error:
            _log.error(
                "companion.not-reloaded", name=companion.name, error=str(error), hint="the old ones stay in force"
            )

    def _shut_down(self, watcher: threading.Thread | None) -> ExitCode:
        grace_s = self._service.settings.sync.stop_grace
        in_the_air = self._service.reconciler.in_the_air()
        _log.info("daemon.stopping", in_the_air=in_the_air, grace_s=grace_s)
        self._systemd.stopping(f"letting fetches finish: {in_the_air}")
        # The relay first: what it has read is still kept.
        stopped = [companion.stop(grace_s=grace_s) for companion in self.companions]
        self._schedule.stop()
        with contextlib.suppress(LedgerOutOfReach):
            processes.gone(self._service.ledger, self._service.worker, now=self._clock.now())
        ended = self._service.close(grace_s=grace_s, hurry=self._stop_at_once)
        if watcher is not None:
            watcher.join(2.0)
        _log.info("daemon.stopped", clean=ended and all(stopped))
        return ExitCode.SETTLED

    def _on_signal(self, number: int) -> None:
        if number == signal.SIGHUP:
            self._reload_wanted.set()
        elif self._stop.is_set():
            self._stop_at_once.set()
        else:
            self._stop.set()
        self._woken.set()
