"""``mo-sync ledger follow``: what changes, as it changes, a line each."""

from __future__ import annotations

import json
import signal
import threading
from typing import Annotated, Any

import typer

from mo_sync.cli.context import context_of
from mo_sync.cli.output import Output, plain, printable
from mo_sync.clock import Clock, SystemClock
from mo_sync.errors import ExitCode, LedgerOutOfReach, UsageError
from mo_sync.ledger import Ledger
from mo_sync.ledger.changes import Change, Cursor, Horizon, changes, furthest, newest
from mo_sync.signals import heard

__all__ = ["follow"]

_AT_ONCE = 500
_ASK_AGAIN_S = 0.5
_LOOKS = 3
"""After so many of them a horizon tells."""
_PATIENCE_S = 10.0
"""So long the first line is waited for, where somebody else's transaction stays open."""


def follow(
    ctx: typer.Context,
    *,
    cursor: Annotated[
        str | None, typer.Option("--cursor", metavar="CURSOR", help="Go on behind the line that had this cursor.")
    ] = None,
    beginning: Annotated[bool, typer.Option("--from-beginning", help="From the first row on.")] = False,
    once: Annotated[bool, typer.Option("--once", help="Stop when there is nothing more.")] = False,
) -> int:
    """A line of JSON for each event that is recorded, each attempt, and each thing that a person did; from now on.

    Every line has a `cursor`: who starts again behind the last line that it has dealt with misses nothing and gets
    nothing twice. Where it begins now, the first line says so: its kind is `start`, and nothing has happened
    yet. Ends by Ctrl-C, or when nobody reads any more; then the last line may be cut off.

    Example: mo-sync ledger follow --cursor e1200.a3400.i5
    """
    context, clock = context_of(ctx), SystemClock()
    output = context.output()
    context.start_log()
    if cursor is not None and beginning:
        raise UsageError("two-choices", "it was said twice where to begin", item="--from-beginning")
    stop = threading.Event()
    with context.ledger() as ledger, heard(_SIGNALS, lambda _: stop.set(), second_ends=True):
        horizon = Horizon(ledger)
        if cursor is None and not beginning:
            _wait_for(horizon, clock, stop)
            if not (horizon.is_known or stop.is_set()):
                output.warn("somebody else's transaction stays open: what it writes is perhaps not told")
        place = _first(ledger, horizon, cursor, beginning=beginning)
        if cursor is None and not beginning:  # nobody else could say where this was, on a ledger that is quiet
            _tell(output, Change(place, "start", clock.now(), {}), stop)
        looks = 0
        while not (stop.is_set() or output.reader_gone):
            found = _next(ledger, horizon, place)
            looks += 1
            for change in found:
                if stop.is_set():
                    break
                _tell(output, change, stop)
                place = change.cursor
            output.look()
            if found:
                continue
            if once and looks >= _LOOKS:
                break
            clock.wait(stop, _ASK_AGAIN_S if not once else _ASK_AGAIN_S / 5)
    return ExitCode.SETTLED


_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def _wait_for(horizon: Horizon, clock: Clock, stop: threading.Event) -> None:
    """A number that was drawn before others, and comes to light after them, would be left out by who begins behind
    those."""
    until_s = clock.monotonic() + _PATIENCE_S
    while not (horizon.is_known or stop.is_set()) and clock.monotonic() < until_s:
        horizon.look()
        clock.wait(stop, _ASK_AGAIN_S / 5)


def _first(ledger: Ledger, horizon: Horizon, cursor: str | None, *, beginning: bool) -> Cursor:
    if beginning:
        return Cursor()
    if cursor is None:
        return horizon.look() if horizon.is_known else newest(ledger)
    wanted, there = Cursor.parse(cursor), furthest(ledger)
    if wanted.event > there.event or wanted.attempt > there.attempt or wanted.intervention > there.intervention:
        hint = f"is this another ledger, or an older copy of it? Its newest place is {there}"
        raise UsageError("cursor-ahead", "the ledger has not come so far", item=cursor, hint=hint)
    return wanted


def _next(ledger: Ledger, horizon: Horizon, place: Cursor) -> list[Change]:
    """Trouble of the ledger passes: the next look begins where this one did."""
    try:
        return changes(ledger, place, horizon.look(), count=_AT_ONCE)
    except LedgerOutOfReach as error:
        if error.code not in ("ledger-locked", "ledger-slow"):
            raise
        return []


def _tell(output: Output, change: Change, stop: threading.Event) -> None:
    document: dict[str, Any] = {"cursor": str(change.cursor), "kind": change.kind, "at": change.at, **change.facts}
    line = json.dumps(document, default=plain, ensure_ascii=False)
    output.raw((printable(line) if output.terminal else line) + "\n", stop.is_set)
