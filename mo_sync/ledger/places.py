"""How far each of Syniverse's inboxes was looked through: cursors, which move after what lies before is recorded."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import Connection, select

from mo_sync.ledger.dialect import insert
from mo_sync.ledger.ledger import Ledger
from mo_sync.ledger.schema import cursor
from mo_sync.readings import moment

__all__ = ["Left", "Place", "places", "put", "read"]

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


def put(ledger: Ledger, name: str, place: Place, *, now: datetime) -> None:
    """The place of the inbox ``name`` is this from now on. Raises LedgerOutOfReach, and then it is what it was."""
    left = place.left
    to = {_LEFT + name: f"{_text(left.since)} {_text(left.until)}" if left is not None else ""}
    if place.seen_to is not None:
        to[_SEEN + name] = _text(place.seen_to)
    with ledger.begin() as connection:
        for key, value in to.items():
            row = {"name": key, "value": value, "updated_at": now}
            statement = insert(connection.dialect.name, cursor).values(row)
            connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=row))


def _values(connection: Connection, beginning: str) -> dict[str, str]:
    query = select(cursor.c.name, cursor.c.value).where(cursor.c.name.startswith(beginning, autoescape=True))
    return {row.name.removeprefix(beginning): row.value for row in connection.execute(query)}


def _left(value: str | None) -> Left | None:
    since, _, until = (value or "").partition(" ")
    ends = moment(since), moment(until)
    return Left(ends[0], ends[1]) if ends[0] is not None and ends[1] is not None else None


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
