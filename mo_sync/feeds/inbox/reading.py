"""One span of one inbox, read to its end, page by page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import structlog

from mo_sync.clock import Clock
from mo_sync.feeds.inbox.patience import asked
from mo_sync.feeds.inbox.scopes import Scope
from mo_sync.feeds.inbox.spans import Span
from mo_sync.feeds.inbox.taking import Taken, Taker
from mo_sync.feeds.inbox.walk import Walk
from mo_sync.gateway.inbox import Inbox
from mo_sync.gateway.inboxrows import InboxPage, InboxRow
from mo_sync.intake import Intake
from mo_sync.ledger import Ledger
from mo_sync.lifecycle import Failed, Interrupted

__all__ = ["Reader", "Reading"]

_log = structlog.get_logger(__name__)

_FAR: Final = timedelta(days=1)


@dataclass(slots=True)
class Reading:
    """What came of a span. ``trouble`` ended it early; else all was seen, as far as anybody can tell, if ``complete``.

    ``told_at`` is the server's own time when it began. ``unfiltered``: it shows messages of any time.
    """

    taken: Taken = field(default_factory=Taken)
    pages: int = 0
    told_at: datetime | None = None
    unfiltered: bool = False
    complete: bool = False
    trouble: Failed | Interrupted | None = None


class Reader:
    """Reads inboxes, ``page`` messages at once. Without an ``intake`` it only compares."""

    def __init__(self, inbox: Inbox, ledger: Ledger, intake: Intake | None, clock: Clock, *, page: int) -> None:
        self._inbox = inbox
        self._ledger = ledger
        self._intake = intake
        self._clock = clock
        self._page = page

    def read(
        self,
        scope: Scope,
        span: Span,
        *,
        source: str,
        floor: datetime,
        stop: Callable[[], bool],
        between: Callable[[], object] = lambda: None,
        within: Span | None = None,
    ) -> Reading:
        """Go through ``span``. Messages from before ``floor`` are passed over, also where the server shows them.

        Of those that were not received ``within`` it is only noted that they are shown; None: there are no such.
        ``stop`` is asked all the time; what was recorded before stays so, and to read it again changes nothing.
        ``between`` is called between pages, and may take its time. Raises LedgerOutOfReach.
        """
        reading, walk = Reading(), Walk(self._page, floor)
        taker = Taker(scope, source, self._inbox, self._ledger, self._intake, self._clock, stop, within)
        while not walk.ended and reading.trouble is None:
            page = asked(lambda: self._ask(scope, span, walk.offset, stop), self._clock, stop)
            reading.pages += 1
            if isinstance(page, InboxPage):
                reading.told_at = reading.told_at or page.told_at
                reading.unfiltered |= any(_outside(row, span) for row in page.rows)
                rows = [row for row in walk.take(page) if _wanted(row, floor)]
                reading.trouble = taker.take(rows, reading.taken)
            else:
                reading.trouble = page
            if reading.trouble is None and not walk.ended:
                between()
                reading.trouble = Interrupted() if stop() else None
        reading.complete = walk.complete
        if walk.ended and not walk.complete:
            hint = "its order changes while it is read; what was passed over is looked for the next time"
            _log.warning("inbox.restless", inbox=scope.name, rounds=walk.rounds, messages=len(walk), hint=hint)
        return reading

    def _ask(self, scope: Scope, span: Span, offset: int, stop: Callable[[], bool]) -> InboxPage | Failed | Interrupted:
        return self._inbox.page(
            scope.application_id, since=span.since, until=span.until, offset=offset, limit=self._page, stop=stop
        )


def _wanted(row: InboxRow, floor: datetime) -> bool:
    return row.direction == "MO" and (row.created_at is None or row.created_at >= floor)


def _outside(row: InboxRow, span: Span) -> bool:
    """Far from the span: the server does not heed the times that it is asked for."""
    at = row.created_at
    return at is not None and not span.since - _FAR <= at <= span.until + _FAR
