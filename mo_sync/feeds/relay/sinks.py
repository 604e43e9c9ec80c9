"""The two ways to be durable: the ledger, and a segment in the drop folder."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Final

from mo_sync.events import Envelope, RawEvent, Rejected, parse
from mo_sync.feeds.relay.glance import plainly_a_message
from mo_sync.feeds.relay.spool import Spool
from mo_sync.feeds.relay.submission import Kept, Submission
from mo_sync.intake import Intake, Receipt
from mo_sync.ledger.record import Recorded
from mo_sync.shapes import Piece, pieces

__all__ = ["LedgerSink", "SpoolSink"]

_SOURCE: Final = "relay"
_SURELY_WHOLE: Final = 2_048
Item = tuple[RawEvent, Envelope | Rejected]
_RECEIPTS = {
    Recorded.NEW: Receipt(new=1),
    Recorded.DUPLICATE: Receipt(duplicate=1),
    Recorded.IGNORED: Receipt(ignored=1),
    Recorded.REJECTED: Receipt(rejected=1),
}


_RECORDED: Final = {outcome: Kept(receipt, "ledger") for outcome, receipt in _RECEIPTS.items()}
_SPOOLED: Final = Kept(Receipt(new=1), "spool")


class LedgerSink:
    """Records a batch in one transaction. ``max_event`` bounds one event of a body that holds several, in bytes.

    ``recorded`` is called after a commit that brought something new."""

    def __init__(self, intake: Intake, *, max_event: int, recorded: Callable[[], None] = lambda: None) -> None:
        self._intake = intake
        self._recorded = recorded
        self._max_event = max_event

    def keep(self, batch: Sequence[Submission]) -> list[Kept]:
        """Raises LedgerOutOfReach, and then nothing of it is recorded."""
        cut = [_events(submission, self._max_event, wrap=bool(submission.headers)) for submission in batch]
        recording = self._intake.record_parsed([event for events in cut for event in events])
        if recording.receipt.new:
            self._recorded()
        notes = dict(recording.rejections)
        if not notes and len(cut) == len(recording.outcomes):  # as nearly always: each body is one event
            return [_RECORDED[outcome] for outcome in recording.outcomes]
        kept: list[Kept] = []
        start = 0
        for events in cut:
            places = range(start, start := start + len(events))
            note = next((_note(notes[place]) for place in places if place in notes), None)
            kept.append(Kept(_sum(_RECEIPTS[recording.outcomes[place]] for place in places), "ledger", note))
        return kept


class SpoolSink:
    """Appends a batch to a segment by one write and one sync. ``max_event`` as for :class:`LedgerSink`.

    Whether an event was known before is not known here: it counts as new.
    """

    def __init__(self, spool: Spool, *, max_event: int) -> None:
        self._spool = spool
        self._max_event = max_event

    def keep(self, batch: Sequence[Submission]) -> list[Kept]:
        """Raises OutOfReach, and then nothing of it is acknowledged."""
        lines: list[bytes] = []
        kept: list[Kept] = []
        for submission in batch:
            if plainly_a_message(submission.body):
                lines += submission.wrapped(), b"\n"
                kept.append(_SPOOLED)
                continue
            events = _events(submission, self._max_event, wrap=True)
            lines += [part for raw, _ in events for part in (raw.body, b"\n")]
            kept.append(_looked_at([parsed for _, parsed in events]))
        self._spool.append(lines)
        return kept

    def tend(self) -> float:
        """Hand over a segment that is old enough; in how many seconds to look again."""
        return self._spool.tend()

    def probe(self) -> None:
        """Raises OutOfReach when nothing could be kept now."""
        self._spool.probe()


def _events(submission: Submission, max_event: int, *, wrap: bool) -> list[Item]:
    """Usually the body is one event. What holds several, or cannot be understood, is cut as a dropped file is.

    ``wrap`` keeps each with the headers, as one line. That line says what its body says.
    """
    if submission.said is not None:
        return [(_raw(submission, wrap=wrap), submission.said)]
    parsed = _parsed(submission)
    if not isinstance(parsed, Rejected):
        return [(_raw(submission, wrap=wrap), parsed)]
    several = [replace(submission, body=part) for part in _parts(submission.body, max_event)]
    return [(_raw(one, wrap=wrap), _parsed(one)) for one in several]


def _parsed(submission: Submission) -> Envelope | Rejected:
    """Without the wrap: what is refused is told of what was sent, and known again when it comes again."""
    return parse(_raw(submission, wrap=False))


def _raw(submission: Submission, *, wrap: bool) -> RawEvent:
    body = submission.wrapped() if wrap else submission.body
    return RawEvent(_SOURCE, body, submission.received_at, submission.headers)


def _parts(body: bytes, max_event: int) -> list[bytes]:
    """The single events in ``body``. Of what is broken a part may be all that can be shown: then all of it is kept."""
    found = list(pieces(io.BytesIO(body), max_event=max_event))
    parts = [piece.raw for piece in found if piece.error is None or _is_whole(piece)]
    return parts if parts and len(parts) == len(found) else [*parts, body]


def _is_whole(piece: Piece) -> bool:
    return bool(piece.raw) and len(piece.raw) <= _SURELY_WHOLE and not piece.raw.startswith(b"(")


def _looked_at(events: Sequence[Envelope | Rejected]) -> Kept:
    note = next((_note(parsed) for parsed in events if isinstance(parsed, Rejected)), None)
    return Kept(_sum(map(_unlooked, events)), "spool", note)


def _unlooked(parsed: Envelope | Rejected) -> Receipt:
    if isinstance(parsed, Rejected):
        return _RECEIPTS[Recorded.REJECTED]
    return _RECEIPTS[Recorded.NEW if parsed.message else Recorded.IGNORED]


def _sum(receipts: Iterable[Receipt]) -> Receipt:
    """Usually there is one."""
    first, *others = receipts
    return sum(others, first)


def _note(why: Rejected) -> str:
    return f"{why.reason} (at {why.position})" if why.position else why.reason
