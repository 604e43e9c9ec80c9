"""Which attachments a command is about, as people say it on the command line: the same words for every command."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

import typer

from mo_sync.errors import UsageError
from mo_sync.ledger.filters import Filters
from mo_sync.lifecycle import State
from mo_sync.readings import moment
from mo_sync.settings.units import duration

__all__ = [
    "Application",
    "AsJson",
    "DryRun",
    "Error",
    "Ids",
    "Receiver",
    "Reveal",
    "Sender",
    "Since",
    "StateNames",
    "Until",
    "Utc",
    "filters_of",
    "when",
]

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document for a program.")]
Utc = Annotated[bool, typer.Option("--utc", help="Times in UTC instead of this machine's zone.")]
Reveal = Annotated[bool, typer.Option("--reveal", help="Show phone numbers in full.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say how many.")]
Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Attachments or messages.")]
StateNames = Annotated[
    list[str] | None,
    typer.Option("--state", metavar="STATE", help="Only these states; repeat it, or separate by commas."),
]
Application = Annotated[str | None, typer.Option("--application", metavar="ID", help="Only this application.")]
Since = Annotated[
    str | None, typer.Option("--since", metavar="WHEN", help="Announced since: 2026-11-20, or 3h for 3 hours ago.")
]
Until = Annotated[str | None, typer.Option("--until", metavar="WHEN", help="Announced before.")]
Sender = Annotated[str | None, typer.Option("--from", metavar="NUMBER", help="Sent by this number.")]
Receiver = Annotated[str | None, typer.Option("--to", metavar="NUMBER", help="Sent to this number.")]
Error = Annotated[
    str | None, typer.Option("--error", metavar="TEXT", help="With this in its error, or this error code.")
]


def filters_of(
    *,
    now: datetime,
    state: list[str] | None,
    application: str | None,
    since: str | None,
    until: str | None,
    from_: str | None,
    to: str | None,
    error: str | None,
) -> Filters:
    """Raises UsageError for what is no state and for what is no time."""
    return Filters(
        states=_states(state),
        application_id=application,
        since=when(since, now),
        until=when(until, now),
        from_address=from_,
        to_address=to,
        error=error,
    )


def _states(names: list[str] | None) -> tuple[State, ...]:
    wanted = [name.strip() for given in names or [] for name in given.split(",") if name.strip()]
    known = ", ".join(State)
    try:
        return tuple(State(name) for name in wanted)
    except ValueError as error:
        raise UsageError("state-unknown", str(error), item="--state", hint=f"states are {known}") from error


def when(text: str | None, now: datetime) -> datetime | None:
    """A date or time, or a span before now (``3h``). Raises UsageError."""
    if text is None:
        return None
    found = moment(text)
    if found is not None:
        return found
    try:
        return now - timedelta(seconds=float(str(duration(text))))
    except (ValueError, OverflowError) as error:
        hint = "2026-11-20, 2026-11-20T08:00:00Z, or a span such as 3h or 7d"
        raise UsageError("time-not-understood", "this is no time", item=text, hint=hint) from error
