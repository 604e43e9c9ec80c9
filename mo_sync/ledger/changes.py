"""What changed in the ledger, in order, from a cursor on: announcements, attempts, and what people did.

Row numbers are the cursor: ``e12.a40.i3`` is behind event 12, attempt 40 and intervention 3. They only ever grow, also
where rows are pruned: the newest event and the newest attempt stay, and the numbers of interventions are counted by the
database itself. In SQLite numbers become visible in their order. In PostgreSQL they are drawn before the commit, and a
lower one may come to light later: there a number counts once every transaction has ended that was open when a higher
one was seen, and a moment has passed (:class:`Horizon`).
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from datetime import datetime
from typing import Any, Final, Self

from sqlalchemy import Connection, Table, func, select

from mo_sync.errors import UsageError
from mo_sync.ledger.dialect import last_number
from mo_sync.ledger.ledger import Ledger
from mo_sync.ledger.schema import attachment, attempt, event, intervention

__all__ = ["Change", "Cursor", "Horizon", "changes", "furthest", "newest"]

_CURSOR: Final = re.compile(r"e(\d{1,18})\.a(\d{1,18})\.i(\d{1,18})")
_HINT: Final = "a cursor is the word of that name in a line of follow, like e12.a40.i3"


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in the ledger's history: the row numbers of the last event, attempt and intervention before it."""

    event: int = 0
    attempt: int = 0
    intervention: int = 0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises UsageError for what is none."""
        found = _CURSOR.fullmatch(text)
        if found is None:
            raise UsageError("cursor-not-understood", "this is no cursor", item=text, hint=_HINT)
        return cls(*map(int, found.groups()))

    def __str__(self) -> str:
        return f"e{self.event}.a{self.attempt}.i{self.intervention}"

    def moved(self, kind: str, number: int) -> Self:
        """Behind this row too."""
        places = {"event": self.event, "attempt": self.attempt, "intervention": self.intervention}
        return type(self)(**places | {kind: number})


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that happened. ``cursor`` is the place behind it; ``facts`` are the row's, by the names of columns."""

    cursor: Cursor
    kind: str
    at: datetime
    facts: dict[str, Any]


_TABLES: Final = {"event": event, "attempt": attempt, "intervention": intervention}
_TIMES: Final = {"event": "received_at", "attempt": "finished_at", "intervention": "at"}
_FACTS: Final = {
    "event": ("event_key", "source", "topic", "type", "state", "reason", "message_id", "occurred_at"),
    "attempt": ("attachment_id", "number", "outcome", "step", "status", "code", "bytes", "error", "worker"),
    "intervention": ("attachment_id", "deed", "state", "who", "reason"),
}
_OF_ATTACHMENT: Final = ("message_id", "application_id", "state", "location", "size", "sha256", "content_type")


def newest(ledger: Ledger) -> Cursor:
    """The place behind all that is there. Raises LedgerOutOfReach."""
    with ledger.read() as connection:
        return _newest(connection)


def furthest(ledger: Ledger) -> Cursor:
    """The place behind all that was ever there: what was pruned since has its number still. Raises LedgerOutOfReach."""
    with ledger.read() as connection:
        there = _newest(connection)
        given = Cursor(*(last_number(connection, table) for table in _TABLES.values()))
    return Cursor(*map(max, astuple(there), astuple(given)))


def changes(ledger: Ledger, after: Cursor, upto: Cursor, *, count: int) -> list[Change]:
    """The next changes behind ``after``, at most ``count``, none behind ``upto``; in the order of their times, as far
    as the row numbers' own order lets them. What an attachment is like is told as it is now.

    Raises LedgerOutOfReach.
    """
    with ledger.read() as connection:
        found = [_of_kind(connection, kind, after, upto, count) for kind in _TABLES]
    place, told = after, []
    for at, kind, number, facts in heapq.merge(*found, key=lambda one: one[0]):
        place = place.moved(kind, number)
        told.append(Change(place, kind, at, facts))
        if len(told) == count:
            break
    return told


class Horizon:
    """How far numbers count, asked again and again by one who follows; only after some looks it ``is_known``."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._seen: Cursor | None = None
        self._open: int | None = None
        self._counts = Cursor()
        self.is_known = ledger.dialect != "postgresql"

    def look(self) -> Cursor:
        """Numbers up to here will show no others any more. Raises LedgerOutOfReach."""
        with self._ledger.read() as connection:
            if self._ledger.dialect != "postgresql":
                return _newest(connection)
            oldest, youngest = connection.exec_driver_sql(
                "select pg_snapshot_xmin(s)::text::bigint, pg_snapshot_xmax(s)::text::bigint"
                " from (select pg_current_snapshot() as s) as now"
            ).one()
            newest_now = _newest(connection)
        if self._seen is None:
            self._seen = newest_now
        elif self._open is None:
            self._open = youngest  # a look later: whoever had drawn a number by then has a transaction by now
        elif oldest >= self._open:
            self._counts, self._seen, self._open = self._seen, newest_now, None
            self.is_known = True
        return self._counts


def _newest(connection: Connection) -> Cursor:
    highest = (select(func.coalesce(func.max(table.c.id), 0)) for table in _TABLES.values())
    return Cursor(*(int(connection.execute(query).scalar_one()) for query in highest))


def _of_kind(
    connection: Connection, kind: str, after: Cursor, upto: Cursor, count: int
) -> list[tuple[datetime, str, int, dict[str, Any]]]:
    table = _TABLES[kind]
    low, high = getattr(after, kind), getattr(upto, kind)
    columns = [table.c.id, table.c[_TIMES[kind]], *(table.c[name] for name in _FACTS[kind])]
    query = select(*columns, *_now(table)).where(table.c.id > low, table.c.id <= high).order_by(table.c.id).limit(count)
    if table is not event:
        query = query.join_from(table, attachment, attachment.c.id == table.c.attachment_id)
    return [(row[1], kind, int(row[0]), _facts(kind, row[2:])) for row in connection.execute(query)]


def _now(table: Table) -> Iterator[Any]:
    if table is not event:
        yield from (attachment.c[name].label(f"now_{name}") for name in _OF_ATTACHMENT)


def _facts(kind: str, values: Any) -> dict[str, Any]:
    own = _FACTS[kind]
    facts = dict(zip(own, values, strict=False))
    if kind != "event":
        facts["attachment"] = dict(zip(_OF_ATTACHMENT, values[len(own) :], strict=True))
    return facts
