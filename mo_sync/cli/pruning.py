"""``mo-sync ledger prune``: what was kept long enough goes."""

from __future__ import annotations

import signal

import typer

from mo_sync.cli.context import context_of
from mo_sync.cli.filtering import AsJson, DryRun
from mo_sync.cli.output import Output
from mo_sync.clock import SystemClock
from mo_sync.errors import ExitCode
from mo_sync.feeds.dropcopies import forget_days
from mo_sync.ledger import Ledger
from mo_sync.presence import worker_name
from mo_sync.settings import Retention, Settings
from mo_sync.signals import heard
from mo_sync.store import open_store
from mo_sync.upkeep import prune as upkeep
from mo_sync.upkeep.prune import Pruned

__all__ = ["prune"]


def prune(ctx: typer.Context, *, dry_run: DryRun = False, as_json: AsJson = False) -> int:
    """Do at once what the daemon does every retention.interval: remove for good what is older than [retention] says.

    Files, rows and history go, a few hundred at a time; --dry-run counts them. Without [retention] nothing goes. An
    announcement that comes again after its message was pruned is a new one.

    Example: mo-sync ledger prune --dry-run
    """
    context, clock = context_of(ctx), SystemClock()
    output, settings = context.output(as_json=as_json), context.loaded().settings
    context.start_log()
    kept = settings.retention
    if not kept.model_dump(exclude={"interval"}, exclude_none=True):
        _tell(output, Pruned(), [], dry_run=dry_run, for_ever=True)
        return ExitCode.SETTLED
    stopped: list[int] = []
    with context.ledger() as ledger:
        found = upkeep.prunable(ledger, kept, now=clock.now())
        if dry_run:
            pruned = found
        else:
            with (
                heard([signal.SIGINT, signal.SIGTERM], stopped.append, second_ends=True),
                output.progress("rows") as bar,
            ):
                bar.expect(sum(found.counts.values()))
                pruned = _pruned(settings, kept, ledger, stopped, bar.advance)
    _tell(output, pruned, stopped, dry_run=dry_run)
    if stopped:
        return 128 + stopped[0]
    return ExitCode.WORK_REMAINS if pruned.left_count else ExitCode.SETTLED


def _tell(output: Output, pruned: Pruned, stopped: list[int], *, dry_run: bool, for_ever: bool = False) -> None:
    if output.as_json:
        left = {"left": pruned.left, "left_count": pruned.left_count}
        output.json({"dry_run": dry_run, "pruned": pruned.counts, **left, "whole": not stopped})
        return
    if for_ever:
        output.say("nothing is pruned: [retention] does not say for how long things are kept")
        return
    told = ", ".join(f"{count:,} {name}" for name, count in pruned.counts.items()) or "nothing"
    output.say(f"{told} would be pruned" if dry_run else f"pruned: {told}")
    for name, why in pruned.left.items():
        output.warn(f"left: {name}: {why}")
    if more := pruned.left_count - len(pruned.left):
        output.warn(f"left: {more:,} more")
    if stopped:
        output.warn("interrupted: the rest goes the next time")


def _pruned(settings: Settings, kept: Retention, ledger: Ledger, stopped: list[int], told: upkeep.Told) -> Pruned:
    drop = settings.drop.path
    store = open_store(settings.store, worker=worker_name())
    try:
        return upkeep.prune(
            ledger,
            store,
            kept,
            clock=SystemClock(),
            forget_days=lambda before: forget_days(drop, before=before) if drop is not None else (0, {}),
            stop=lambda: bool(stopped),
            told=told,
        )
    finally:
        store.close()
