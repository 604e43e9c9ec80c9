"""``mo-sync ledger retry | hold | release | cancel``: what a person decides about attachments."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final

import typer

from mo_sync.cli import completing
from mo_sync.cli.context import Context, context_of
from mo_sync.cli.filtering import AsJson, DryRun, Ids, Limit, filtered, legible, meant
from mo_sync.cli.lettingout import LetOut, let_out
from mo_sync.cli.listing import left_alone
from mo_sync.cli.output import printable
from mo_sync.clock import SystemClock
from mo_sync.errors import ExitCode, UsageError
from mo_sync.ledger import Ledger, applications, queries
from mo_sync.ledger.filters import Filters
from mo_sync.ledger.interventions import FROM, By, Choice, Deed, intervene, would
from mo_sync.ledger.queries import Story
from mo_sync.lifecycle import State

__all__ = ["by_whom", "cancel", "hold", "release", "retry"]

Reason = Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Why; the ledger keeps it.")]
Everything = Annotated[bool, typer.Option("--all", help="All of them.")]
_DONE: Final = {Deed.RETRY: "retried", Deed.HOLD: "held", Deed.RELEASE: "released", Deed.CANCEL: "cancelled"}
_NEXT: Final = {
    Deed.RETRY: "due now: `mo-sync --sync-now`, or the daemon, goes on",
    Deed.HOLD: "held: `mo-sync ledger release` lets them go on",
    Deed.RELEASE: "due now: `mo-sync --sync-now`, or the daemon, goes on",
    Deed.CANCEL: "cancelled: `mo-sync ledger retry` takes that back",
}
_WOULD: Final = {
    Deed.RETRY: "would be due now",
    Deed.HOLD: "would be held",
    Deed.RELEASE: "would be due now",
    Deed.CANCEL: "would be cancelled",
}


def _command(deed: Deed, meaning: str) -> Callable[..., int]:
    """A command that does ``deed`` and notes why."""

    def command(
        ctx: typer.Context,
        wanted: Ids = None,
        *,
        filters: Filters,
        limit: Limit = None,
        everything: Everything = False,
        reason: Reason = None,
        dry_run: DryRun = False,
        as_json: AsJson = False,
    ) -> int:
        wished = _Wish(deed, wanted or (), filters, limit, everything, by_whom(reason, context_of(ctx).environ))
        return _do(context_of(ctx), wished, dry_run=dry_run, as_json=as_json)

    command.__doc__, command.__name__ = meaning, deed.value
    return filtered(command)


retry = _command(
    Deed.RETRY,
    """Try again what was given up (missing, refused, failed, cancelled), or at once what waits; from the beginning.

    Example: mo-sync ledger retry --state missing --dry-run
    """,
)
hold = _command(
    Deed.HOLD,
    """Do not fetch what waits (pending), until it is released. What is being fetched just now is left alone, and so is
    what is announced later, also of an application that is named.

    Example: mo-sync ledger hold --application 17226 --reason "wait for the contract"
    """,
)
cancel = _command(
    Deed.CANCEL,
    """Give up for good what is not stored (pending, held, missing, refused, failed): it is nobody's problem any more.

    Example: mo-sync ledger cancel --state missing --until 30d --reason "too old"
    """,
)


@filtered
def release(
    ctx: typer.Context,
    wanted: Ids = None,
    *,
    filters: Filters,
    application: Annotated[
        list[str] | None,
        typer.Option(
            "--application",
            metavar="ID",
            help="Alone: an application that rests (repeat it). Else only this one's.",
            autocompletion=completing.applications,
        ),
    ] = None,
    all_applications: Annotated[bool, typer.Option("--all-applications", help="Every one that rests.")] = False,
    limit: Limit = None,
    everything: Everything = False,
    reason: Reason = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> int:
    """Let go on what is held; let out of quarantine what you judged to be harmless; or try an application that rests
    because of its credentials, its credit or the gateway: one of its attachments at once, the others when that goes
    well. Out of quarantine goes only an attachment that is named itself, or what --state quarantined says. --limit and
    --reason are for attachments alone.

    Example: mo-sync ledger release --state held --since 7d

    Example: mo-sync ledger release --application 17226
    """
    if not (wanted or everything) and filters == Filters():
        _refuse_what_is_for_attachments(limit, reason)
        return _release_applications(
            context_of(ctx), application, everyone=all_applications, dry_run=dry_run, as_json=as_json
        )
    if all_applications or len(application or ()) > 1:
        hint = "release attachments of one application at a time, or applications without naming attachments"
        raise UsageError("two-choices", "it was said twice what to release", hint=hint)
    filters = replace(filters, application_id=meant("--application", application[0] if application else None))
    wished = _Wish(Deed.RELEASE, wanted or (), filters, limit, everything, by_whom(reason, context_of(ctx).environ))
    return _do(context_of(ctx), wished, dry_run=dry_run, as_json=as_json)


def _refuse_what_is_for_attachments(limit: int | None, reason: str | None) -> None:
    for option, given in (("--limit", limit), ("--reason", reason)):
        if given is not None:
            hint = "it is for attachments: say which, or leave it out"
            raise UsageError("option-without-meaning", "it says nothing about applications", item=option, hint=hint)


def _release_applications(
    context: Context, ids: list[str] | None, *, everyone: bool, dry_run: bool, as_json: bool
) -> int:
    if bool(ids) == everyone:
        hint = "name ids or --state held, or applications with --application or --all-applications"
        raise UsageError("nothing-chosen", "it was not said what to release", hint=hint)
    output = context.output(as_json=as_json)
    ids = [meant("--application", one) or "" for one in ids or ()]
    with context.ledger() as ledger:
        if dry_run:
            released = [one.id for one in applications.troubled(ledger) if everyone or one.id in ids]
        else:
            released = applications.release(ledger, now=SystemClock().now(), ids=ids)
    if output.as_json:
        output.json({"released": released, "dry_run": dry_run})
    else:
        tried = "would be tried at once" if dry_run else "tried at once"
        output.say(f"{tried}: {', '.join(released)}" if released else "none of them rests")
    return ExitCode.SETTLED


@dataclass(frozen=True, slots=True)
class _Wish:
    """What somebody wants to be done, to what, as it was said."""

    deed: Deed
    wanted: Sequence[str]
    filters: Filters
    limit: int | None
    everything: bool
    by: By


def _do(context: Context, wished: _Wish, *, dry_run: bool, as_json: bool) -> int:
    deed, by = wished.deed, wished.by
    if not (wished.wanted or wished.everything) and wished.filters == Filters():
        hint = "name ids, or say which with --state, --application, --since, --until, --from, --to, --error, or --all"
        raise UsageError("nothing-chosen", f"it was not said what to {deed}", hint=hint)
    if wished.wanted and wished.everything:
        hint = "name ids, or say --all"
        raise UsageError("two-choices", f"it was said twice what to {deed}", item="--all", hint=hint)
    output = context.output(as_json=as_json)
    with context.ledger() as ledger:
        named = [_named(ledger, name) for name in wished.wanted]
        choice = Choice(
            ids=[story.id for story in named if story.kind == "attachment"],
            message_ids=[story.message.id for story in named if story.kind != "attachment" and story.message],
            filters=wished.filters,
            limit=wished.limit,
        )
        counts = would(ledger, deed, choice)
        count = sum(counts.values())
        if not dry_run:
            count = _done(context, ledger, deed, choice, by=by, expected=count)
        # The limit is one for both, and what is held goes first.
        rest = choice if choice.limit is None else replace(choice, limit=choice.limit - count)
        judged = let_out(context, ledger, rest, by, dry_run=dry_run) if deed is Deed.RELEASE else LetOut()
    theirs = {row.id: row for story in named for row in story.attachments}.values()
    alone = [row for row in theirs if State(row.state) not in FROM[deed] and row.id not in judged.meant]
    if output.as_json:
        stayed = [{"id": row.id, "state": row.state} for row in alone]
        document: dict[str, Any] = {_DONE[deed]: count, "dry_run": dry_run, "left_alone": stayed}
        document |= {"by_state": counts} if dry_run else {}
        output.json(document | judged.as_json() if deed is Deed.RELEASE else document)
        return judged.exit_code
    for row in alone:
        output.say(left_alone(row))
    judged.tell(output, dry_run=dry_run)
    if count or not (alone or judged.meant):
        output.say(_told(deed, count, counts, dry_run=dry_run))
    return judged.exit_code


def _done(context: Context, ledger: Ledger, deed: Deed, choice: Choice, *, by: By, expected: int) -> int:
    patience_s = context.loaded().settings.retry.give_up_after
    done = 0

    def told(count: int) -> None:
        nonlocal done
        bar.advance(count - done)
        done = count

    with context.output().progress("attachments") as bar:
        bar.expect(expected)
        try:
            return intervene(
                ledger, deed, choice, now=SystemClock().now(), give_up_after_s=patience_s, by=by, told=told
            )
        except KeyboardInterrupt:
            context.output().warn(f"interrupted: {done:,} {_DONE[deed]} so far, all others are as they were")
            raise


def by_whom(reason: str | None, environ: Mapping[str, str]) -> By:
    """Who calls, by what the environment says, and why. Raises UsageError for a reason that is no text."""
    named = (environ.get(name) for name in ("SUDO_USER", "LOGNAME", "USER"))
    return By(printable(next(filter(None, named), f"user {os.getuid()}")), legible("--reason", reason))


def _named(ledger: Ledger, name: str) -> Story:
    """The attachment or message that somebody named. Raises UsageError for what announces none."""
    story = queries.find_story(ledger, name)
    if story.message is None:
        raise UsageError("nothing-to-fetch", "this event announces no message", item=story.id)
    return story


def _told(deed: Deed, count: int, counts: dict[State, int], *, dry_run: bool) -> str:
    if not count:
        return f"nothing to {deed}: none of them is " + ", ".join(FROM[deed])
    if not dry_run:
        return f"{count:,} {_NEXT[deed]}"
    states = ", ".join(f"{number:,} {state}" for state, number in counts.items())
    return f"{count:,} {_WOULD[deed]}: {states}"
