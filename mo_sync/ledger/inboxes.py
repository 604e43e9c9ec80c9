"""What there is to tell of Syniverse's inboxes at a glance: how far they were seen, and what that brought."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, func, select, text

from mo_sync.ledger import places
from mo_sync.ledger.gaps import ABOUT_MESSAGES
from mo_sync.ledger.places import Place
from mo_sync.ledger.schema import event, gap, mark

__all__ = ["Inboxes", "Trouble", "recovered", "sight"]

_GRACE: Final = timedelta(minutes=15)
_UNANNOUNCED: Final = text(
    "substr(event.source, 1, 6) = 'inbox:' and not exists (select 1 from event o where o.message_id = event.message_id"
    " and substr(o.source, 1, 6) <> 'inbox:' and substr(o.source, 1, 9) <> 'backfill:')"
)


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong with an inbox, or an application that is silent; since when, and why."""

    kind: str
    subject: str
    since: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Inboxes:
    """How far each was seen; how many messages of the last day nobody announced; how many are still to be marked as
    PROCESSED, or could not be; what is wrong."""

    places: dict[str, Place]
    recovered_last_day: int
    marks: dict[str, int]
    troubles: tuple[Trouble, ...]


def sight(connection: Connection, *, now: datetime) -> Inboxes:
    """All of it, within a transaction of the caller's."""
    open_marks = {
        state: connection.execute(select(func.count()).where(mark.c.state == text(f"'{state}'"))).scalar_one()
        for state in ("pending", "failed")
    }
    about = select(gap.c.kind, gap.c.subject, gap.c.since, gap.c.reason)
    others = about.where(gap.c.kind.not_in([kind.value for kind in ABOUT_MESSAGES])).order_by(gap.c.since)
    return Inboxes(
        places=places.read(connection),
        recovered_last_day=recovered(connection, now - timedelta(days=1), now - _GRACE),
        marks={state: count for state, count in open_marks.items() if count},
        troubles=tuple(Trouble(*row) for row in connection.execute(others)),
    )


def recovered(connection: Connection, since: datetime, until: datetime) -> int:
    """How many messages the inbox showed first in that time, and no event announced to this day."""
    chosen = event.c.received_at >= since, event.c.received_at < until, _UNANNOUNCED
    query = select(func.count(event.c.message_id.distinct())).where(*chosen)
    return int(connection.execute(query).scalar_one())
