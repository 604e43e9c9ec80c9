"""Going through inboxes because a person asks for it: from then on, whatever was seen before. No cursor moves."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from mo_sync.clock import Clock
from mo_sync.feeds.inbox.differences import EDGE, differences, note
from mo_sync.feeds.inbox.reading import Reader
from mo_sync.feeds.inbox.scopes import Scope
from mo_sync.feeds.inbox.spans import USUAL_S, Span, before, next_length_s
from mo_sync.feeds.inbox.taking import Taken
from mo_sync.gateway import Credentials, Gateway
from mo_sync.gateway.pace import Spacing
from mo_sync.intake import Intake, Receipt
from mo_sync.ledger import Ledger
from mo_sync.ledger.duties import Duties
from mo_sync.ledger.gaps import Gap
from mo_sync.lifecycle import Failed
from mo_sync.settings import Settings

__all__ = ["ByHand", "Gone", "by_hand"]

Stop = Callable[[], bool]

_MOST: Final = 10_000
"""Of each kind of difference in a part: the inbox of another application shows none of a million messages."""


@dataclass(slots=True)
class Gone:
    """What came of going through inboxes, the newest first: how many messages they have, and how many of them were
    ``missing`` in the ledger.

    ``more``: of some part not all that differs is among the ``gaps``, it was too much.
    ``reached`` says of those that were not gone through to the end how far they were. ``troubles`` says why.
    ``restless``: those whose order changed while they were read, so that not all of them was compared.
    """

    shown: int = 0
    missing: int = 0
    receipt: Receipt = field(default_factory=Receipt)
    gaps: list[Gap] = field(default_factory=list)
    more: bool = False
    troubles: list[str] = field(default_factory=list)
    reached: dict[str, datetime] = field(default_factory=dict)
    restless: set[str] = field(default_factory=set)
    _timeless: set[str] = field(default_factory=set)

    @property
    def whole(self) -> bool:
        """Whether all that was asked for was seen."""
        return not (self.reached or self.troubles or self.restless)

    def count(self, part: Span, taken: Taken) -> None:
        """Add what was taken within ``part``. What has no time is in each part, and counts once."""
        self.receipt += taken.receipt
        once = {name for name, at in taken.shown.items() if part.has(at)} - self._timeless
        self.shown += len(once)
        self.missing += sum(one.message_id in once for one in taken.missing)
        self._timeless |= {name for name in once if taken.shown[name] is None}


@contextlib.contextmanager
def by_hand(settings: Settings, ledger: Ledger, clock: Clock, worker: str, *, records: bool) -> Iterator[ByHand]:
    """With a gateway of its own. ``records``: what is found is recorded, or only compared.

    Raises ConfigurationError.
    """
    pace = settings.gateway.requests_per_second
    gateway = Gateway(
        settings.gateway,
        Credentials(settings.gateway, settings.applications),
        clock,
        spacing=Spacing(lambda _: pace),
        guard=Duties(ledger, worker, clock),
    )
    intake = Intake(ledger, clock, give_up_after_s=settings.retry.give_up_after)
    try:
        reader = Reader(gateway.inbox, ledger, intake if records else None, clock, page=settings.inbox.page)
        yield ByHand(reader, ledger, clock, records=records)
    finally:
        gateway.close()


class ByHand:
    """Goes through spans of inboxes with ``reader``. ``records``: whether that records what it finds."""

    def __init__(self, reader: Reader, ledger: Ledger, clock: Clock, *, records: bool) -> None:
        self._reader = reader
        self._ledger = ledger
        self._clock = clock
        self._records = records

    def go_through(
        self, scopes: Sequence[Scope], span: Span, *, stop: Stop, told: Callable[[Span], object] = lambda _: None
    ) -> Gone:
        """Go through ``span`` of each inbox. ``told`` hears of each part that is done. Raises LedgerOutOfReach.

        What differs is noted in the ledger, in the place of what was noted before of that time.
        """
        gone = Gone()
        for scope in scopes:
            part, length_s = before(span.since, span.until), USUAL_S
            while part is not None:
                pages = self._read(scope, part, gone, stop)
                if pages is None:
                    gone.reached[scope.name] = part.until
                    break
                told(part)
                length_s = next_length_s(length_s, pages)
                part = before(span.since, part.since, length_s)
        return gone

    def _read(self, scope: Scope, part: Span, gone: Gone, stop: Stop) -> int | None:
        """How many pages it took; None when it was not gone through to its end."""
        wider = Span(part.since - EDGE, part.until + EDGE)
        found = self._reader.read(
            scope, wider, source=f"backfill:{scope.name}", floor=wider.since, stop=stop, within=part
        )
        gone.count(part, found.taken)
        if found.trouble is not None:
            gone.troubles += [f"{scope.name}: {found.trouble.reason}"] if isinstance(found.trouble, Failed) else []
            return None
        if not found.complete:
            gone.restless.add(scope.name)
        inner = Span(part.since, min(part.until, self._clock.now() - EDGE))
        if found.complete and inner.since < inner.until:
            differing = differences(self._ledger, scope, inner, found, recorded=self._records, most=_MOST)
            note(self._ledger, scope, inner, differing, now=self._clock.now())
            gone.gaps += differing
            gone.more |= _MOST in Counter(one.kind for one in differing).values()
        return found.pages
