"""What a person may do to attachments. Each is one conditional statement, so it never fights with a worker."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, func, select, update

from mo_sync.ledger.ledger import Ledger
from mo_sync.ledger.schema import application, attachment
from mo_sync.lifecycle import Standing, State

__all__ = ["RETRIABLE", "retry", "would_retry"]

RETRIABLE = (State.PENDING, State.MISSING, State.REFUSED, State.FAILED, State.CANCELLED)
"""States that ``retry`` takes an attachment out of. A pending one becomes due at once."""


def retry(
    ledger: Ledger,
    *,
    now: datetime,
    give_up_after_s: float,
    ids: Collection[str] = (),
    message_ids: Collection[str] = (),
    states: Collection[State] = (),
    application_id: str | None = None,
) -> int:
    """Make attachments due now, with all their attempts before them and a new deadline; how many.

    Chosen by any of ``ids`` or ``message_ids`` (both empty: all), and by ``states`` and ``application_id`` where given.
    What was tried before stays in the history. Others than :data:`RETRIABLE` are never touched. An application that
    rests is tried at once too, or nothing of this would happen.
    """
    chosen = _chosen(ids=ids, message_ids=message_ids, states=states, application_id=application_id)
    statement = (
        update(attachment)
        .where(attachment.c.id.in_(chosen), attachment.c.state.in_([state.value for state in RETRIABLE]))
        .values(
            state=State.PENDING.value,
            due_at=now,
            deadline_at=now + timedelta(seconds=give_up_after_s),
            attempts=0,
            absences=0,
            updated_at=now,
        )
    )
    theirs = select(attachment.c.application_id).where(attachment.c.id.in_(chosen))
    awake = (
        update(application)
        .where(application.c.state != Standing.ACTIVE.value, application.c.id.in_(theirs))
        .values(until=now, updated_at=now)
    )
    with ledger.begin() as connection:
        connection.execute(awake)
        return connection.execute(statement).rowcount


def would_retry(
    ledger: Ledger,
    *,
    ids: Collection[str] = (),
    message_ids: Collection[str] = (),
    states: Collection[State] = (),
    application_id: str | None = None,
) -> int:
    """How many :func:`retry` would touch."""
    chosen = _chosen(ids=ids, message_ids=message_ids, states=states, application_id=application_id)
    query = select(func.count()).select_from(chosen.subquery())
    with ledger.read() as connection:
        return int(connection.execute(query).scalar_one())


def _chosen(
    *,
    ids: Collection[str],
    message_ids: Collection[str],
    states: Collection[State],
    application_id: str | None,
) -> Select[Any]:
    retriable = [state.value for state in RETRIABLE]
    query = select(attachment.c.id).where(attachment.c.state.in_(retriable))
    if ids or message_ids:
        query = query.where(attachment.c.id.in_(ids) | attachment.c.message_id.in_(message_ids))
    if states:
        query = query.where(attachment.c.state.in_([state.value for state in states]))
    if application_id is not None:
        query = query.where(attachment.c.application_id == application_id)
    return query
