"""``mo-sync ledger replay --file``: events from files, taken into the ledger again, as often as one likes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from hashlib import blake2b

from mo_sync.clock import Clock
from mo_sync.errors import EventError
from mo_sync.events import Envelope, RawEvent, Rejected, parse, rejected
from mo_sync.feeds.refeeding import Refed, found_in, refeed
from mo_sync.ledger import Ledger
from mo_sync.ledger.record import Item, record, rehearse
from mo_sync.settings import Settings

__all__ = ["take_files"]


def take_files(
    ledger: Ledger,
    settings: Settings,
    clock: Clock,
    names: Sequence[str],
    *,
    dry_run: bool,
    limit: int | None,
    stop: Callable[[], bool],
    told: Callable[[int], object],
) -> Refed:
    """Take what the files hold, at most ``limit`` events; ``dry_run`` only says what would come of it.

    Raises UsageError for what cannot be read, and LedgerOutOfReach.
    """
    found = found_in(names, stdin=sys.stdin.buffer, max_event=settings.limits.max_event, now=clock.now(), stop=stop)
    return refeed(found, _Recorder(ledger, settings, clock, dry_run=dry_run), limit=limit, stop=stop, told=told)


class _Recorder:
    """Records batches, or rehearses that. What comes twice in a rehearsal counts as known the second time."""

    def __init__(self, ledger: Ledger, settings: Settings, clock: Clock, *, dry_run: bool) -> None:
        self._ledger = ledger
        self._patience_s = settings.retry.give_up_after
        self._clock = clock
        self._dry_run = dry_run
        self._seen: set[bytes] = set()  # of many millions of events the keys would fill the memory

    def __call__(self, raws: Sequence[RawEvent], errors: dict[int, EventError]) -> dict[str, int]:
        batch: list[Item] = [(raw, _read(raw, errors.get(place))) for place, raw in enumerate(raws)]
        now = self._clock.now()
        if not self._dry_run:
            return _counted(record(self._ledger, batch, now=now, give_up_after_s=self._patience_s))
        outcomes = [str(one) for one in rehearse(self._ledger, batch, now=now, give_up_after_s=self._patience_s)]
        for place, (_, said) in enumerate(batch):
            known = blake2b(said.event_key.encode("utf-8", "surrogatepass"), digest_size=16).digest()
            if known in self._seen:
                outcomes[place] = "duplicate"
            self._seen.add(known)
        return _counted(outcomes)


def _read(raw: RawEvent, error: EventError | None) -> Envelope | Rejected:
    return parse(raw) if error is None else rejected(raw.body, error)


def _counted(outcomes: Sequence[str]) -> dict[str, int]:
    return {name: outcomes.count(name) for name in sorted({str(one) for one in outcomes})}
