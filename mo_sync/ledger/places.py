"""How far each of Syniverse's inboxes was looked through: cursors, which move after what lies before is recorded.

What is new and what there was before are gone through at once, by two threads and perhaps two processes: each writes
its own cursor alone, and by a condition, since it was read long before.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Connection, or_, select, update

from mo_sync.ledger.dialect import insert
from mo_sync.ledger.ledger import Ledger
from mo_sync.ledger.schema import cursor
from mo_sync.readings import moment

__all__ = ["Left", "Place", "gone_through", "places", "read", "seen"]

_SEEN: Final = "inbox:"
_LEFT: Final = "backfill:"


@dataclass(frozen=True, slots=True)
class Left:
    """What is still to be gone through, the newest first: from ``since`` on and up to ``until``."""

    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Place:
    """Everything up to ``seen_to`` was seen, but for what is ``left``, if anything."""

    seen_to: datetime | None = None
    left: Left | None = None


def places(ledger: Ledger) -> dict[str, Place]:
    """The places of the inboxes that were looked into, by their names. Raises LedgerOutOfReach."""
    with ledger.read() as connection:
        return read(connection)


def read(connection: Connection) -> dict[str, Place]:
    """The same, within a transaction of the caller's."""
    seen, left = _values(connection, _SEEN), _values(connection, _LEFT)
    return {name: Place(moment(seen.get(name)), _left(left.get(name))) for name in sorted({*seen, *left})}


def seen(ledger: Ledger, name: str, to: datetime, *, now: datetime, left: Left | None = None) -> None:
    """The inbox ``name`` was seen up to ``to``; at its first look, ``left`` is still to be gone through.

    It only moves forward, since another look may have come further meanwhile; unless a clock that ran ahead had put it
    after ``now``. Raises LedgerOutOfReach, and then it is where it was.
    """
    further = or_(cursor.c.value < _text(to), cursor.c.value > _text(now))
    with ledger.begin() as connection:
        if left is not None:
            begun = _row(_LEFT + name, _span(left), now)
            connection.execute(insert(connection.dialect.name, cursor).values(begun).on_conflict_do_nothing())
        row = _row(_SEEN + name, _text(to), now)
        statement = insert(connection.dialect.name, cursor).values(row)
        connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=row, where=further))


def gone_through(ledger: Ledger, name: str, was: Left, left: Left | None, *, now: datetime) -> None:
    """Of what ``was`` still to be gone through, this is ``left``; nothing changes if it is not what it was any more.

    Raises LedgerOutOfReach, and then nothing changed either.
    """
    row = _row(_LEFT + name, _span(left), now)
    same = cursor.c.name == row["name"], cursor.c.value == _span(was)
    with ledger.begin() as connection:
        connection.execute(update(cursor).where(*same).values(row))


def _row(name: str, value: str, now: datetime) -> dict[str, Any]:
    return {"name": name, "value": value, "updated_at": now}


def _span(left: Left | None) -> str:
    return f"{_text(left.since)} {_text(left.until)}" if left is not None else ""


def _values(connection: Connection, beginning: str) -> dict[str, str]:
    query = select(cursor.c.name, cursor.c.value).where(cursor.c.name.startswith(beginning, autoescape=True))
    return {row.name.removeprefix(beginning): row.value for row in connection.execute(query)}


def _left(value: str | None) -> Left | None:
    since, _, until = (value or "").partition(" ")
    ends = moment(since), moment(until)
    return Left(ends[0], ends[1]) if ends[0] is not None and ends[1] is not None else None


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
