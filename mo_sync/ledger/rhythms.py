"""How regularly each application's messages are announced: a row a day, added to from where it was left.

What the inbox showed is no announcement: an application whose webhook is down is silent, however much the inbox brings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Table, delete, func, select

from mo_sync.ledger.dialect import insert
from mo_sync.ledger.ledger import Ledger
from mo_sync.ledger.schema import cursor, event, message, rhythm

__all__ = ["Day", "catch_up", "days"]

_CURSOR: Final = "rhythm"
_AT_ONCE: Final = 5_000
_KEPT: Final = timedelta(days=60)


@dataclass(frozen=True, slots=True)
class Day:
    """The announcements of one application on one day (UTC); the longest pause before one of them is in seconds."""

    application_id: str
    day: str
    events: int
    longest_pause_s: float
    last_at: datetime


def catch_up(ledger: Ledger, *, now: datetime) -> bool:
    """Take in the next events that were recorded since the last time; whether there may be more.

    Where there is no beginning yet, those of the last weeks are gone through once. Raises LedgerOutOfReach.
    """
    with ledger.read() as connection:
        after, newest = _place(connection, now), _newest(connection)
    if newest <= after:
        return False
    upto = min(newest, after + _AT_ONCE)
    with ledger.begin() as connection:
        if _place(connection, now) != after:
            return True  # somebody else did it
        _add(connection, _announced(connection, after, upto))
        _put(connection, cursor, {"name": _CURSOR, "value": str(upto), "updated_at": now}, ["name"])
        connection.execute(delete(rhythm).where(rhythm.c.day < f"{now - _KEPT:%Y-%m-%d}"))
    return upto < newest


def days(ledger: Ledger) -> list[Day]:
    """All that is known, by application and day. Raises LedgerOutOfReach."""
    query = select(*(rhythm.c[name] for name in Day.__dataclass_fields__)).order_by(
        rhythm.c.application_id, rhythm.c.day
    )
    with ledger.read() as connection:
        return [Day(*row) for row in connection.execute(query)]


def _place(connection: Connection, now: datetime) -> int:
    found = connection.execute(select(cursor.c.value).where(cursor.c.name == _CURSOR)).scalar_one_or_none()
    if found is not None:
        return int(found)
    first = select(func.min(event.c.id)).where(event.c.received_at >= now - _KEPT)
    return int(connection.execute(first).scalar_one_or_none() or 1) - 1


def _newest(connection: Connection) -> int:
    return int(connection.execute(select(func.coalesce(func.max(event.c.id), 0))).scalar_one())


def _announced(connection: Connection, after: int, upto: int) -> Sequence[Any]:
    own = func.substr(event.c.source, 1, 6) != "inbox:", func.substr(event.c.source, 1, 9) != "backfill:"
    query = (
        select(message.c.application_id, event.c.received_at)
        .join(message, message.c.id == event.c.message_id)
        .where(event.c.id > after, event.c.id <= upto, *own)
        .order_by(event.c.received_at)
    )
    return connection.execute(query).all()


def _add(connection: Connection, announced: Sequence[Any]) -> None:
    last: dict[str, datetime | None] = {}
    found: dict[tuple[str, str], Day] = {}
    for application_id, at in announced:
        if application_id not in last:
            last[application_id] = _last(connection, application_id)
        before = last[application_id]
        pause_s = max(0.0, (at - before).total_seconds()) if before is not None else 0.0
        key = application_id, f"{at:%Y-%m-%d}"
        day = found.get(key) or Day(*key, 0, 0.0, at)
        found[key] = replace(
            day, events=day.events + 1, longest_pause_s=max(day.longest_pause_s, pause_s), last_at=max(day.last_at, at)
        )
        last[application_id] = at if before is None else max(before, at)
    for day in found.values():
        _merge(connection, day)


def _last(connection: Connection, application_id: str) -> datetime | None:
    query = select(func.max(rhythm.c.last_at, type_=rhythm.c.last_at.type))
    return connection.execute(query.where(rhythm.c.application_id == application_id)).scalar_one_or_none()


def _merge(connection: Connection, day: Day) -> None:
    known = select(rhythm).where(rhythm.c.application_id == day.application_id, rhythm.c.day == day.day)
    row = connection.execute(known).first()
    if row is not None:
        day = replace(
            day,
            events=day.events + row.events,
            longest_pause_s=max(day.longest_pause_s, row.longest_pause_s),
            last_at=max(day.last_at, row.last_at),
        )
    values = {name: getattr(day, name) for name in Day.__dataclass_fields__}
    _put(connection, rhythm, values, ["application_id", "day"])


def _put(connection: Connection, table: Table, row: dict[str, Any], keys: list[str]) -> None:
    statement = insert(connection.dialect.name, table).values(row)
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=row))
