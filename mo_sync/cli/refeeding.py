"""``mo-sync ledger replay --file``: events from files, taken into the ledger again, as often as one likes."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence

from mo_sync.cli.context import Context
from mo_sync.cli.output import counted
from mo_sync.clock import SystemClock
from mo_sync.errors import EventError, ExitCode
from mo_sync.events import Envelope, RawEvent, Rejected, parse, rejected
from mo_sync.feeds.refeeding import Refed, found_in, refeed
from mo_sync.ledger import Ledger
from mo_sync.ledger.record import Item, record, rehearse
from mo_sync.settings import Settings
from mo_sync.signals import heard

__all__ = ["replay_files"]


def replay_files(context: Context, names: Sequence[str], *, dry_run: bool, limit: int | None, as_json: bool) -> int:
    """Take what the files hold, at most ``limit`` events; ``dry_run`` only says what would come of it."""
    output, settings, clock = context.output(as_json=as_json), context.loaded().settings, SystemClock()
    stopped: list[int] = []
    with (
        context.ledger() as ledger,
        heard([signal.SIGINT, signal.SIGTERM], stopped.append),
        output.progress("events") as bar,
    ):
        found = found_in(names, stdin=sys.stdin.buffer, max_event=settings.limits.max_event, now=clock.now())
        recorder = _Recorder(ledger, settings, clock, dry_run=dry_run)
        done = refeed(found, recorder, limit=limit, stop=lambda: bool(stopped), told=bar.advance)
    if output.as_json:
        document = {"dry_run": dry_run, "events": done.counts, "read": done.read, "bytes_gone": done.lost}
        output.json(document | {"capped": done.capped, "whole": not (stopped or done.capped)})
    else:
        _tell(context, done, dry_run=dry_run)
    if stopped:
        output.warn("interrupted: what was read is done; say the same again for the rest")
        return 128 + stopped[0]
    if done.capped:
        output.warn(f"there are more than {done.read:,}; --limit or --all takes them")
        return ExitCode.WORK_REMAINS
    return ExitCode.SETTLED


class _Recorder:
    """Records batches, or rehearses that. What comes twice in a rehearsal counts as known the second time."""

    def __init__(self, ledger: Ledger, settings: Settings, clock: SystemClock, *, dry_run: bool) -> None:
        self._ledger = ledger
        self._patience_s = settings.retry.give_up_after
        self._clock = clock
        self._dry_run = dry_run
        self._seen: set[str] = set()

    def __call__(self, raws: Sequence[RawEvent], errors: dict[int, EventError]) -> dict[str, int]:
        batch: list[Item] = [(raw, _read(raw, errors.get(place))) for place, raw in enumerate(raws)]
        now = self._clock.now()
        if not self._dry_run:
            return _summed(record(self._ledger, batch, now=now, give_up_after_s=self._patience_s))
        outcomes = [str(one) for one in rehearse(self._ledger, batch, now=now, give_up_after_s=self._patience_s)]
        for place, (_, said) in enumerate(batch):
            if said.event_key in self._seen:
                outcomes[place] = "duplicate"
            self._seen.add(said.event_key)
        return _summed(outcomes)


def _read(raw: RawEvent, error: EventError | None) -> Envelope | Rejected:
    return parse(raw) if error is None else rejected(raw.body, error)


def _summed(outcomes: Sequence[str]) -> dict[str, int]:
    return {name: outcomes.count(name) for name in sorted({str(one) for one in outcomes})}


def _tell(context: Context, done: Refed, *, dry_run: bool) -> None:
    told = ", ".join(f"{count:,} {name}" for name, count in done.counts.items()) or "there are none"
    context.output().say(f"{'would be' if dry_run else 'read'}: {told}")
    if done.lost:
        context.output().warn(f"of {counted(done.lost, 'event')} the export has no bytes: export them with --reveal")
