"""Where Syniverse's side and this one differ, written down: what a comparison found takes the place of the last."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from dataclasses import replace as replace_value
from datetime import datetime
from enum import StrEnum
from typing import Final

from sqlalchemy import ColumnElement, Connection, column, delete, select, table, text

from mo_sync.ledger.bulk import write
from mo_sync.ledger.dialect import Insert, begins_with, insert
from mo_sync.ledger.holdings import Owners
from mo_sync.ledger.ledger import Ledger
from mo_sync.ledger.rows import rows
from mo_sync.ledger.schema import gap

__all__ = ["ABOUT_MESSAGES", "Gap", "GapRow", "Kind", "begin", "beginning_with", "end", "gaps", "of_message", "replace"]


class Kind(StrEnum):
    """What kinds of difference there are."""

    ONLY_IN_INBOX = "only in the inbox"
    NOT_IN_INBOX = "not in the inbox"
    ATTACHMENTS_DIFFER = "attachments differ"
    INBOX_EMPTY = "inbox empty"
    INBOX_OUT_OF_REACH = "inbox out of reach"
    SILENCE = "silence"


ABOUT_MESSAGES: Final = (Kind.ONLY_IN_INBOX, Kind.NOT_IN_INBOX, Kind.ATTACHMENTS_DIFFER)
"""The kinds that are about single messages; the others are about applications."""

_COLUMNS: Final = ("kind", "subject", "application_id", "since", "found_at", "reason")
_AT_ONCE: Final = 500
"""So many a transaction: while it lasts, SQLite lets nobody else write."""

_VIEW = table(
    "v_gap",
    column("kind"),
    column("message_id", gap.c.subject.type),
    column("application_id"),
    column("since", gap.c.since.type),
    column("reason"),
    column("command"),
)


@dataclass(frozen=True, slots=True)
class Gap:
    """A difference: about which message or application, since when, and in a sentence what is here and there."""

    kind: Kind
    subject: str
    application_id: str
    since: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class GapRow:
    """A row of ``v_gap``: a message that one side has and the other has not, or not all of it."""

    kind: str
    message_id: str
    application_id: str
    since: datetime
    reason: str
    command: str


def replace(
    ledger: Ledger, owners: Owners, since: datetime, until: datetime, found: Sequence[Gap], *, now: datetime
) -> None:
    """Let ``found`` be all that differs of these applications' messages of that time. Raises LedgerOutOfReach.

    Who is ended in the middle leaves some of it written: the next comparison of that time writes all of it again.
    """
    kinds = [kind.value for kind in ABOUT_MESSAGES]
    theirs = owners.own(gap.c.application_id), gap.c.kind.in_(kinds), gap.c.since >= since, gap.c.since < until
    with ledger.begin() as connection:
        connection.execute(delete(gap).where(*theirs))
        _write(connection, found[:_AT_ONCE], now)
    for start in range(_AT_ONCE, len(found), _AT_ONCE):
        with ledger.begin() as connection:
            _write(connection, found[start : start + _AT_ONCE], now)


def begin(ledger: Ledger, one: Gap, *, now: datetime) -> bool:
    """Something is so; whether that is new. If it was known, its beginning stays. Raises LedgerOutOfReach."""
    with ledger.begin() as connection:
        known = select(gap.c.since).where(*_same(one.kind, one.subject))
        since = connection.execute(known).scalar_one_or_none()
        _write(connection, [one if since is None else replace_value(one, since=since)], now)
    return since is None


def end(ledger: Ledger, kind: Kind, subject: str) -> bool:
    """It is no longer so; whether it was. Nothing is written when it was not. Raises LedgerOutOfReach."""
    here = _same(kind, subject)
    with ledger.read() as connection:
        if connection.execute(select(gap.c.kind).where(*here)).first() is None:
            return False
    with ledger.begin() as connection:
        return connection.execute(delete(gap).where(*here)).rowcount == 1


def gaps(
    ledger: Ledger, owners: Owners, *, since: datetime | None, until: datetime | None, limit: int | None
) -> list[GapRow]:
    """The messages that differ, the newest first, at most ``limit`` (None: all). Raises LedgerOutOfReach."""
    query = select(_VIEW).where(owners.own(_VIEW.c.application_id))
    if since is not None:
        query = query.where(_VIEW.c.since >= since)
    if until is not None:
        query = query.where(_VIEW.c.since < until)
    with ledger.read() as connection:
        return rows(connection, query.order_by(text("since desc, message_id")).limit(limit), GapRow)


def of_message(connection: Connection, message_id: str) -> list[GapRow]:
    """What differs of one message."""
    return rows(connection, select(_VIEW).where(_VIEW.c.message_id == message_id).order_by(_VIEW.c.kind), GapRow)


def beginning_with(connection: Connection, wanted: str) -> list[GapRow]:
    """What differs of the message ``wanted``, or of those whose ids begin so."""
    begins = begins_with(connection.dialect.name, _VIEW.c.message_id, wanted)
    found = rows(connection, select(_VIEW).where(begins).order_by(_VIEW.c.message_id, _VIEW.c.kind), GapRow)
    return [row for row in found if row.message_id == wanted] or found


def _same(kind: Kind, subject: str) -> tuple[ColumnElement[bool], ...]:
    return gap.c.kind == kind.value, gap.c.subject == subject


def _write(connection: Connection, found: Iterable[Gap], now: datetime) -> None:
    rows = [[one.kind.value, one.subject, one.application_id, one.since, now, one.reason] for one in found]
    write(connection, _newest, _COLUMNS, rows)


def _newest(dialect: str) -> Insert:
    """What was found last is what is said."""
    statement = insert(dialect, gap)
    changed = {name: statement.excluded[name] for name in _COLUMNS[2:]}
    return statement.on_conflict_do_update(index_elements=["kind", "subject"], set_=changed)
