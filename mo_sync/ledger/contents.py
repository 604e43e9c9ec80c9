"""What events say, written down: messages and attachments, each once.

What is said first stays, and what is said later fills what was missing. Two things are known better later: an
application that was unknown, and a text of which only the beginning was told. So whoever speaks first, an event or the
inbox, the record ends the same. (``docs/ledger.md`` has the rule in words.)
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Text, and_, case, func, literal_column, or_, select

from mo_sync.events import UNKNOWN_APPLICATION, MoMessage
from mo_sync.ledger.applications import keep_known
from mo_sync.ledger.bulk import chunks, look_up, write
from mo_sync.ledger.dialect import Insert, among, insert
from mo_sync.ledger.locking import changing
from mo_sync.ledger.remarks import stranger
from mo_sync.ledger.schema import application, attachment, is_in, message
from mo_sync.lifecycle import State

__all__ = ["Terms", "record_attachments", "record_messages"]

_GAINS = ("company_id", "channel", "from_address", "to_address", "sender_id", "av_status", "occurred_at")
"""Columns of a message that a later announcement may fill, but never change."""
_MESSAGE = (
    *("id", "application_id", "company_id", "channel", "from_address", "to_address"),
    *("body", "sender_id", "av_status", "occurred_at", "recorded_at", "filed_at"),
)
_GAINED = tuple(_MESSAGE.index(name) for name in _GAINS)
_APPLICATION, _BODY = _MESSAGE.index("application_id"), _MESSAGE.index("body")
_UNKNOWN: ColumnElement[str] = literal_column(f"'{UNKNOWN_APPLICATION}'", Text)
_ANY_MARK = "select 1 from message where pruned is not null limit 1"
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
    """Insert what is new, and let what is known gain what it lacked."""
    rows: dict[str, list[Any]] = {}
    for said in messages:
        row = _message_row(said, terms)
        known = rows.setdefault(said.message_id, row)
        if known is not row:
            _merge(known, row)
    known_applications = [key for key, row in rows.items() if row[_APPLICATION] != UNKNOWN_APPLICATION]
    write(connection, _gaining, _MESSAGE, [rows[key] for key in sorted(rows)])  # in the order of locking
    _name_applications(connection, known_applications, terms)


def _merge(known: list[Any], row: list[Any]) -> None:
    """The same rule as :func:`_gaining`'s, for two that come at once."""
    for place in _GAINED:
        if known[place] is None:
            known[place] = row[place]
    if known[_APPLICATION] == UNKNOWN_APPLICATION:
        known[_APPLICATION] = row[_APPLICATION]
    if (row[_BODY] or "").startswith(known[_BODY] or ""):
        known[_BODY] = row[_BODY] or known[_BODY]


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
    """A message that is there already gains what it lacked."""
    statement = insert(dialect, message)
    new = statement.excluded
    lacked = [and_(message.c[name].is_(None), new[name].is_not(None)) for name in _GAINS]
    named = and_(message.c.application_id == _UNKNOWN, new.application_id != _UNKNOWN)
    told = func.coalesce(message.c.body, literal_column("''", Text))
    longer = and_(
        func.length(new.body) > func.length(told),
        func.substr(new.body, literal_column("1"), func.length(told)) == told,
    )
    scan_told = and_(message.c.av_status.is_(None), new.av_status.is_not(None))
    filled = {
        **{name: func.coalesce(message.c[name], new[name]) for name in _GAINS},
        "application_id": case((named, new.application_id), else_=message.c.application_id),
        "body": case((longer, new.body), else_=message.c.body),
        "scan_told_at": case((scan_told, new.recorded_at), else_=message.c.scan_told_at),
    }
    return statement.on_conflict_do_update(index_elements=["id"], set_=filled, where=or_(*lacked, named, longer))


def _name_applications(connection: Connection, message_ids: list[str], terms: Terms) -> None:
    """Attachments of an application that was unknown belong to their message's, as soon as that is known."""
    if not message_ids or connection.execute(_an_unknown()).first() is None:
        return
    nameless = [row[0] for some in chunks(message_ids) for row in look_up(connection, _nameless, some)]
    for some in chunks(sorted(nameless)):  # in the order of locking
        theirs = attachment.c.id.in_(some), attachment.c.application_id == _UNKNOWN
        named = select(message.c.application_id).where(message.c.id == attachment.c.message_id).scalar_subquery()
        due = case((is_in(State.PENDING), terms.now), else_=attachment.c.due_at)
        changed = changing(connection.dialect.name, attachment, *theirs)
        changed = changed.values(application_id=named, due_at=due, updated_at=terms.now)
        found = connection.execute(changed.returning(attachment.c.application_id)).scalars()
        keep_known(connection, set(found), now=terms.now)


def _nameless(dialect: str) -> Select[Any]:
    theirs = among(dialect, attachment.c.message_id), attachment.c.application_id == _UNKNOWN
    return select(attachment.c.id).where(*theirs)


def _an_unknown() -> Select[Any]:
    return select(application.c.id).where(application.c.id == _UNKNOWN)


def record_attachments(
    connection: Connection, messages: Collection[MoMessage], terms: Terms, erased: frozenset[str]
) -> dict[str, list[str]]:
    """Insert what is new and was neither erased nor pruned; which attachments of which messages belong to another
    message already."""
    gone = erased | _pruned(connection, messages)
    rows: dict[str, list[Any]] = {}
    owners: dict[str, str] = {}
    wanted: set[tuple[str, str]] = set()
    for said in messages:
        for position, attachment_id in enumerate(said.attachment_ids):
            if attachment_id in gone:
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
            strangers.setdefault(message_id, []).append(stranger(attachment_id, owner))
    return strangers


def _pruned(connection: Connection, messages: Iterable[MoMessage]) -> set[str]:
    """What these messages had once. An announcement that says something new is taken in, and names all of it again."""
    if connection.exec_driver_sql(_ANY_MARK).first() is None:
        return set()
    known = list({said.message_id for said in messages if said.attachment_ids})
    found = (row for some in chunks(known) for row in look_up(connection, _marks, some))
    return {attachment_id for (marks,) in found for attachment_id in marks.split(",")}


def _marks(dialect: str) -> Select[Any]:
    return select(message.c.pruned).where(among(dialect, message.c.id), message.c.pruned.is_not(None))


def _keeping(dialect: str) -> Insert:
    """An attachment that is there already stays as it is."""
    return insert(dialect, attachment).on_conflict_do_nothing(index_elements=["id"])


def _attachment_row(said: MoMessage, attachment_id: str, position: int, terms: Terms) -> list[Any]:
    now, pending = terms.now, State.PENDING.value
    application_id = said.application_id
    return [attachment_id, said.message_id, application_id, position, pending, now, terms.deadline_at, now, now]


def _owners(dialect: str) -> Select[Any]:
    return select(attachment.c.id, attachment.c.message_id).where(among(dialect, attachment.c.id))
