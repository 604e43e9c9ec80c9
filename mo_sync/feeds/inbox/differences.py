"""What only one side has of a span that was seen whole: what is told of it, and kept in the ledger."""

from __future__ import annotations

from datetime import timedelta
from itertools import islice
from typing import Final

from mo_sync.feeds.inbox.reading import Reading
from mo_sync.feeds.inbox.scopes import Scope
from mo_sync.feeds.inbox.spans import Span
from mo_sync.ledger import Ledger
from mo_sync.ledger.gaps import Gap, Kind
from mo_sync.ledger.holdings import held_between

__all__ = ["compared", "differences"]

_EDGE: Final = timedelta(minutes=15)
"""An event's time and the inbox's are not the same to the second, and what is new may not be listed yet."""
_MOST: Final = 1_000
_NOT_THERE: Final = "it was announced, and the inbox does not show it"


def compared(span: Span) -> Span:
    """The part of a span in which a message that the inbox did not show is one that it does not have."""
    return Span(span.since + _EDGE, max(span.since + _EDGE, span.until - _EDGE))


def differences(ledger: Ledger, scope: Scope, span: Span, reading: Reading) -> list[Gap]:
    """At most a thousand of each kind; an inbox that shows nothing at all is one. Raises LedgerOutOfReach."""
    taken, inner = reading.taken, compared(span)
    ours = held_between(ledger, scope.owners, inner.since, inner.until)
    only_here = list(islice((one for one in ours if one[0] not in taken.shown), _MOST))
    if only_here and not taken.shown:
        reason = f"its inbox shows none of the messages that were announced ({only_here[0][0]} for one)"
        return [Gap(Kind.INBOX_EMPTY, scope.name, only_here[0][1], inner.since, reason)]
    return [
        *(Gap(Kind.NOT_IN_INBOX, *one, _NOT_THERE) for one in only_here),
        *(
            Gap(Kind.ATTACHMENTS_DIFFER, one.message_id, one.application_id, one.since or span.since, one.reason)
            for one in taken.differing[:_MOST]
        ),
    ]
