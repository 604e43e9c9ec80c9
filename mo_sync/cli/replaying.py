"""``mo-sync ledger replay``: events that were kept, read again."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator
from typing import Annotated

import typer

from mo_sync.cli.context import context_of
from mo_sync.cli.filtering import AsJson, DryRun, Since, Until, when, words_of
from mo_sync.clock import SystemClock
from mo_sync.errors import ExitCode, UsageError
from mo_sync.events import Envelope, RawEvent, Rejected, parse, rejected
from mo_sync.ledger import Ledger, queries
from mo_sync.ledger.record import Recorded
from mo_sync.ledger.replay import Kept, Which, newest, replay, replayable, replayable_count
from mo_sync.shapes import pieces

__all__ = ["replay_events"]

_AT_ONCE = 50
_STATES = ("accepted", "ignored", "rejected")
_LOST = "without bytes"


def replay_events(
    ctx: typer.Context,
    wanted: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Events.")] = None,
    *,
    state: Annotated[
        list[str] | None,
        typer.Option("--state", metavar="STATE", help="Only what is rejected, ignored or accepted; repeat it."),
    ] = None,
    since: Since = None,
    until: Until = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> int:
    """Read events again as they came: after an upgrade that understands more of them, or to see what this one would.

    What is understood now takes the place of what was not. What was understood before gains what is found in it only
    now, and else changes nothing, however often; what was pruned or erased does not come back.

    Example: mo-sync ledger replay --state rejected --dry-run
    """
    context, clock = context_of(ctx), SystemClock()
    output, settings = context.output(as_json=as_json), context.loaded().settings
    context.start_log()
    now = clock.now()
    states = _states(state)
    if not wanted and not states:
        hint = "name events, or say which with --state rejected"
        raise UsageError("nothing-chosen", "it was not said what to read again", hint=hint)
    counts: Counter[str] = Counter()
    with context.ledger() as ledger, output.progress("events") as bar:
        keys = [_event(ledger, name) for name in wanted or []]
        which = Which(keys, states, since=when(since, now), until=when(until, now))
        bar.expect(replayable_count(ledger, which))
        for kept in _kept(ledger, which):
            parsed = list(_parsed(kept, max_event=settings.limits.max_event))
            if not parsed:
                counts[_LOST] += 1
            elif dry_run:
                counts.update(_would(said) for _, said in parsed)
            else:
                patience_s = settings.retry.give_up_after
                counts.update(replay(ledger, kept, parsed, now=clock.now(), give_up_after_s=patience_s))
            bar.advance(1)
    if output.as_json:
        output.json({"dry_run": dry_run, "events": {str(name): count for name, count in sorted(counts.items())}})
    else:
        told = ", ".join(f"{count:,} {name}" for name, count in sorted(counts.items())) or "there are none"
        output.say(f"{'would be' if dry_run else 'read again'}: {told}")
    return ExitCode.SETTLED


def _states(given: list[str] | None) -> list[str]:
    names = words_of(given)
    for name in names:
        if name not in _STATES:
            hint = f"states of events are {', '.join(_STATES)}"
            raise UsageError("state-unknown", f"{name!r} is none", item="--state", hint=hint)
    return names


def _event(ledger: Ledger, name: str) -> str:
    story = queries.find_story(ledger, name)
    if story.kind != "event":
        hint = f"mo-sync ledger show {name} names its events"
        raise UsageError("no-event", "this is no event", item=name, hint=hint)
    return story.id


def _kept(ledger: Ledger, which: Which) -> Iterator[Kept]:
    """Only what is there now: what is recorded meanwhile, also by this, need not be read again."""
    after, upto = 0, newest(ledger)
    while some := replayable(ledger, which, after=after, upto=upto, count=_AT_ONCE):
        yield from some
        after = some[-1].id


def _parsed(kept: Kept, *, max_event: int) -> Iterator[tuple[RawEvent, Envelope | Rejected]]:
    """As the drop folder reads it, which takes several at once too."""
    if kept.raw is None:
        return
    for piece in pieces(io.BytesIO(kept.raw.body), max_event=max_event):
        raw = RawEvent(kept.raw.source, piece.raw, kept.raw.received_at)
        yield raw, parse(raw) if piece.error is None else rejected(piece.raw, piece.error)


def _would(said: Envelope | Rejected) -> str:
    if isinstance(said, Rejected):
        return Recorded.REJECTED.value
    return "understood" if said.message is not None else Recorded.IGNORED.value
