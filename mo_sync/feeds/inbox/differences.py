"""What only one side has of a span that was seen whole: what is told of it, and kept in the ledger."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Final

from mo_sync.feeds.inbox.reading import Reading
from mo_sync.feeds.inbox.scopes import Scope
from mo_sync.feeds.inbox.spans import Span
from mo_sync.feeds.inbox.taking import Differing
from mo_sync.ledger import Ledger, gaps
from mo_sync.ledger.gaps import Gap, Kind
from mo_sync.ledger.holdings import held_between

__all__ = ["EDGE", "differences", "note"]

EDGE: Final = timedelta(minutes=15)
"""An event's time and the inbox's are not the same to the second, and what is new may not be listed yet."""
_MOST: Final = 1_000
_NOT_THERE: Final = "it was announced, and the inbox does not show it"


def differences(
    ledger: Ledger, scope: Scope, inner: Span, reading: Reading, *, recorded: bool, most: int = _MOST
) -> list[Gap]:
    """What differs within ``inner``, of which more was read by :data:`EDGE` on both sides. Raises LedgerOutOfReach.

    At most ``most`` of each kind; an inbox that shows nothing at all is one. What only the inbox has is no difference
    any more where it was ``recorded``.
    """
    taken = reading.taken
    ours = held_between(ledger, scope.owners, inner.since, inner.until)
    if not taken.shown:
        return [_empty(scope, inner, *one[:2]) for one in islice(ours, 1)]
    only_here = islice((one for one in ours if one[0] not in taken.shown), most)
    return [
        *(Gap(Kind.NOT_IN_INBOX, *one, _NOT_THERE) for one in only_here),
        *_told(Kind.ATTACHMENTS_DIFFER, taken.differing[:most], inner),
        *_told(Kind.ONLY_IN_INBOX, [] if recorded else taken.missing[:most], inner),
    ]


def note(ledger: Ledger, scope: Scope, inner: Span, found: Sequence[Gap], *, now: datetime) -> None:
    """Let ``found`` be all that differs within ``inner``. Raises LedgerOutOfReach."""
    empty = next((one for one in found if one.kind is Kind.INBOX_EMPTY), None)
    if empty is not None:
        gaps.begin(ledger, empty, now=now)
        return
    gaps.end(ledger, Kind.INBOX_EMPTY, scope.name)
    gaps.replace(ledger, scope.owners, inner.since, inner.until, found, now=now)


def _empty(scope: Scope, inner: Span, message_id: str, application_id: str) -> Gap:
    reason = f"its inbox shows none of the messages that were announced ({message_id} for one)"
    return Gap(Kind.INBOX_EMPTY, scope.name, application_id, inner.since, reason)


def _told(kind: Kind, found: Sequence[Differing], inner: Span) -> Iterator[Gap]:
    for one in found:
        since = one.since or inner.since
        if inner.since <= since < inner.until:
            yield Gap(kind, one.message_id, one.application_id, since, one.reason)
