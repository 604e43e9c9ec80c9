"""Rows by the million, one after the other, all from one moment: for programs that take a ledger's lists elsewhere."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import ColumnClause, Connection, Integer, Select, Table, exists, func, select
from sqlalchemy.sql import ColumnElement

from mo_sync.ledger.filters import Filters, event_in, matching, says, sent
from mo_sync.ledger.ledger import Ledger
from mo_sync.ledger.schema import UtcTime, application, attachment, attempt, event, intervention, message
from mo_sync.ledger.views import problem

__all__ = ["HEEDED", "Kind", "columns_of", "streamed"]

_AT_ONCE: Final = {"messages": 500, "events": 50}
_ELSE_AT_ONCE: Final = 1_000
"""Rows that are in memory at a time, so few that their longest texts (the payload of an event) do no harm."""
_PRIVATE: Final = frozenset({"lease", "lease_until", "claimed_at", "worker", "absences", "filed_at", "pruned"})


class Kind(StrEnum):
    """What is listed."""

    ATTACHMENTS = "attachments"
    MESSAGES = "messages"
    EVENTS = "events"
    ATTEMPTS = "attempts"
    INTERVENTIONS = "interventions"
    PROBLEMS = "problems"


_OF_MESSAGES: Final = frozenset({"application_id", "since", "until", "from_address", "to_address"})
HEEDED: Final = {
    Kind.ATTACHMENTS: _OF_MESSAGES | {"states", "error"},
    Kind.MESSAGES: _OF_MESSAGES,
    Kind.EVENTS: _OF_MESSAGES | {"event_states"},
    Kind.ATTEMPTS: _OF_MESSAGES | {"states", "error"},
    Kind.INTERVENTIONS: _OF_MESSAGES | {"states", "error"},
    Kind.PROBLEMS: frozenset({"application_id", "since", "until", "error"}),
}
"""Which filters mean something for each. Times are when it was announced, recorded, received, when the try ended, when
somebody did it, or since when it needs a person."""
_TABLES: Final = {
    Kind.ATTACHMENTS: attachment,
    Kind.MESSAGES: message,
    Kind.EVENTS: event,
    Kind.ATTEMPTS: attempt,
    Kind.INTERVENTIONS: intervention,
    Kind.PROBLEMS: problem,
}
_ORDER: Final = {
    Kind.ATTACHMENTS: (attachment.c.created_at, attachment.c.id),
    Kind.MESSAGES: (message.c.recorded_at, message.c.id),
    Kind.EVENTS: (event.c.id,),
    Kind.ATTEMPTS: (attempt.c.id,),
    Kind.INTERVENTIONS: (intervention.c.id,),
    Kind.PROBLEMS: (problem.c.since, problem.c.kind, problem.c.id),
}


def columns_of(kind: Kind) -> dict[str, type]:
    """What is told of each row, in order: the names, and ``str``, ``int`` or ``datetime``."""
    return {column.name: _type_of(column) for column in _columns(kind)}


def _type_of(column: ColumnClause[Any]) -> type:
    if isinstance(column.type, UtcTime):
        return datetime
    return int if isinstance(column.type, Integer) else str


@contextlib.contextmanager
def streamed(
    ledger: Ledger, kind: Kind, filters: Filters, *, limit: int | None = None, newest_first: bool = False
) -> Iterator[Iterator[dict[str, Any]]]:
    """The rows that match, the oldest first or the other way round, at most ``limit``, while the block runs; memory
    stays flat. Raises LedgerOutOfReach."""
    order = [one.desc() if newest_first else one for one in _ORDER[kind]]
    names = columns_of(kind)
    with ledger.read() as connection:
        walks = newest_first and limit is not None and _has_many(connection, filters)
        query = _query(kind, filters, walks=walks).order_by(*order).limit(limit)
        found = connection.execution_options(yield_per=_AT_ONCE.get(kind.value, _ELSE_AT_ONCE)).execute(query)
        yield (dict(zip(names, row, strict=True)) for row in found)


def how_many(ledger: Ledger, kind: Kind, filters: Filters) -> int:
    """How many rows match just now: for who wants to show how far he is. Raises LedgerOutOfReach."""
    with ledger.read() as connection:
        query = select(func.count()).select_from(_query(kind, filters).order_by(None).subquery())
        return int(connection.execute(query).scalar_one())


def _columns(kind: Kind) -> list[ColumnClause[Any]]:
    numbers: list[ColumnClause[Any]] = [message.c.from_address, message.c.to_address]
    own: list[ColumnClause[Any]] = [one for one in _TABLES[kind].c if one.name not in _PRIVATE]
    return own + numbers if kind is Kind.ATTACHMENTS else own


def _has_many(connection: Connection, filters: Filters) -> bool:
    """Whether what matches is likely to be found near the end of all: an application has its part of everything, and a
    number has not."""
    if filters.application_id is None or filters.from_address is not None or filters.to_address is not None:
        return False
    known = select(application.c.id).where(application.c.id == filters.application_id)
    return connection.execute(known).first() is not None


def _query(kind: Kind, filters: Filters, *, walks: bool = False) -> Select[Any]:
    """``walks``: from the newest back, until there are enough, rather than sorting all that match."""
    query = select(*_columns(kind))
    match kind:
        case Kind.ATTACHMENTS:
            joined = query.join_from(attachment, message, message.c.id == attachment.c.message_id)
            return joined.where(*matching(filters))
        case Kind.MESSAGES:
            if walks:
                query = query.with_hint(message, "indexed by ix_message_recorded_at", "sqlite")
            return query.where(*_of_messages(filters), *_between(message.c.recorded_at, filters))
        case Kind.EVENTS:
            return query.where(*_of_events(filters, walks=walks), *_between(event.c.received_at, filters))
        case Kind.ATTEMPTS:
            return query.where(*_of_attachments(attempt, filters), *_between(attempt.c.finished_at, filters))
        case Kind.INTERVENTIONS:
            return query.where(*_of_attachments(intervention, filters), *_between(intervention.c.at, filters))
        case Kind.PROBLEMS:
            return query.where(*_of_problems(filters), *_between(problem.c.since, filters))


def _of_attachments(table: Table, filters: Filters) -> list[ColumnElement[bool]]:
    theirs = matching(replace(filters, since=None, until=None))
    return [table.c.attachment_id.in_(select(attachment.c.id).where(*theirs))] if theirs else []


def _of_problems(filters: Filters) -> list[ColumnElement[bool]]:
    wanted, words = filters.application_id, filters.error
    found = [problem.c.application_id == wanted] if wanted is not None else []
    return found + ([says(problem.c.reason, words)] if words is not None else [])


def _of_messages(filters: Filters) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if filters.application_id is not None:
        found.append(message.c.application_id == filters.application_id)
    return [*found, *sent(filters)]


def _of_events(filters: Filters, *, walks: bool) -> list[ColumnElement[bool]]:
    found = [event_in(filters.event_states)] if filters.event_states else []
    theirs = _of_messages(filters)
    if not theirs:
        return found
    if walks:
        return [*found, exists().where(message.c.id == event.c.message_id, *theirs)]
    return [*found, event.c.message_id.in_(select(message.c.id).where(*theirs))]


def _between(column: ColumnClause[Any], filters: Filters) -> list[ColumnElement[bool]]:
    since = [column >= filters.since] if filters.since is not None else []
    return since + ([column < filters.until] if filters.until is not None else [])
