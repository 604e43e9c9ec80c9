"""The inbox feed: what is new since the last look, and once, in pieces, all that there was before.

A cursor for each inbox says up to when everything was seen. It moves when a span was read to its end and all of it is
recorded; each look goes back some time before it, since lists and clocks are late at times. Reading anything twice
changes nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

import structlog

from mo_sync.clock import Clock
from mo_sync.errors import LedgerOutOfReach
from mo_sync.feeds.inbox.differences import EDGE, differences, note
from mo_sync.feeds.inbox.reading import Reader, Reading
from mo_sync.feeds.inbox.scopes import Scope
from mo_sync.feeds.inbox.spans import USUAL_S, Span, ahead, before, next_length_s
from mo_sync.intake import Receipt
from mo_sync.ledger import Ledger, gaps, places
from mo_sync.ledger.duties import Duties
from mo_sync.ledger.gaps import Gap, Kind
from mo_sync.ledger.places import Left, Place
from mo_sync.lifecycle import Failed
from mo_sync.settings import Inbox as InboxSettings

__all__ = ["InboxFeed", "Looked"]

_log = structlog.get_logger(__name__)

_RECOVERED: Final = "inbox.recovered"
_FILL_S: Final = 600.0
_LATE: Final = timedelta(minutes=15)
_AHEAD: Final = timedelta(days=1)
"""A server's clock may be ahead of ours: what it calls tomorrow is looked at today."""
_MOST_SKEW: Final = timedelta(days=1)

Stop = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Looked:
    """What came of looks into inboxes: how many spans of time were seen, the events, how many messages nobody had
    announced, and what went wrong."""

    spans: int = 0
    receipt: Receipt = field(default_factory=Receipt)
    recovered: int = 0
    troubles: tuple[str, ...] = ()

    def __add__(self, other: Looked) -> Looked:
        return Looked(
            self.spans + other.spans,
            self.receipt + other.receipt,
            self.recovered + other.recovered,
            (*self.troubles, *other.troubles),
        )


class InboxFeed:
    """Looks into the inboxes of ``scopes``, of which ``duties`` give each to one process at a time.

    ``kept_since`` says from when on what is recorded is kept (``[retention]``): nothing older is taken. ``stop`` is
    asked all the time.
    """

    def __init__(
        self,
        reader: Reader,
        scopes: Sequence[Scope],
        ledger: Ledger,
        clock: Clock,
        *,
        settings: InboxSettings,
        duties: Duties,
        kept_since: Callable[[], datetime | None] = lambda: None,
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._settings = settings
        self._scopes = scopes
        self._duties = duties
        self._kept_since = kept_since
        self._reader = reader

    def look(self, stop: Stop) -> Looked:
        """See what is new in each inbox whose turn it is. Raises LedgerOutOfReach."""
        looked = Looked()
        for scope in self._scopes:
            with self._duty(f"inbox:{scope.name}", self._settings.interval, stop) as mine:
                if mine:
                    looked += self._look(scope, stop)
        return looked

    def fill(self, stop: Stop, *, between: Callable[[], object] = lambda: None) -> Looked:
        """Go on with what there was before the first look, the newest first, for some minutes.

        ``between`` is called between pages, and may take its time. Raises LedgerOutOfReach.
        """
        looked = Looked()
        for scope in self._scopes:
            if self._place(scope).left is None:
                continue
            with self._duty(f"backfill:{scope.name}", _FILL_S, stop, returned=True) as mine:
                if mine:
                    looked += self._fill(scope, stop, between)
        return looked

    @property
    def is_filled(self) -> bool:
        """Whether each was looked into, and nothing of what there was before is left. Raises LedgerOutOfReach."""
        mine = [self._place(scope) for scope in self._scopes]
        return all(place.seen_to is not None and place.left is None for place in mine)

    def _place(self, scope: Scope) -> Place:
        return places.places(self._ledger).get(scope.name, Place())

    @contextlib.contextmanager
    def _duty(self, name: str, for_s: float, stop: Stop, *, returned: bool = False) -> Iterator[bool]:
        """Whether the block is to do it. It is given back after a stop, after an error, or if it is ``returned``."""
        lease = None if stop() else self._duties.take(name, for_s)
        try:
            yield lease is not None
        except BaseException:
            returned = True
            raise
        finally:
            if lease is not None and (returned or stop()):
                with contextlib.suppress(LedgerOutOfReach):  # then it ends by itself, later
                    self._duties.give_back(name, lease)

    def _look(self, scope: Scope, stop: Stop) -> Looked:
        now, place, looked = self._clock.now(), self._place(scope), Looked()
        since, left = self._since(place, now), None
        if place.seen_to is None and self._settings.backfill > self._settings.overlap:
            left = Left(now - timedelta(seconds=self._settings.backfill), since)
        for span in ahead(since, now):
            floor = self._floor(span.since)
            asked_for = span if span.until < now else Span(span.since, now + _AHEAD)
            reading = self._reader.read(scope, asked_for, source=f"inbox:{scope.name}", floor=floor, stop=stop)
            looked += self._told(scope, reading, was=_RECOVERED)
            if reading.trouble is not None:
                return looked
            self._note_differences(scope, Span(floor, span.until), reading)
            to = _seen_to(span, reading, now)
            # By now another may have looked: its time is compared with the one it is, not with when this began.
            places.seen(self._ledger, scope.name, to, now=self._clock.now(), left=left)
        return looked

    def _since(self, place: Place, now: datetime) -> datetime:
        """A cursor that was set by a clock that ran ahead says nothing about the time until it."""
        return min(place.seen_to or now, now) - timedelta(seconds=self._settings.overlap)

    def _fill(self, scope: Scope, stop: Stop, between: Callable[[], object]) -> Looked:
        looked, until_s, length_s = Looked(), self._clock.monotonic() + _FILL_S / 2, USUAL_S
        while self._clock.monotonic() < until_s:
            place = self._place(scope)
            span = before(place.left.since, place.left.until, length_s) if place.left is not None else None
            if place.left is None or span is None:
                break
            floor = self._floor(place.left.since)
            source = f"backfill:{scope.name}"
            reading = self._reader.read(scope, span, source=source, floor=floor, stop=stop, between=between)
            looked += self._told(scope, reading, was="inbox.backfilled")
            if reading.trouble is not None:
                break
            length_s = next_length_s(length_s, reading.pages)
            # A server that heeds no times has shown everything.
            done = reading.unfiltered or span.since <= place.left.since
            left = None if done else Left(place.left.since, span.since)
            places.gone_through(self._ledger, scope.name, place.left, left, now=self._clock.now())
        return looked

    def _floor(self, since: datetime) -> datetime:
        kept = self._kept_since()
        return since if kept is None else max(since, kept)

    def _told(self, scope: Scope, reading: Reading, *, was: str) -> Looked:
        """Say what a reading brought; what is wrong with an inbox is kept in the ledger until it is not any more."""
        missing, now = reading.taken.missing, self._clock.now()
        late = sum(one.since is not None and one.since < now - _LATE for one in missing)
        if late and was == _RECOVERED:
            hint = "nobody announced them: see whether the webhook is up (docs/inbox.md)"
            _log.warning("inbox.recovered", inbox=scope.name, messages=len(missing), late=late, hint=hint)
        elif missing:
            _log.info(was, inbox=scope.name, messages=len(missing))
        looked = Looked(int(reading.trouble is None), reading.taken.receipt, len(missing))
        if isinstance(reading.trouble, Failed):
            reason = reading.trouble.reason
            _log.warning("inbox.out-of-reach", inbox=scope.name, reason=reason, hint="it is tried again by itself")
            away = Gap(Kind.INBOX_OUT_OF_REACH, scope.name, scope.application_id, now, reason)
            gaps.begin(self._ledger, away, now=now)
            return replace(looked, troubles=(f"{scope.name}: {reason}",))
        if reading.trouble is None and gaps.end(self._ledger, Kind.INBOX_OUT_OF_REACH, scope.name):
            _log.info("inbox.back", inbox=scope.name)
        return looked

    def _note_differences(self, scope: Scope, span: Span, reading: Reading) -> None:
        """``span`` is what was taken from: of what is older than is kept, the inbox was not heard."""
        inner = Span(span.since + EDGE, span.until - EDGE)
        if reading.complete and inner.since < inner.until:
            found = differences(self._ledger, scope, inner, reading, recorded=True)
            note(self._ledger, scope, inner, found, now=self._clock.now())


def _seen_to(span: Span, reading: Reading, now: datetime) -> datetime:
    """By the server's clock, by which messages are dated, as far as it can be believed."""
    told = reading.told_at
    if span.until < now or told is None or abs(told - now) > _MOST_SKEW:
        return span.until
    return min(told, now)
