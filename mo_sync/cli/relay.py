"""``mo-sync relay``: the webhook receiver alone, as for a DMZ: no gateway, no ledger, only the drop folder."""

from __future__ import annotations

import os
import signal
import threading

import structlog
import typer

from mo_sync.cli.context import context_of
from mo_sync.clock import SystemClock
from mo_sync.daemon import Systemd
from mo_sync.errors import ExitCode, MoSyncError, OutOfReach
from mo_sync.feeds.relay.setting_up import Listening
from mo_sync.presence import worker_name
from mo_sync.signals import heard

__all__ = ["relay"]

_log = structlog.get_logger(__name__)


def relay(ctx: typer.Context) -> int:
    """Receive events by HTTP and keep them in the drop folder; each is on the disk before it is acknowledged.

    SIGTERM and SIGINT stop it: what was read is kept and answered. SIGHUP reads users, tokens, networks and
    certificates again. It needs [relay] and drop.path, and neither a ledger nor the gateway's token.

    Example: mo-sync relay
    """
    context = context_of(ctx)
    settings = context.loaded().settings
    context.start_log()
    clock = SystemClock()
    systemd = Systemd(context.environ, pid=os.getpid())
    listening = Listening(settings, worker_name(), clock, environ=context.environ)
    stop, reload, woken = threading.Event(), threading.Event(), threading.Event()

    def act(number: int) -> None:
        (reload if number == signal.SIGHUP else stop).set()
        woken.set()

    with heard([signal.SIGTERM, signal.SIGINT, signal.SIGHUP], act):
        listening.start()
        systemd.ready("receiving")
        while not stop.is_set():
            if not listening.alive:
                raise OutOfReach("relay-ended", "the relay ended by itself", hint="see the log above")
            systemd.alive()
            clock.wait(woken, (systemd.watchdog_s or 20.0) / 4)
            woken.clear()
            if reload.is_set():
                reload.clear()
                systemd.reloading(clock.monotonic())
                try:
                    listening.reload(context.reload().settings)
                except MoSyncError as error:
                    _log.error("settings.not-reloaded", error=str(error), hint="the old settings stay in force")
                else:
                    _log.info("settings.reloaded")
                systemd.ready("receiving")
        systemd.stopping("answering what was read")
        ended = listening.stop(grace_s=settings.sync.stop_grace)
        _log.info("relay.stopped", clean=ended)
    return ExitCode.SETTLED
