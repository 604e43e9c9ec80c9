"""``mo-sync ledger gaps | backfill``: Syniverse's inboxes against the ledger, because a person asks."""

from __future__ import annotations

import shlex
import signal
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from mo_sync.cli.context import Context, context_of
from mo_sync.cli.filtering import Application, AsJson, DryRun, Utc, meant, refuse_no_time, when
from mo_sync.cli.output import Output, counted, local_time
from mo_sync.cli.tables import Lines
from mo_sync.clock import SystemClock
from mo_sync.errors import ExitCode, UsageError
from mo_sync.events import UNKNOWN_APPLICATION
from mo_sync.feeds.inbox.byhand import Gone, by_hand
from mo_sync.feeds.inbox.differences import EDGE
from mo_sync.feeds.inbox.scopes import Scope, chosen
from mo_sync.feeds.inbox.setting_up import kept_since
from mo_sync.feeds.inbox.spans import Span
from mo_sync.ledger import Ledger
from mo_sync.ledger.applications import beginning_with
from mo_sync.ledger.gaps import Gap, Kind
from mo_sync.presence import worker_name
from mo_sync.settings import Settings
from mo_sync.signals import heard

__all__ = ["backfill", "gaps"]

_DAY = timedelta(days=1)
_HOUR_S = 3_600.0
_JUST_UNDER_A_SECOND = timedelta(microseconds=999_999)

Since = Annotated[
    str | None,
    typer.Option(
        "--since", metavar="WHEN", help="Received since: 2026-11-20 (here; with Z: UTC), or 30d for 30 days ago."
    ),
]
Until = Annotated[str | None, typer.Option("--until", metavar="WHEN", help="Received before.")]


def gaps(
    ctx: typer.Context,
    *,
    since: Since = None,
    until: Until = None,
    application: Application = None,
    limit: Annotated[
        int, typer.Option(metavar="COUNT", min=1, max=1_000_000, help="Show at most so many, the newest first.")
    ] = 50,
    everything: Annotated[bool, typer.Option("--all", help="Show all of them.")] = False,
    as_json: AsJson = False,
    utc: Utc = False,
) -> int:
    """Compare Syniverse's inbox with the ledger: what only one side has, and attachments that differ.

    Nothing is fetched and no message is recorded; what is found is kept in v_gap. Without --since it looks at the last
    day. What came within the last 15 minutes is not compared: it may still be announced. Exits with 5 when there are
    gaps.

    Example: mo-sync ledger gaps --since 7d --application 17226
    """
    context, now = context_of(ctx), SystemClock().now()
    output = context.output(as_json=as_json)
    context.start_log()
    wanted = when(meant("--since", since), now, utc=utc) or now - _DAY
    asked_for = Span(_kept(context, wanted, now), when(meant("--until", until), now, utc=utc) or now)
    span = _comparable(asked_for, now, utc=utc)
    gone, stopped = _gone_through(context, output, span, application, records=False)
    found = sorted(gone.gaps, key=lambda one: (one.since, one.subject), reverse=True)
    if output.as_json:
        output.json(_document(gone, span, stopped) | {"gaps": [asdict(one) for one in found], "more": gone.more})
        return _exit_code(gone, stopped, ExitCode.NEEDS_A_PERSON if found else ExitCode.SETTLED)
    _tell_of_retention(output, wanted, span, utc=utc)
    _show(output, found if everything else found[:limit], utc=utc)
    if not everything and len(found) > limit:
        output.warn(f"there are {len(found):,}; --limit or --all shows more")
    if gone.more:
        output.warn("there may be still more, which are not counted: compare shorter times, with --since and --until")
    counts = Counter(one.kind for one in found)
    told = ", ".join(f"{count:,} {kind}" for kind, count in sorted(counts.items()))
    told = told or ("no difference" if gone.whole else "nothing that differs")
    if span.until < asked_for.until and (gone.shown or not gone.troubles):
        output.warn(f"compared up to {local_time(span.until, utc=utc)}: what is younger may still be announced")
    if gone.shown or not gone.troubles:
        messages = counted(gone.shown, "message")
        output.say(f"{messages} in the inbox since {local_time(span.since, utc=utc)}{_so_far(gone)}: {told}")
    if counts[Kind.ONLY_IN_INBOX]:
        upto = None if until is None else asked_for.until
        output.say(f"to record what only the inbox has: {_command('backfill', span.since, upto, application)}")
    _tell_of_trouble(output, gone, stopped)
    for until_then, whose in _left(_scopes(context.loaded().settings, application), application, gone, span):
        output.warn(f"go on with {_command('gaps', span.since, until_then, whose)}")
    return _exit_code(gone, stopped, ExitCode.NEEDS_A_PERSON if found else ExitCode.SETTLED)


def backfill(
    ctx: typer.Context,
    *,
    since: Since = None,
    until: Until = None,
    application: Application = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> int:
    """Record what Syniverse's inbox has and the ledger has not, from a time on, the newest first.

    The daemon, and --sync-now, do that by themselves for what is new and once for the time before; this is for when
    that was off, or not far enough. What is known already stays as it is. It may be interrupted, and made again.

    Example: mo-sync ledger backfill --since 30d --dry-run
    """
    context, now = context_of(ctx), SystemClock().now()
    output = context.output(as_json=as_json)
    context.start_log()
    wanted = when(meant("--since", since), now)
    if wanted is None:
        raise UsageError(
            "since-missing", "it was not said from when on", item="--since", hint="for example --since 30d"
        )
    span = Span(_kept(context, wanted, now), when(meant("--until", until), now) or now)
    gone, stopped = _gone_through(context, output, span, application, records=not dry_run)
    count = gone.missing
    if output.as_json:
        told = {"dry_run": dry_run, "missing": count, "recorded": 0 if dry_run else count}
        output.json(_document(gone, span, stopped) | told | asdict(gone.receipt))
        return _exit_code(gone, stopped, ExitCode.SETTLED)
    _tell_of_retention(output, wanted, span)
    if gone.shown or not gone.troubles:
        messages, are = counted(gone.shown, "message"), "would be recorded" if dry_run else "new"
        output.say(f"{messages} in the inbox{_so_far(gone)}, {count:,} of them {are}")
    if count and not dry_run:
        output.say("the daemon fetches their attachments, or mo-sync --sync-now")
    _tell_of_trouble(output, gone, stopped)
    for until_then, whose in _left(_scopes(context.loaded().settings, application), application, gone, span):
        more = ["--dry-run"] if dry_run else []
        output.warn(f"go on with {_command('backfill', span.since, until_then, whose, *more)}")
    return _exit_code(gone, stopped, ExitCode.SETTLED)


def _kept(context: Context, wanted: datetime, now: datetime) -> datetime:
    """No further back than anything is kept: what was pruned is no difference, and is not to come back."""
    kept = kept_since(context.loaded().settings.retention, now)
    return wanted if kept is None else max(wanted, kept)


def _comparable(span: Span, now: datetime, *, utc: bool) -> Span:
    """No further than can be compared by now: a message that only the inbox has may be announced in a moment."""
    refuse_no_time(span.since, span.until)
    found = Span(span.since, min(span.until, now - EDGE))
    if found.since >= found.until:
        told = f"nothing since {local_time(span.since, utc=utc)} can be compared yet: it may still be announced"
        hint = f"begin before {local_time(found.until, utc=utc)}, or ask again in {EDGE.seconds // 60} minutes"
        raise UsageError("time-too-young", told, item="--since", hint=hint)
    return found


def _tell_of_retention(output: Output, wanted: datetime, span: Span, *, utc: bool = False) -> None:
    if span.since != wanted:
        output.warn(f"[retention] keeps nothing from before {local_time(span.since, utc=utc)}: no further back")


def _gone_through(
    context: Context, output: Output, span: Span, application: str | None, *, records: bool
) -> tuple[Gone, list[int]]:
    """What came of it, and the signals that ended it early."""
    settings, clock = context.loaded().settings, SystemClock()
    refuse_no_time(span.since, span.until)
    stopped: list[int] = []
    with (
        context.ledger() as ledger,
        by_hand(settings, ledger, clock, worker_name(), records=records) as hand,
        heard([signal.SIGINT, signal.SIGTERM], stopped.append, second_ends=True),
        output.progress("hours of the inbox") as bar,
    ):
        scopes = _scopes(settings, application)
        bar.expect(round(len(scopes) * _hours(span)))
        done, told = 0.0, 0

        def tell(part: Span) -> None:
            nonlocal done, told
            done += _hours(part)
            bar.advance(round(done) - told)
            told = round(done)

        gone = hand.go_through(scopes, span, stop=lambda: bool(stopped), told=tell)
        if application is not None and not (gone.shown or gone.gaps):
            _doubt(output, application, gone, known=_is_known(settings, ledger, application))
    return gone, stopped


def _is_known(settings: Settings, ledger: Ledger, application: str) -> bool:
    return application in settings.applications or application in beginning_with(ledger, application)


def _doubt(output: Output, application: str, gone: Gone, *, known: bool) -> None:
    """A mistyped application has no differences either: that must not look like an all-clear."""
    if known:
        return
    told = "neither the settings nor the ledger know it, and the inbox shows nothing of it"
    if gone.whole:
        hint = "see --application, and the applications in mo-sync ledger status"
        raise UsageError("application-unknown", told, item=application, hint=hint)
    output.warn(f"application {application}: {told} so far")


def _scopes(settings: Settings, application: str | None) -> Sequence[Scope]:
    scopes = chosen(settings, meant("--application", application))
    if not scopes:
        hint = "give gateway.token_file, or token_file in [applications.ID]"
        raise UsageError("no-inbox", "there is no token to look into it with", item=application, hint=hint)
    return scopes


def _hours(span: Span) -> float:
    return (span.until - span.since).total_seconds() / _HOUR_S


def _show(output: Output, found: Sequence[Gap], *, utc: bool) -> None:
    if found:
        heads = ("message", "application", "received", "difference", "reason")
        rows = [
            (one.subject, one.application_id, local_time(one.since, utc=utc), one.kind, one.reason) for one in found
        ]
        output.table(heads, rows, narrow=Lines(("message", "received", "difference"), ("reason",)))
        output.say()


def _document(gone: Gone, span: Span, stopped: list[int]) -> dict[str, object]:
    return {
        "since": span.since,
        "until": span.until,
        "messages": gone.shown,
        "whole": gone.whole and not stopped,
        "reached": gone.reached,
        "troubles": gone.troubles,
    }


def _so_far(gone: Gone) -> str:
    """What was not gone through to its end is no all-clear."""
    return "" if gone.whole else " so far"


def _tell_of_trouble(output: Output, gone: Gone, stopped: list[int]) -> None:
    for trouble in gone.troubles:
        output.warn(f"out of reach: {trouble}")
    for name in gone.reached:
        output.warn(f"{'interrupted' if stopped else 'not gone through to the end'}: {name}")
    for name in sorted(gone.restless):
        output.warn(f"its order changed while it was read, and something may be passed over: {name}; ask again")


def _left(
    scopes: Sequence[Scope], application: str | None, gone: Gone, span: Span
) -> list[tuple[datetime, str | None]]:
    """Up to when there is something left, and of which application: as few commands as go through all of it.

    None where nothing was gone through: then it is to be said again as it was.
    """
    if all(gone.reached.get(scope.name) == span.until for scope in scopes):
        return []
    left = [scope for scope in scopes if scope.name in gone.reached]
    if application is None and all(scope.application_id != UNKNOWN_APPLICATION for scope in left):
        return [(gone.reached[scope.name], scope.application_id) for scope in left]
    # The gateway's inbox has no name that could be asked for: who asks for all of them gets it too.
    return [(max(gone.reached[scope.name] for scope in left), application)] if left else []


def _command(name: str, since: datetime, until: datetime | None, application: str | None, *more: str) -> str:
    """To be pasted as it is. Times are in whole seconds, which take in what is asked for."""
    words = ["--since", _whole(since)]
    words += [] if until is None else ["--until", _whole(until + _JUST_UNDER_A_SECOND)]
    words += [] if application is None else ["--application", application]
    return shlex.join(["mo-sync", "ledger", name, *words, *more])


def _whole(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _exit_code(gone: Gone, stopped: list[int], otherwise: ExitCode) -> int:
    if stopped:
        return 128 + stopped[0]
    return ExitCode.NOTHING_POSSIBLE_NOW if gone.troubles or gone.restless else otherwise
