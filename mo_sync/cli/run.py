"""``mo-sync --sync-now`` and ``mo-sync run``: the work itself, once or for good."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import typer

from mo_sync.cli import summary
from mo_sync.cli.context import context_of
from mo_sync.clock import SystemClock
from mo_sync.daemon import Daemon
from mo_sync.daemon.signals import heard
from mo_sync.lifecycle import Settlement, State
from mo_sync.service import Service
from mo_sync.settings import Settings
from mo_sync.settings.changes import changes

__all__ = ["run", "sync_now"]


def sync_now(ctx: typer.Context) -> int:
    """One pass: take every event, fetch until nothing is due, sum up."""
    context = context_of(ctx)
    output = context.output()
    settings = context.loaded().settings
    context.start_log()
    with (
        Service.open(settings, clock=SystemClock()) as service,
        stops_heard() as (stop, hurry),
        output.progress("attachments") as advance,
    ):
        service.watch(_counted(advance))
        told = service.sync_now(stop, hurry=hurry)
    if output.as_json:
        output.json(summary.as_json(told))
    for line in summary.lines(told):
        output.say(line)
    return int(told.exit_code)


def run(ctx: typer.Context) -> int:
    """Stay and work: take events as they come, fetch, retry, until a signal ends it.

    SIGTERM and SIGINT stop it: no more is claimed, running fetches may finish within sync.stop_grace, the rest is given
    back. A second one stops at once. SIGHUP reads the settings again and logs which changes need a restart.

    Example: mo-sync --config /etc/mo-sync/mo-sync.toml run
    """
    context = context_of(ctx)
    settings = context.loaded().settings
    context.start_log()
    clock = SystemClock()

    def reload(old: Settings) -> tuple[Settings, list[str]]:
        new = context.reload().settings
        return new, list(changes(old, new).needs_restart)

    with Service.open(settings, clock=clock) as service:
        return int(Daemon(service, clock=clock, environ=context.environ, reload=reload).run())


def _counted(advance: Callable[[int], None]) -> Callable[[Sequence[Settlement]], None]:
    """Moves the bar for what came to rest; what will be tried again comes once more."""

    def count(settlements: Sequence[Settlement]) -> None:
        advance(sum(settlement.transition.state is not State.PENDING for settlement in settlements))

    return count


@contextmanager
def stops_heard() -> Iterator[tuple[threading.Event, threading.Event]]:
    """While the block runs, the first SIGINT or SIGTERM sets the first event, another one the second."""
    stop, hurry = threading.Event(), threading.Event()

    def act(number: int) -> None:
        del number
        (hurry if stop.is_set() else stop).set()

    with heard([signal.SIGINT, signal.SIGTERM], act):
        yield stop, hurry
