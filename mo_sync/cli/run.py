"""``mo-sync --sync-now`` and ``mo-sync run``: the work itself, once or for good."""

from __future__ import annotations

import contextlib
import importlib.metadata
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence

import structlog
import typer

from mo_sync.cli import summary
from mo_sync.cli.bar import Bar
from mo_sync.cli.context import context_of
from mo_sync.clock import Clock, SystemClock
from mo_sync.daemon import Companion, Daemon
from mo_sync.errors import LedgerOutOfReach
from mo_sync.gateway.origins import in_clear
from mo_sync.ledger import Ledger, queries
from mo_sync.ledger.processes import passed
from mo_sync.lifecycle import Settlement, State
from mo_sync.service import Service
from mo_sync.settings import Log, Metrics, Settings
from mo_sync.settings.changes import changes
from mo_sync.settings.load import Loaded
from mo_sync.signals import heard

__all__ = ["run", "stops_heard", "sync_now"]

_log = structlog.get_logger(__name__)

_ASK_AGAIN_S = 0.5


def sync_now(ctx: typer.Context) -> int:
    """One pass: take every event, fetch until nothing is due, sum up."""
    context = context_of(ctx)
    output = context.output()
    loaded, clock = context.loaded(), SystemClock()
    with output.progress("attachments") as bar:
        context.start_log(_beside_a_bar(loaded) if output.shows_progress else None, stream=bar)
        _warn_of_what_is_sent_in_clear(loaded.settings)
        with Service.open(loaded.settings, clock=clock) as service, stops_heard() as (stop, hurry):
            if output.shows_progress:
                service.watch(_counted(bar, service.ledger, clock))
            told = service.sync_now(stop, hurry=hurry)
            if not told.interrupted:
                with contextlib.suppress(LedgerOutOfReach):  # those who needed it for their work have said so
                    passed(service.ledger, service.worker, now=clock.now(), exit_code=told.exit_code)
            recorded = queries.recorded(service.ledger) if not told.ledger else None
    if output.as_json:
        output.json(summary.as_json(told))
    for line in summary.lines(told, recorded):
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
    _warn_of_what_is_sent_in_clear(settings)
    clock = SystemClock()

    def reload(old: Settings) -> tuple[Settings, list[str]]:
        new = context.reload().settings
        return new, list(changes(old, new).needs_restart)

    with _ended_by_an_interrupt(), Service.open(settings, clock=clock) as service:
        daemon = Daemon(service, clock=clock, environ=context.environ, reload=reload)
        if settings.relay.listen is not None:
            daemon.companions.append(_relay(settings, service, daemon, context.environ))
        with _measured(settings.metrics, service, daemon, clock):
            return int(daemon.run())


@contextlib.contextmanager
def _ended_by_an_interrupt() -> Iterator[None]:
    """Before anybody hears signals: Python's own handler raises in whatever runs just then, where that may get lost."""
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _relay(settings: Settings, service: Service, daemon: Daemon, environ: Mapping[str, str]) -> Companion:
    """The webhook receiver, which records in the same ledger."""
    from mo_sync.feeds.relay.setting_up import Listening  # a server that few want, nobody else waits for

    return Listening(
        settings, service.worker, service.clock, environ=environ, intake=service.intake, recorded=daemon.wake
    )


def _measured(
    settings: Metrics, service: Service, daemon: Daemon, clock: Clock
) -> contextlib.AbstractContextManager[None]:
    """While the block runs, Prometheus may ask."""
    if settings.listen is None:
        return contextlib.nullcontext()
    from mo_sync.metrics import Exposition, Seen, listening  # what few want, nobody else waits for

    seen = Seen()
    service.watch(seen.tell)
    exposition = Exposition(
        version=importlib.metadata.version("mo-sync"),
        ledger=service.ledger,
        store=service.store,
        seen=seen,
        pace=service.reconciler.pace,
        in_the_air=service.reconciler.in_the_air,
        ages=daemon.ages,
        now=clock.now,
    )
    return listening(settings, exposition)


def _warn_of_what_is_sent_in_clear(settings: Settings) -> None:
    """Once a start: a gateway on another machine that is spoken to without encryption learns tokens with all others."""
    if in_clear(settings.gateway.base_url):
        hint = "tokens and files go over the network for others to read: let gateway.base_url begin with https://"
        _log.warning("gateway.in-clear", base_url=settings.gateway.base_url, hint=hint)


def _beside_a_bar(loaded: Loaded) -> Log:
    """A line for each file would drown the bar that counts them: what is wrong is told, unless a level was chosen."""
    chosen = loaded.settings.log
    asked_for = loaded.origins["log.level"].kind != "default"
    return chosen if asked_for else chosen.model_copy(update={"level": "warning"})


def _counted(bar: Bar, ledger: Ledger, clock: Clock) -> Callable[[Sequence[Settlement]], None]:
    """Moves the bar for what came to rest; what will be tried again comes once more.

    What is left is asked of the ledger now and then: events come in and retries fall due while the pass runs.
    """
    asked_at_s = -_ASK_AGAIN_S

    def count(settlements: Sequence[Settlement]) -> None:
        nonlocal asked_at_s
        bar.advance(sum(settlement.transition.state is not State.PENDING for settlement in settlements))
        if clock.monotonic() - asked_at_s >= _ASK_AGAIN_S:
            with contextlib.suppress(LedgerOutOfReach):  # those who work with it will say so
                bar.expect(queries.unfinished(ledger, now=clock.now()))
            asked_at_s = clock.monotonic()

    return count


@contextlib.contextmanager
def stops_heard() -> Iterator[tuple[threading.Event, threading.Event]]:
    """While the block runs, the first SIGINT or SIGTERM sets the first event, another one the second."""
    stop, hurry = threading.Event(), threading.Event()

    def act(number: int) -> None:
        del number
        (hurry if stop.is_set() else stop).set()

    with heard([signal.SIGINT, signal.SIGTERM], act):
        yield stop, hurry
