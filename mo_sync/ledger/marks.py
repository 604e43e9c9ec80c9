"""Messages that Syniverse is to be told are taken care of: noted with the commit that stores their last attachment.

So it is never told before that, and never forgotten: whoever is killed in between is told of the mark again, and to
mark a message twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, exists, literal, select, update

from mo_sync.ledger.bulk import chunks
from mo_sync.ledger.columns import UtcTime
from mo_sync.ledger.dialect import insert
from mo_sync.ledger.ledger import Ledger
from mo_sync.ledger.schema import attachment, mark, message
from mo_sync.lifecycle import State

__all__ = ["Mark", "done", "due", "failed", "later", "note"]

_PENDING: Final = "pending"


@dataclass(frozen=True, slots=True)
class Mark:
    """A message to be marked, whose application's token opens it, and how often that was tried in vain."""

    message_id: str
    application_id: str
    attempts: int
    created_at: datetime


def note(connection: Connection, attachment_ids: Sequence[str], *, now: datetime) -> None:
    """Note the messages of these attachments, just stored, of which none is left to be. For the same transaction."""
    for some in chunks(list(attachment_ids)):
        theirs = select(attachment.c.message_id).where(attachment.c.id.in_(some))
        # Locked: of two that store the last two attachments of a message at once, one must see what the other did.
        locked = select(message.c.id).where(message.c.id.in_(theirs)).order_by(message.c.id).with_for_update()
        ids = list(connection.execute(locked).scalars())
        open_still = exists().where(attachment.c.message_id == message.c.id, attachment.c.state != State.STORED.value)
        whole = select(message.c.id, literal(_PENDING), literal(now, UtcTime()), literal(now, UtcTime()))
        columns = ["message_id", "state", "due_at", "created_at"]
        chosen = whole.where(message.c.id.in_(ids), ~open_still)
        statement = insert(connection.dialect.name, mark).from_select(columns, chosen)
        connection.execute(statement.on_conflict_do_nothing(index_elements=["message_id"]))


def due(ledger: Ledger, *, now: datetime, count: int) -> list[Mark]:
    """The next ``count`` that are to be told, those due for the longest first. Raises LedgerOutOfReach."""
    columns = mark.c.message_id, message.c.application_id, mark.c.attempts, mark.c.created_at
    query = select(*columns).join(message, message.c.id == mark.c.message_id)
    query = query.where(mark.c.state == _PENDING, mark.c.due_at <= now).order_by(mark.c.due_at).limit(count)
    with ledger.read() as connection:
        return [Mark(*row) for row in connection.execute(query)]


def done(ledger: Ledger, marks: Sequence[Mark], *, now: datetime) -> None:
    """Syniverse was told of these. Raises LedgerOutOfReach."""
    values = {"state": "done", "due_at": None, "error": None, "marked_at": now}
    _settle(ledger, [one.message_id for one in marks], values)


def later(ledger: Ledger, one: Mark, *, due_at: datetime, error: str, counts: bool) -> None:
    """It could not be told; ``counts`` says whether that was this message's own trouble. Raises LedgerOutOfReach."""
    _settle(ledger, [one.message_id], {"due_at": due_at, "error": error, "attempts": one.attempts + counts})


def failed(ledger: Ledger, one: Mark, *, error: str) -> None:
    """It is given up, and a person is told. Raises LedgerOutOfReach."""
    _settle(ledger, [one.message_id], {"state": "failed", "due_at": None, "error": error, "attempts": one.attempts + 1})


def _settle(ledger: Ledger, message_ids: Sequence[str], values: Mapping[str, object]) -> None:
    if not message_ids:
        return
    with ledger.begin() as connection:
        for some in chunks(list(message_ids)):
            still = mark.c.message_id.in_(some), mark.c.state == _PENDING
            connection.execute(update(mark).where(*still).values(values))
