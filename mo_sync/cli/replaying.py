"""``mo-sync ledger replay``: events read again, as the ledger kept them, or from files."""

from __future__ import annotations

import io
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Annotated

import typer

from mo_sync.cli import completing
from mo_sync.cli.context import Context, context_of
from mo_sync.cli.filtering import MOST, AsJson, DryRun, Since, Until, known_states, when
from mo_sync.cli.output import counted
from mo_sync.cli.refeeding import take_files
from mo_sync.cli.sparing import refuse_to_read_own
from mo_sync.clock import SystemClock
from mo_sync.errors import ExitCode, UsageError
from mo_sync.events import Envelope, RawEvent, Rejected, parse, rejected
from mo_sync.feeds.refeeding import Refed
from mo_sync.ledger import Ledger, queries
from mo_sync.ledger.filters import EVENT_STATES
from mo_sync.ledger.record import Recorded
from mo_sync.ledger.replay import Kept, Which, newest, replay, replayable, replayable_count
from mo_sync.settings import Settings
from mo_sync.shapes import pieces
from mo_sync.signals import heard

__all__ = ["replay_events"]

_AT_ONCE = 50


def replay_events(
    ctx: typer.Context,
    wanted: Annotated[
        list[str] | None, typer.Argument(metavar="ID", help="Events.", autocompletion=completing.ids)
    ] = None,
    *,
    state: Annotated[
        list[str] | None,
        typer.Option(
            "--state",
            metavar="STATE",
            help="Only what is rejected, ignored or accepted; repeat it.",
            autocompletion=completing.event_states,
        ),
    ] = None,
    files: Annotated[
        list[str] | None,
        typer.Option(
            "--file",
            metavar="PATH",
            help="Not the ledger's own, but events from a file, from all files of a folder (as done/ of the drop "
            "folder), from an export of events, or - for what is piped in; repeat it.",
        ),
    ] = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[
        int, typer.Option("--limit", metavar="COUNT", min=1, max=MOST, help="At most so many, the oldest first.")
    ] = 10_000,
    everything: Annotated[bool, typer.Option("--all", help="All of them, whatever --limit says.")] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> int:
    """Read events again as they came: after an upgrade that understands more of them, or from files.

    What is understood now takes the place of what was not. What was understood before gains what is found in it only
    now, and else changes nothing, however often; what was pruned or erased does not come back. Files stay where they
    are, and are read as the drop folder reads them.

    Example: mo-sync ledger replay --state rejected --dry-run
    """
    context, clock = context_of(ctx), SystemClock()
    context.output(as_json=as_json)
    settings = context.loaded().settings
    context.start_log()
    if files and (wanted or state or since or until):
        hint = "say either --file, or which of the ledger's events"
        raise UsageError("too-much-chosen", "--file is read whole", item="--file", hint=hint)
    refuse_to_read_own(context, files or [])
    now, states = clock.now(), known_states(state, EVENT_STATES)
    if not wanted and not states and not files:
        hint = "name events, or say which with --state rejected, or where they are with --file"
        raise UsageError("nothing-chosen", "it was not said what to read again", hint=hint)
    most = None if everything else limit
    stopped: list[int] = []
    with (
        context.ledger() as ledger,
        heard([signal.SIGINT, signal.SIGTERM], stopped.append, second_ends=True),
        context.output(as_json=as_json).progress("events") as bar,
    ):

        def stop() -> bool:
            return bool(stopped)

        if files:
            done = take_files(ledger, settings, clock, files, dry_run=dry_run, limit=most, stop=stop, told=bar.advance)
        else:
            keys = [_event(ledger, name) for name in wanted or []]
            which = Which(keys, states, since=when(since, now), until=when(until, now))
            total = replayable_count(ledger, which)
            bar.expect(total if most is None else min(total, most))
            again = _Again(ledger, settings, clock, dry_run=dry_run)
            done = again.read(which, limit=most, stop=stop, told=bar.advance)
    code = _tell(context, done, stopped, dry_run=dry_run, as_json=as_json)
    # Of the ledger's own it is known already, and told by list --problems.
    unread = bool(files) and (done.lost > 0 or "rejected" in done.counts)
    return ExitCode.NEEDS_A_PERSON if code == ExitCode.SETTLED and unread else code


class _Again:
    """Reads again what the ledger kept."""

    def __init__(self, ledger: Ledger, settings: Settings, clock: SystemClock, *, dry_run: bool) -> None:
        self._ledger = ledger
        self._settings = settings
        self._clock = clock
        self._dry_run = dry_run

    def read(
        self, which: Which, *, limit: int | None, stop: Callable[[], bool], told: Callable[[int], object]
    ) -> Refed:
        """The next ``limit`` of them, until ``stop`` says so, which is asked before each."""
        done, counts = Refed(), Counter[str]()
        for kept in _kept(self._ledger, which):
            if stop():
                break
            if limit is not None and done.read >= limit:
                done.capped = True
                break
            done.read += 1
            parsed = list(_parsed(kept, max_event=self._settings.limits.max_event))
            if not parsed:
                done.lost += 1
            elif self._dry_run:
                counts.update(_would(said) for _, said in parsed)
            else:
                patience_s = self._settings.retry.give_up_after
                now = self._clock.now()
                counts.update(replay(self._ledger, kept, parsed, now=now, give_up_after_s=patience_s))
            told(1)
        done.counts = {str(name): count for name, count in sorted(counts.items())}
        return done


def _tell(context: Context, done: Refed, stopped: list[int], *, dry_run: bool, as_json: bool) -> int:
    output = context.output(as_json=as_json)
    if output.as_json:
        document = {"dry_run": dry_run, "events": done.counts, "read": done.read, "bytes_gone": done.lost}
        output.json(document | {"capped": done.capped, "whole": not (stopped or done.capped)})
    else:
        told = ", ".join(f"{count:,} {name}" for name, count in done.counts.items())
        head = "would be: " if dry_run else "read again: "
        output.say(head + told if told else "there are none to be read again")
    if done.lost:
        output.warn(f"the bytes of {counted(done.lost, 'event')} are not there; an export has them with --reveal")
    if stopped:
        # Nothing says where it was: of what is read twice the second time changes nothing.
        output.warn(f"interrupted after {counted(done.read, 'event')}; the same command begins with the first again")
        return 128 + stopped[0]
    if done.capped:
        output.warn(f"there are more than {done.read:,}; --limit or --all takes them")
        return ExitCode.WORK_REMAINS
    return ExitCode.SETTLED


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
