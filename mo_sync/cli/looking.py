"""``mo-sync ledger status | show``: what is in it, and why."""

from __future__ import annotations

import contextlib
import os
from dataclasses import asdict
from datetime import datetime
from typing import Annotated

import typer

from mo_sync.cli import completing
from mo_sync.cli.advice import exit_code_of
from mo_sync.cli.context import Context, context_of
from mo_sync.cli.filtering import AsJson, Reveal, Utc
from mo_sync.cli.inboxlines import inbox_lines
from mo_sync.cli.listing import masked, with_command
from mo_sync.cli.output import Output, age, bytes_text, counted, local_time
from mo_sync.cli.story import timeline
from mo_sync.clock import SystemClock
from mo_sync.errors import ExitCode, OutOfReach, UsageError
from mo_sync.findings import nothing_ever_lay_there
from mo_sync.ledger import Ledger, queries
from mo_sync.ledger.queries import EndedRow, ProcessRow, Status, Story
from mo_sync.ledger.stories import find_gap
from mo_sync.ledger.verification import settled_count
from mo_sync.lifecycle import Standing, State
from mo_sync.settings.paths import folder_of
from mo_sync.store import open_for_reading

__all__ = ["show", "status"]

_SILENT_S = 60.0


def status(ctx: typer.Context, *, as_json: AsJson = False, utc: Utc = False) -> int:
    """The ledger at a glance: counts, bytes, what waits, which applications are in trouble, which daemons work.

    Example: mo-sync ledger status --json
    """
    context, now = context_of(ctx), SystemClock().now()
    output = context.output(as_json=as_json)
    with context.ledger() as ledger:
        found, free = queries.status(ledger, now=now), _free_bytes(context)
        paused = _paused(context, ledger, free)
    if output.as_json:
        output.json({**asdict(found), "free_bytes": free, "paused": paused})
    elif output.quiet:
        states = [state for state, count in found.attachments.items() if count]
        return exit_code_of(states, problems=bool(found.events.get("rejected")))
    else:
        _show_status(output, found, free, now=now, utc=utc)
        if paused:
            output.say(paused)
    return ExitCode.SETTLED


def show(
    ctx: typer.Context,
    wanted: Annotated[
        str,
        typer.Argument(
            metavar="ID",
            help="Of an event, message or attachment; its beginning will do.",
            autocompletion=completing.ids,
        ),
    ],
    *,
    as_json: AsJson = False,
    utc: Utc = False,
    reveal: Reveal = False,
) -> int:
    """The whole story of an event, message or attachment: announced, tried, why it is where it is, what comes next.

    Example: mo-sync ledger show Mno4Xayql1oV
    """
    context, now = context_of(ctx), SystemClock().now()
    output = context.output(as_json=as_json)
    with context.ledger() as ledger:
        story = _found(ledger, wanted)
        waits = any(row.state == State.PENDING for row in story.attachments)
        paused = _paused(context, ledger, _free_bytes(context)) if waits else None
    if output.as_json:
        document = asdict(story) | {"attachments": [with_command(row) for row in story.attachments]}
        output.json(masked(document, reveal=reveal))
        return ExitCode.SETTLED
    if output.quiet:
        unread = any(event.state == "rejected" for event in story.events)
        return exit_code_of([row.state for row in story.attachments], problems=unread or story.kind == "gap")
    for line in timeline(story, now=now, utc=utc, reveal=reveal, paused=paused):
        output.say(line)
    return ExitCode.SETTLED


def _found(ledger: Ledger, wanted: str) -> Story:
    """What is here under this id; else what ``gaps`` shows under it, which is only there."""
    try:
        return queries.find_story(ledger, wanted)
    except UsageError as error:
        differing = find_gap(ledger, wanted) if error.code == "id-unknown" else None
        if differing is None:
            raise
        return differing


def _free_bytes(context: Context) -> int | None:
    """How much may still be written in the store; None when that cannot be told."""
    try:
        found = os.statvfs(folder_of(context.loaded().settings.store.url))
    except OSError:
        return None
    return found.f_bavail * found.f_frsize


def _paused(context: Context, ledger: Ledger, free: int | None) -> str | None:
    """Why nothing is fetched, as far as it can be seen from here: the store has no room, or is not mounted."""
    settings = context.loaded().settings
    wanted = settings.limits.min_free
    if free is not None and free < wanted:
        return f"paused: {bytes_text(free)} are free, limits.min_free asks for {bytes_text(wanted)}: free space"
    with contextlib.suppress(OutOfReach):  # what cannot be looked into is told by who needs it
        if open_for_reading(settings.store).untouched() and (count := settled_count(ledger)):
            return f"paused: {nothing_ever_lay_there(count)}"
    return None


def _show_status(output: Output, found: Status, free: int | None, *, now: datetime, utc: bool) -> None:
    rows: list[tuple[str, object]] = [(f"{state}", count) for state, count in found.attachments.items() if count]
    output.table(("attachments", "count"), rows or [("none", 0)])
    output.say()
    facts: list[tuple[str, object]] = [
        ("messages", f"{found.messages:,}"),
        ("events", ", ".join(f"{count:,} {state}" for state, count in sorted(found.events.items())) or "none"),
        ("deliveries", f"{found.deliveries:,}"),
        ("applications", _applications(found)),
        ("stored", bytes_text(found.stored_bytes) + (f", {bytes_text(free)} are free" if free is not None else "")),
        ("verified", _verified(found, now=now)),
        ("oldest pending", _waits(found, now=now)),
        ("overdue", _overdue(found, now=now)),
        ("next due", _due(found.next_due, now=now, utc=utc)),
        ("last hour", f"{found.stored_last_hour:,} stored, {found.failures_last_hour:,} failures"),
        ("last day", f"{found.stored_last_day:,} stored, {found.failures_last_day:,} failures"),
    ]
    for name, value in facts:
        output.say(f"{name:15} {value}")
    for line in inbox_lines(found.inboxes, now=now, utc=utc):
        output.say(line)
    for application in found.applications:
        if application.state != Standing.ACTIVE:
            until = f", tried next {local_time(application.until, utc=utc)}" if application.until else ""
            output.say(f"application {application.id} is {application.state}{until}: {application.reason}")
        elif application.workers is not None:
            fetches = counted(application.workers, "fetch", "fetches")
            output.say(f"application {application.id} is slowed to {fetches} at once")

    for process in found.processes:
        output.say(_process(process, now=now))
    for one in found.ended:
        output.say(_ended(one, now=now))


def _verified(found: Status, *, now: datetime) -> str:
    oldest = found.oldest_verified
    return f"each file within {age((now - oldest).total_seconds())}" if oldest is not None else "there is no file"


def _waits(found: Status, *, now: datetime) -> str:
    oldest = found.oldest_pending
    return f"announced {age((now - oldest).total_seconds())} ago" if oldest is not None else "none"


def _overdue(found: Status, *, now: datetime) -> str:
    """What is younger, is tried again only later, or is of an application at rest does not count."""
    since = found.overdue_since
    return f"for {age((now - since).total_seconds())}: due, and not fetched yet" if since is not None else "nothing"


def _ended(one: EndedRow, *, now: datetime) -> str:
    since = age((now - one.at).total_seconds())
    if one.kind == "pass":
        return f"last pass of --sync-now on {one.host} completed {since} ago, with exit code {one.exit_code}"
    return f"daemon on {one.host} was stopped {since} ago, and no other has begun there"


def _process(process: ProcessRow, *, now: datetime) -> str:
    """A daemon in a line: what it said last, and when. One that was silent for long was killed, or stands still."""
    silent_s = (now - process.seen_at).total_seconds()
    ticks = ", ".join(f"{name} {age((now - at).total_seconds())} ago" for name, at in process.jobs.items())
    trouble = f"; {process.trouble}" if process.trouble else ""
    if silent_s > _SILENT_S:
        return f"daemon {process.worker} has said nothing for {age(silent_s)}: killed, or it stands still{trouble}"
    return f"daemon {process.worker} works since {age((now - process.started_at).total_seconds())}: {ticks}{trouble}"


def _applications(found: Status) -> str:
    resting = sum(application.state != Standing.ACTIVE for application in found.applications)
    return f"{len(found.applications):,}" + (f", {resting:,} of them at rest" if resting else "")


def _due(due_at: datetime | None, *, now: datetime, utc: bool) -> str:
    if due_at is None:
        return "nothing"
    return "now" if due_at <= now else f"{local_time(due_at, utc=utc)} (in {age((due_at - now).total_seconds())})"
