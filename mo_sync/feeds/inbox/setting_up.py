"""From settings to an inbox feed: whose inboxes, how far back, and what is not kept anyway."""

from __future__ import annotations

from datetime import datetime, timedelta

from mo_sync.clock import Clock
from mo_sync.feeds.inbox.feed import InboxFeed
from mo_sync.feeds.inbox.reading import Reader
from mo_sync.feeds.inbox.scopes import scopes_of
from mo_sync.gateway import Gateway
from mo_sync.intake import Intake
from mo_sync.ledger import Ledger
from mo_sync.ledger.duties import Duties
from mo_sync.settings import Retention, Settings

__all__ = ["inbox_feed", "kept_since"]


def inbox_feed(
    settings: Settings, gateway: Gateway, ledger: Ledger, intake: Intake, *, clock: Clock, worker: str
) -> InboxFeed | None:
    """None where it is off, or where there is no token to look into any inbox with."""
    scopes = scopes_of(settings)
    if not settings.inbox.enabled or not scopes:
        return None
    return InboxFeed(
        Reader(gateway.inbox, ledger, intake, clock, page=settings.inbox.page),
        scopes,
        ledger,
        clock,
        settings=settings.inbox,
        duties=Duties(ledger, worker, clock),
        kept_since=lambda: kept_since(settings.retention, clock.now()),
    )


def kept_since(retention: Retention, now: datetime) -> datetime | None:
    """Nothing older is taken from an inbox: it would be what was pruned, or would be soon. None: all is kept.

    >>> from datetime import UTC
    >>> kept_since(Retention(stored=864_000.0, missing=86_400.0), datetime(2026, 11, 20, tzinfo=UTC)).isoformat()
    '2026-11-10T00:00:00+00:00'
    """
    longest = [kept for kept in (retention.stored, retention.messages) if kept is not None]
    return now - timedelta(seconds=min(longest)) if longest else None
