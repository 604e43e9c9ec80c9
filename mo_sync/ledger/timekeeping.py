"""Times in the ledger that no sound clock can have written: what a clock that ran ahead left behind is put right.

A wall clock may jump by hours, either way. What is due hours from now because it was written while the clock ran
ahead would wait that long; here it is brought back to where it would be at the latest.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Update, literal, select

from mo_sync.ledger.ledger import Ledger
from mo_sync.ledger.locking import changing
from mo_sync.ledger.schema import application, attachment, is_in
from mo_sync.lifecycle import Standing, State

__all__ = ["put_right"]


def put_right(ledger: Ledger, *, now: datetime, furthest_s: float, lease_s: float, longest_lease_s: float) -> int:
    """How many times were put right.

    Nothing waits longer than ``furthest_s`` seconds from now, neither an attachment nor an application: what does is
    due now. A lease that would last longer than ``longest_lease_s`` ends ``lease_s`` from now, which gives a living
    worker the time to extend it.
    """
    latest, end = now + timedelta(seconds=furthest_s), now + timedelta(seconds=longest_lease_s)
    due = is_in(State.PENDING) & (attachment.c.due_at > latest)
    lent = is_in(State.FETCHING) & (attachment.c.lease_until > end)
    rests = (application.c.state != Standing.ACTIVE.value) & (application.c.until > latest)
    with ledger.read() as connection:
        sound = not any(
            connection.execute(select(literal(1)).where(wrong).limit(1)).first() for wrong in (due, lent, rests)
        )
    if sound:
        return 0
    changes = (
        changing(ledger.dialect, attachment, due).values(due_at=now, updated_at=now),
        changing(ledger.dialect, attachment, lent).values(lease_until=now + timedelta(seconds=lease_s)),
        changing(ledger.dialect, application, rests).values(until=now, updated_at=now),
    )
    return sum(_made(ledger, change) for change in changes)


def _made(ledger: Ledger, change: Update) -> int:
    """In a transaction of its own: what one has locked is no other's order."""
    with ledger.begin() as connection:
        return connection.execute(change).rowcount
