"""``mo-sync ledger``: what is in it, why, and what a person can do about it."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Annotated, Any

import typer

from mo_sync.cli.context import Context, context_of
from mo_sync.cli.listing import left_alone, masked, show_attachments, show_others
from mo_sync.cli.output import Output, age, bytes_text, local_time
from mo_sync.cli.story import timeline
from mo_sync.clock import SystemClock
from mo_sync.errors import ExitCode, UsageError
from mo_sync.ledger import Ledger, applications, interventions, queries
from mo_sync.ledger.queries import Filters, Status, Story
from mo_sync.lifecycle import Standing, State
from mo_sync.readings import moment
from mo_sync.settings.units import duration

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Look into the ledger, and decide what waits for a person.")

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document for a program.")]
Utc = Annotated[bool, typer.Option("--utc", help="Times in UTC instead of this machine's zone.")]
Reveal = Annotated[bool, typer.Option("--reveal", help="Show phone numbers in full.")]
StateNames = Annotated[
    list[str] | None,
    typer.Option("--state", metavar="STATE", help="Only these states; repeat it, or separate by commas."),
]
Application = Annotated[str | None, typer.Option("--application", metavar="ID", help="Only this application.")]


@app.command()
def status(ctx: typer.Context, *, as_json: AsJson = False, utc: Utc = False) -> int:
    """The ledger at a glance: counts, bytes, what waits, which applications are in trouble.

    Example: mo-sync ledger status --json
    """
    context, now = context_of(ctx), SystemClock().now()
    output = context.output(as_json=as_json)
    with _opened(context) as ledger:
        found = queries.status(ledger, now=now)
    if output.as_json:
        output.json(asdict(found))
    else:
        _show_status(output, found, now=now, utc=utc)
    return ExitCode.SETTLED


@app.command("list")
def list_(
    ctx: typer.Context,
    *,
    state: StateNames = None,
    problems: Annotated[bool, typer.Option("--problems", help="Only what needs a person.")] = False,
    application: Application = None,
    since: Annotated[str | None, typer.Option(metavar="WHEN", help="Announced since: 2026-11-20, or 3h ago.")] = None,
    until: Annotated[str | None, typer.Option(metavar="WHEN", help="Announced before.")] = None,
    from_: Annotated[str | None, typer.Option("--from", metavar="NUMBER", help="Sent by this number.")] = None,
    to: Annotated[str | None, typer.Option("--to", metavar="NUMBER", help="Sent to this number.")] = None,
    error: Annotated[
        str | None, typer.Option(metavar="TEXT", help="With this in its error, or this error code.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest first.")] = 50,
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    as_json: AsJson = False,
    utc: Utc = False,
    reveal: Reveal = False,
) -> int:
    """Attachments, the newest first, with where they are or why they are not.

    With --problems, also what needs a person and is no attachment: events that were not understood, applications in
    trouble, messages that announce attachments without ids.

    Example: mo-sync ledger list --state failed,missing --since 7d
    """
    context, now = context_of(ctx), SystemClock().now()
    states_given = _states(state)
    filters = Filters(
        states=[*states_given, *(queries.PROBLEMS if problems else ())],
        application_id=application,
        since=_when(since, now),
        until=_when(until, now),
        from_address=from_,
        to_address=to,
        error=error,
    )
    output = context.output(as_json=as_json)
    most = None if everything else limit
    not_only_files = problems and not (states_given or from_ or to)
    with _opened(context) as ledger:
        found = queries.list_attachments(ledger, filters, limit=most and most + 1)
        others = queries.other_problems(ledger, filters, limit=most and most + 1) if not_only_files else []
    if most is not None and max(len(found), len(others)) > most:
        output.warn(f"there are more than {limit}; --limit or --all shows them")
    found, others = found[:most], others[:most]
    if output.as_json:
        rows = masked([asdict(row) for row in found], reveal=reveal)
        output.json({"attachments": rows, "others": [asdict(row) for row in others]} if problems else rows)
        return ExitCode.SETTLED
    show_attachments(output, found, utc=utc, reveal=reveal)
    show_others(output, others, utc=utc)
    return ExitCode.SETTLED


@app.command()
def show(
    ctx: typer.Context,
    wanted: Annotated[
        str, typer.Argument(metavar="ID", help="Of an event, message or attachment; its beginning will do.")
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
    with _opened(context) as ledger:
        story = queries.find_story(ledger, wanted)
    if output.as_json:
        output.json(masked(asdict(story), reveal=reveal))
        return ExitCode.SETTLED
    for line in timeline(story, now=now, utc=utc, reveal=reveal):
        output.say(line)
    return ExitCode.SETTLED


@app.command()
def retry(
    ctx: typer.Context,
    wanted: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Attachments or messages.")] = None,
    *,
    state: StateNames = None,
    application: Application = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how many.")] = False,
    as_json: AsJson = False,
) -> int:
    """Try again what was given up (missing, refused, failed, cancelled), or at once what waits; from the beginning.

    Example: mo-sync ledger retry --state missing --dry-run
    """
    states = _states(state)
    if not (wanted or states or application):
        raise UsageError("nothing-chosen", "it was not said what to retry", hint="name ids, --state or --application")
    context = context_of(ctx)
    output = context.output(as_json=as_json)
    with _opened(context) as ledger:
        named = [_named(ledger, name) for name in wanted or []]
        asked: dict[str, Any] = {
            "ids": [story.id for story in named if story.kind == "attachment"],
            "message_ids": [story.message.id for story in named if story.kind != "attachment" and story.message],
            "states": states,
            "application_id": application,
        }
        if dry_run:
            count = interventions.would_retry(ledger, **asked)
        else:
            patience_s = context.loaded().settings.retry.give_up_after
            count = interventions.retry(ledger, now=SystemClock().now(), give_up_after_s=patience_s, **asked)
    theirs = {row.id: row for story in named for row in story.attachments}.values()
    alone = [row for row in theirs if State(row.state) not in interventions.RETRIABLE]
    if output.as_json:
        stayed = [{"id": row.id, "state": row.state} for row in alone]
        output.json({"retried": count, "dry_run": dry_run, "left_alone": stayed})
        return ExitCode.SETTLED
    for row in alone:
        output.say(left_alone(row))
    if count or not alone:
        output.say(_retried(count, dry_run=dry_run))
    return ExitCode.SETTLED


@app.command()
def release(
    ctx: typer.Context,
    *,
    application: Annotated[
        list[str] | None, typer.Option("--application", metavar="ID", help="An application that rests; repeat it.")
    ] = None,
    all_applications: Annotated[bool, typer.Option("--all-applications", help="Every one that rests.")] = False,
    as_json: AsJson = False,
) -> int:
    """Try an application at once that rests because of its credentials, its credit or the gateway.

    One of its attachments is tried first; the others follow when that goes well.

    Example: mo-sync ledger release --application 17226
    """
    if bool(application) == all_applications:
        hint = "name one with --application, or take --all-applications"
        raise UsageError("nothing-chosen", "it was not said what to release", hint=hint)
    context = context_of(ctx)
    output = context.output(as_json=as_json)
    with _opened(context) as ledger:
        released = applications.release(ledger, now=SystemClock().now(), ids=application or ())
    if output.as_json:
        output.json({"released": released})
    else:
        output.say(f"tried at once: {', '.join(released)}" if released else "none of them rests")
    return ExitCode.SETTLED


def _opened(context: Context) -> Ledger:
    return Ledger.open(context.loaded().settings.ledger)


def _named(ledger: Ledger, name: str) -> Story:
    """The attachment or message that somebody named. Raises UsageError for what announces none."""
    story = queries.find_story(ledger, name)
    if story.message is None:
        raise UsageError("nothing-to-fetch", "this event announces no message", item=story.id)
    return story


def _retried(count: int, *, dry_run: bool) -> str:
    if not count:
        return "nothing to retry: none of them is " + ", ".join(interventions.RETRIABLE)
    return f"{count} would be due now" if dry_run else f"{count} due now: `mo-sync --sync-now`, or the daemon, goes on"


def _states(names: list[str] | None) -> list[State]:
    wanted = [name.strip() for given in names or [] for name in given.split(",") if name.strip()]
    known = ", ".join(State)
    try:
        return [State(name) for name in wanted]
    except ValueError as error:
        raise UsageError("state-unknown", str(error), item="--state", hint=f"states are {known}") from error


def _when(text: str | None, now: datetime) -> datetime | None:
    """A date or time, or a span before now (``3h``)."""
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


def _show_status(output: Output, found: Status, *, now: datetime, utc: bool) -> None:
    rows: list[tuple[str, object]] = [(f"{state}", count) for state, count in found.attachments.items() if count]
    output.table(("attachments", "count"), rows or [("none", 0)])
    output.say()
    facts: list[tuple[str, object]] = [
        ("messages", f"{found.messages:,}"),
        ("events", ", ".join(f"{count:,} {state}" for state, count in sorted(found.events.items())) or "none"),
        ("deliveries", f"{found.deliveries:,}"),
        ("applications", _applications(found)),
        ("stored", bytes_text(found.stored_bytes)),
        ("oldest pending", age((now - found.oldest_pending).total_seconds()) if found.oldest_pending else "none"),
        ("next due", _due(found.next_due, now=now, utc=utc)),
        ("last hour", f"{found.stored_last_hour:,} stored, {found.failures_last_hour:,} failures"),
        ("last day", f"{found.stored_last_day:,} stored, {found.failures_last_day:,} failures"),
    ]
    for name, value in facts:
        output.say(f"{name:15} {value}")
    for application in found.applications:
        if application.state != Standing.ACTIVE:
            until = f", tried next {local_time(application.until, utc=utc)}" if application.until else ""
            output.say(f"application {application.id} is {application.state}{until}: {application.reason}")
        elif application.workers is not None:
            output.say(f"application {application.id} is slowed to {application.workers} fetches at once")


def _applications(found: Status) -> str:
    resting = sum(application.state != Standing.ACTIVE for application in found.applications)
    return f"{len(found.applications):,}" + (f", {resting:,} of them at rest" if resting else "")


def _due(due_at: datetime | None, *, now: datetime, utc: bool) -> str:
    if due_at is None:
        return "nothing"
    return "now" if due_at <= now else f"{local_time(due_at, utc=utc)} (in {age((due_at - now).total_seconds())})"
