"""What was sent to a number of ours, the newest first, though millions may have written to it.

No index has a number and the times of attachments: one may be announced long after its message was recorded, but never
before. So those of the newest messages are looked at first, which is quick. None of the newest attachments was
announced before the oldest of these; so then those are looked through that were announced since, which are few.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Select, func, select

from mo_sync.ledger.filters import Filters, addresses, matching
from mo_sync.ledger.rows import AttachmentRow, attachments, rows
from mo_sync.ledger.schema import attachment, message

__all__ = ["sent_to"]

_RECENT: Final = 100_000
"""Of so many it is seen quickly to whom they were sent."""


def sent_to(connection: Connection, number: str, filters: Filters, limit: int | None) -> list[AttachmentRow]:
    """Those sent to ``number``, in all its spellings, that match ``filters``, at most ``limit`` (None: all)."""
    spelled = addresses(number)
    each = [rows(connection, _of_newest_messages(one, filters).limit(limit), AttachmentRow) for one in spelled]
    found = _newest((row for some in each for row in some), limit)
    if limit is None or all(len(some) < limit for some in each):
        return found
    since = found[-1].created_at
    query = _since(since, spelled, filters) if _is_recent(connection, since, filters) else _sorted(spelled, filters)
    return rows(connection, query.limit(limit), AttachmentRow)


def _of_newest_messages(spelled: str, filters: Filters) -> Select[Any]:
    query = attachments().where(message.c.to_address == spelled, *matching(filters))
    # SQLite would rather sort all of them than walk along this index from its end.
    query = query.with_hint(message, "indexed by ix_message_to_address", "sqlite")
    return query.order_by(message.c.recorded_at.desc(), attachment.c.message_id, attachment.c.position)


def _is_recent(connection: Connection, since: datetime, filters: Filters) -> bool:
    """Whether few were announced since then. Of a number that is at rest it is better to sort all that it has."""
    announced = select(attachment.c.id).where(attachment.c.created_at >= since, *matching(filters))
    return connection.execute(announced.offset(_RECENT).limit(1)).first() is None


def _since(since: datetime, spelled: Sequence[str], filters: Filters) -> Select[Any]:
    # The number is hidden from its index: SQLite would rather go through all that were ever sent to it.
    theirs = func.coalesce(message.c.to_address, "").in_(spelled)
    return _by_time(attachments().where(theirs, attachment.c.created_at >= since, *matching(filters)))


def _sorted(spelled: Sequence[str], filters: Filters) -> Select[Any]:
    return _by_time(attachments().where(message.c.to_address.in_(spelled), *matching(filters)))


def _by_time(query: Select[Any]) -> Select[Any]:
    return query.order_by(attachment.c.created_at.desc(), attachment.c.message_id, attachment.c.position)


def _newest(found: Iterable[AttachmentRow], limit: int | None) -> list[AttachmentRow]:
    in_place = sorted(found, key=lambda row: (row.message_id, row.position))
    return sorted(in_place, key=lambda row: row.created_at, reverse=True)[:limit]
