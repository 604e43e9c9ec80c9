"""What events say, written down: messages and attachments, each once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, and_, func, or_, select

from mo_sync.events import MoMessage
from mo_sync.ledger.applications import keep_known
from mo_sync.ledger.bulk import chunks, look_up, write
from mo_sync.ledger.dialect import Insert, among, insert
from mo_sync.ledger.schema import attachment, message
from mo_sync.lifecycle import State

__all__ = ["Terms", "record_attachments", "record_messages"]

_GAINS = ("company_id", "channel", "from_address", "to_address", "body", "sender_id", "av_status", "occurred_at")
"""Columns of a message that a later announcement may fill, but never change."""
_MESSAGE = ("id", "application_id", *_GAINS, "recorded_at", "filed_at")
_GAINED = range(2, 2 + len(_GAINS))
_ATTACHMENT = (
    *("id", "message_id", "application_id", "position", "state"),
    *("due_at", "deadline_at", "created_at", "updated_at"),
)


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for a whole batch."""

    now: datetime
    deadline_at: datetime
    max_payload: int
    deliveries: int = 1


def record_messages(connection: Connection, messages: Iterable[MoMessage], terms: Terms) -> None:
    rows: dict[str, list[Any]] = {}
    for said in messages:
        row = _message_row(said, terms)
        known = rows.setdefault(said.message_id, row)
        if known is not row:
            for place in _GAINED:
                if known[place] is None:
                    known[place] = row[place]
    write(connection, _gaining, _MESSAGE, list(rows.values()))


def _message_row(said: MoMessage, terms: Terms) -> list[Any]:
    return [
        said.message_id,
        said.application_id,
        said.company_id,
        said.channel,
        said.from_address,
        said.to_address,
        said.body,
        said.sender_id,
        said.av_status,
        said.occurred_at,
        terms.now,
        said.occurred_at or terms.now,
    ]


def _gaining(dialect: str) -> Insert:
    """A message that is there already only gains what it lacked."""
    statement = insert(dialect, message)
    new = statement.excluded
    gained = or_(*(and_(message.c[name].is_(None), new[name].is_not(None)) for name in _GAINS))
    filled = {name: func.coalesce(message.c[name], new[name]) for name in _GAINS}
    return statement.on_conflict_do_update(index_elements=["id"], set_=filled, where=gained)


def record_attachments(
    connection: Connection, messages: Iterable[MoMessage], terms: Terms, erased: frozenset[str]
) -> dict[str, list[str]]:
    """Insert what is new and was not erased; which attachments of which messages belong to another message already."""
    rows: dict[str, list[Any]] = {}
    owners: dict[str, str] = {}
    wanted: set[tuple[str, str]] = set()
    for said in messages:
        for position, attachment_id in enumerate(said.attachment_ids):
            if attachment_id in erased:
                continue
            wanted.add((attachment_id, said.message_id))
            if attachment_id not in rows:
                rows[attachment_id] = _attachment_row(said, attachment_id, position, terms)
                owners[attachment_id] = said.message_id
    if not rows:
        return {}
    applications = {row[2] for row in rows.values()}
    new = write(connection, _keeping, _ATTACHMENT, list(rows.values()))
    keep_known(connection, applications, now=terms.now)
    if new < len(rows):  # some were there before, and may belong to another message
        for some in chunks(list(rows)):
            owners.update(dict(look_up(connection, _owners, some)))
    strangers: dict[str, list[str]] = {}
    for attachment_id, message_id in wanted:
        if (owner := owners[attachment_id]) != message_id:
            strangers.setdefault(message_id, []).append(f"{attachment_id} belongs to message {owner}")
    return strangers


def _keeping(dialect: str) -> Insert:
    """An attachment that is there already stays as it is."""
    return insert(dialect, attachment).on_conflict_do_nothing(index_elements=["id"])


def _attachment_row(said: MoMessage, attachment_id: str, position: int, terms: Terms) -> list[Any]:
    now, pending = terms.now, State.PENDING.value
    application_id = said.application_id
    return [attachment_id, said.message_id, application_id, position, pending, now, terms.deadline_at, now, now]


def _owners(dialect: str) -> Select[Any]:
    return select(attachment.c.id, attachment.c.message_id).where(among(dialect, attachment.c.id))
