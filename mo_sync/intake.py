"""Many events in, one transaction, one receipt out: the only way from a feed into the ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mo_sync.clock import Clock
from mo_sync.errors import EventError
from mo_sync.events import Envelope, RawEvent, Rejected, parse, rejected
from mo_sync.ledger import Ledger
from mo_sync.ledger.record import Recorded, record

__all__ = ["Intake", "Receipt", "Recording"]

_NO_ERRORS: Mapping[int, EventError] = {}


@dataclass(frozen=True, slots=True)
class Receipt:
    """How many events were new, known already, understood but not ours, and not understood.

    >>> Receipt(new=2) + Receipt(duplicate=1, new=1)
    Receipt(new=3, duplicate=1, ignored=0, rejected=0)
    """

    new: int = 0
    duplicate: int = 0
    ignored: int = 0
    rejected: int = 0

    def __add__(self, other: Receipt) -> Receipt:
        return Receipt(
            self.new + other.new,
            self.duplicate + other.duplicate,
            self.ignored + other.ignored,
            self.rejected + other.rejected,
        )


@dataclass(frozen=True, slots=True)
class Recording:
    """What became of a batch: the counts, which of its events (by index) were not understood and why, and each outcome.

    An event that was rejected before and comes again counts as a duplicate, but is among the rejections all the same.
    """

    receipt: Receipt
    rejections: tuple[tuple[int, Rejected], ...]
    outcomes: tuple[Recorded, ...]


class Intake:
    """Parses and records. ``give_up_after_s`` sets the deadlines of the attachments that new messages announce."""

    def __init__(self, ledger: Ledger, clock: Clock, *, give_up_after_s: float) -> None:
        self._ledger = ledger
        self._clock = clock
        self._give_up_after_s = give_up_after_s

    def record(self, raws: Sequence[RawEvent], *, errors: Mapping[int, EventError] = _NO_ERRORS) -> Recording:
        """Record all of ``raws`` in one transaction; when this returns they are durable. May be repeated at will.

        ``errors`` holds, by index, those that a feed could not even cut out of what it received: they are recorded as
        rejected, with their bytes. Raises LedgerOutOfReach, and then none of them is recorded.
        """
        return self.record_parsed([(raw, self._parsed(raw, errors.get(index))) for index, raw in enumerate(raws)])

    def record_parsed(self, parsed: Sequence[tuple[RawEvent, Envelope | Rejected]]) -> Recording:
        """The same for events that their feed has parsed already."""
        outcomes = record(self._ledger, parsed, now=self._clock.now(), give_up_after_s=self._give_up_after_s)
        told = tuple(
            (index, _rejection(event))
            for index, ((_, event), outcome) in enumerate(zip(parsed, outcomes, strict=True))
            if outcome is Recorded.REJECTED or isinstance(event, Rejected)
        )
        return Recording(_receipt(outcomes), told, tuple(outcomes))

    def _parsed(self, raw: RawEvent, error: EventError | None) -> Envelope | Rejected:
        return parse(raw) if error is None else rejected(raw.body, error)


def _rejection(event: Envelope | Rejected) -> Rejected:
    """Why this event is not among the recorded ones; the ledger itself may reject what the parser understood."""
    if isinstance(event, Rejected):
        return event
    return Rejected(event.event_key, "it was understood, but could not be recorded", "")


def _receipt(outcomes: Sequence[Recorded]) -> Receipt:
    counts = Counter(outcomes)
    return Receipt(
        counts[Recorded.NEW], counts[Recorded.DUPLICATE], counts[Recorded.IGNORED], counts[Recorded.REJECTED]
    )
