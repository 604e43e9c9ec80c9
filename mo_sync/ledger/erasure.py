"""Erasing what was said and by whom: rows lose it at once, files after them; what stands for their ids stays.

First one transaction takes everything personal out of a message's rows: only where its files are is still there, in
``location``. Then each file is removed and its ``location`` cleared: see :mod:`mo_sync.ledger.whereabouts`. Whoever is
stopped between the two leaves erased attachments that have a location, by which they are found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, and_, delete, insert, literal, null, select, update
from sqlalchemy.sql import ColumnElement

from mo_sync.ledger.dialect import take_turns_recording
from mo_sync.ledger.interventions import By, note
from mo_sync.ledger.ledger import Ledger
from mo_sync.ledger.remarks import veil_attachment, veil_message
from mo_sync.ledger.schema import (
    UtcTime,
    attachment,
    attempt,
    event,
    gap,
    intervention,
    mark,
    message,
    notification,
)
from mo_sync.ledger.scope import UNREAD
from mo_sync.ledger.veil import ERASED, Veil, key_of
from mo_sync.ledger.whereabouts import place_of
from mo_sync.lifecycle import State

__all__ = [
    "Erased",
    "erase_attachment",
    "erase_message",
    "erase_unread",
]

_DEED: Final = "erase"
_KEPT: Final = ("application_id", "position", "attempts", "absences", "content_type", "size", "created_at")
"""Of an attachment: nothing that tells who sent it, or what."""
_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class Erased:
    """What stands for them now. ``busy`` are attachments that are being fetched: then nothing was changed."""

    messages: tuple[str, ...] = ()
    attachments: tuple[str, ...] = ()
    events: int = 0
    busy: tuple[str, ...] = ()


def erase_message(ledger: Ledger, message_id: str, by: By, *, now: datetime) -> Erased:
    """Take everything personal out of a message, its attachments and its events, in one transaction.

    While one of its attachments is being fetched nothing is changed: a file is on its way. Raises LedgerOutOfReach.
    """
    with ledger.begin() as connection:
        take_turns_recording(connection)
        places, busy = _attachments(connection, attachment.c.message_id == message_id)
        known = connection.execute(select(message.c.id).where(message.c.id == message_id)).first() is not None
        if busy or not known or message_id.startswith(ERASED):
            return Erased(busy=busy)
        veil = key_of(connection, now=now)
        stand_in = veil("message", message_id)
        kept: dict[str, Any] = {name: message.c[name] for name in ("application_id", "recorded_at")}
        # No file is filed under it: so filed_at says when it was erased, and v_daily counts it where it did before.
        values = kept | {"id": literal(stand_in), "filed_at": literal(now, UtcTime())}
        found = select(*values.values()).where(message.c.id == message_id)
        connection.execute(insert(message).from_select(list(values), found))
        attachments = tuple(
            _erase(connection, veil, one, where, by, now=now, message_id=stand_in) for one, where in places.items()
        )
        # What is left are those that were erased before, each alone: they stand for themselves already.
        theirs = attachment.c.message_id == message_id
        connection.execute(update(attachment).where(theirs).values(message_id=stand_in))
        events = _erase_events(connection, veil, event.c.message_id == message_id, now=now, message_id=stand_in)
        veil_message(connection, veil, message_id)
        connection.execute(delete(mark).where(mark.c.message_id == message_id))
        connection.execute(delete(gap).where(gap.c.subject == message_id))
        connection.execute(delete(message).where(message.c.id == message_id))
    return Erased((stand_in,), attachments, events)


def erase_attachment(ledger: Ledger, attachment_id: str, by: By, *, now: datetime) -> Erased:
    """The same for one attachment, whose message stays; the bytes of the events that announced it do not."""
    with ledger.begin() as connection:
        take_turns_recording(connection)
        places, busy = _attachments(connection, attachment.c.id == attachment_id)
        if busy or not places:
            return Erased(busy=busy)
        owner = select(attachment.c.message_id).where(attachment.c.id == attachment_id)
        message_id = connection.execute(owner).scalar_one()
        veil = key_of(connection, now=now)
        where = places[attachment_id]
        stand_in = _erase(connection, veil, attachment_id, where, by, now=now, message_id=message_id)
        veil_attachment(connection, veil, attachment_id, message_id)
        theirs = event.c.message_id == message_id
        events = connection.execute(update(event).where(theirs).values(payload="")).rowcount
    return Erased(attachments=(stand_in,), events=events)


def erase_unread(ledger: Ledger, events: Sequence[int], *, now: datetime) -> int:
    """Empty these events, which announced no message of ours: they were rejected or ignored. How many they were."""
    done = 0
    for start in range(0, len(events), _AT_ONCE):
        with ledger.begin() as connection:
            take_turns_recording(connection)  # else one that comes again meanwhile finds it neither whole nor erased
            which = and_(event.c.id.in_(events[start : start + _AT_ONCE]), *UNREAD)
            done += _erase_events(connection, key_of(connection, now=now), which, now=now, unread=True)
    return done


def _attachments(connection: Connection, which: ColumnElement[bool]) -> tuple[dict[str, str], tuple[str, ...]]:
    """The keys by the ids, which are locked, and those that are being fetched."""
    columns = (attachment.c[name] for name in ("id", "state", "location", "message_id", "position"))
    query = select(*columns, message.c.filed_at).join(message, message.c.id == attachment.c.message_id)
    locked = query.where(which).order_by(attachment.c.id).with_for_update(of=attachment)
    rows = [row for row in connection.execute(locked) if not row.id.startswith(ERASED)]
    places = {row.id: place_of(row) for row in rows}
    return places, tuple(row.id for row in rows if row.state == State.FETCHING.value)


def _erase(connection: Connection, veil: Veil, old: str, where: str, by: By, *, now: datetime, message_id: str) -> str:
    """A row of another id takes its place, since others point at it; what it said of the file is not taken along."""
    new = veil("attachment", old)
    connection.execute(update(intervention).where(intervention.c.attachment_id == old).values(reason=None))
    note(connection, _DEED, attachment.c.id == old, by, now=now)
    kept: dict[str, Any] = {name: attachment.c[name] for name in _KEPT}
    values = kept | {
        "id": literal(new),
        "message_id": literal(message_id),
        "state": literal(State.ERASED.value),
        "location": literal(where),
        "deadline_at": literal(now, UtcTime()),
        "updated_at": literal(now, UtcTime()),
        "error": literal(f"erased by {by.who or 'somebody'}"),
    }
    found = select(*values.values()).where(attachment.c.id == old)
    connection.execute(insert(attachment).from_select(list(values), found))
    for table, words in ((attempt, {"error": null()}), (intervention, {}), (notification, {})):
        moved = update(table).where(table.c.attachment_id == old)
        connection.execute(moved.values({"attachment_id": new, **words}))
    connection.execute(delete(attachment).where(attachment.c.id == old))
    return new


def _erase_events(
    connection: Connection,
    veil: Veil,
    which: ColumnElement[bool],
    *,
    now: datetime,
    message_id: str | None = None,
    unread: bool = False,
) -> int:
    """What happened is from now on that it was erased: ``occurred_at`` says when."""
    rows = connection.execute(select(event.c.id, event.c.event_key, event.c.content_key).where(which)).all()
    for row in rows:
        values: dict[str, Any] = {
            "event_key": veil("event", row.event_key),
            "content_key": veil("content", row.content_key) if row.content_key else None,
            "source": "erased",
            "payload": "",
            "message_id": message_id,
            "occurred_at": now,
            "reason": "erased on request" if unread else None,
        }
        if unread:
            values["state"] = "ignored"  # else it would wait for a person for ever
        connection.execute(update(event).where(event.c.id == row.id).values(values))
    return len(rows)
