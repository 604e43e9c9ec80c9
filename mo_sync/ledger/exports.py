"""Rows by the million, one after the other, all from one moment: for programs that take a ledger's lists elsewhere."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Column, Integer, Select, func, select
from sqlalchemy.sql import ColumnElement

from mo_sync.ledger.filters import Filters, matching, sent
from mo_sync.ledger.ledger import Ledger
from mo_sync.ledger.schema import UtcTime, attachment, attempt, event, message

__all__ = ["HEEDED", "Kind", "columns_of", "streamed"]

_AT_ONCE: Final = {"attachments": 1_000, "messages": 500, "events": 50, "attempts": 1_000}
"""Rows that are in memory at a time, so few that their longest texts (the payload of an event) do no harm."""
_PRIVATE: Final = frozenset({"lease", "lease_until", "claimed_at", "worker", "absences", "filed_at", "pruned"})


class Kind(StrEnum):
    """What is listed."""

    ATTACHMENTS = "attachments"
    MESSAGES = "messages"
    EVENTS = "events"
    ATTEMPTS = "attempts"


HEEDED: Final = {
    Kind.ATTACHMENTS: frozenset({"states", "application_id", "since", "until", "from_address", "to_address", "error"}),
    Kind.MESSAGES: frozenset({"application_id", "since", "until", "from_address", "to_address"}),
    Kind.EVENTS: frozenset({"application_id", "since", "until", "from_address", "to_address"}),
    Kind.ATTEMPTS: frozenset({"states", "application_id", "since", "until", "from_address", "to_address", "error"}),
}
"""Which filters mean something for each. Times are when it was announced, recorded, received, or when the try ended."""


def columns_of(kind: Kind) -> dict[str, type]:
    """What is told of each row, in order: the names, and ``str``, ``int`` or ``datetime``."""
    return {column.name: _type_of(column) for column in _columns(kind)}


def _type_of(column: Column[Any]) -> type:
    if isinstance(column.type, UtcTime):
        return datetime
    return int if isinstance(column.type, Integer) else str


@contextlib.contextmanager
def streamed(ledger: Ledger, kind: Kind, filters: Filters) -> Iterator[Iterator[dict[str, Any]]]:
    """The rows that match, the oldest first, while the block runs; memory stays flat. Raises LedgerOutOfReach."""
    query = _query(kind, filters)
    names = columns_of(kind)
    with ledger.read() as connection:
        found = connection.execution_options(yield_per=_AT_ONCE[kind.value]).execute(query)
        yield (dict(zip(names, row, strict=True)) for row in found)


def how_many(ledger: Ledger, kind: Kind, filters: Filters) -> int:
    """How many rows match just now: for who wants to show how far he is. Raises LedgerOutOfReach."""
    with ledger.read() as connection:
        query = select(func.count()).select_from(_query(kind, filters).order_by(None).subquery())
        return int(connection.execute(query).scalar_one())


def _columns(kind: Kind) -> list[Column[Any]]:
    numbers = [message.c.from_address, message.c.to_address]
    tables = {Kind.ATTACHMENTS: attachment, Kind.MESSAGES: message, Kind.EVENTS: event, Kind.ATTEMPTS: attempt}
    own = [column for column in tables[kind].columns if column.name not in _PRIVATE]
    return own + numbers if kind is Kind.ATTACHMENTS else own


def _query(kind: Kind, filters: Filters) -> Select[Any]:
    query = select(*_columns(kind))
    match kind:
        case Kind.ATTACHMENTS:
            joined = query.join_from(attachment, message, message.c.id == attachment.c.message_id)
            return joined.where(*matching(filters)).order_by(attachment.c.created_at, attachment.c.id)
        case Kind.MESSAGES:
            return query.where(*_of_messages(filters), *_between(message.c.recorded_at, filters)).order_by(
                message.c.recorded_at, message.c.id
            )
        case Kind.EVENTS:
            theirs = _of_messages(filters)
            chosen = [event.c.message_id.in_(select(message.c.id).where(*theirs))] if theirs else []
            return query.where(*chosen, *_between(event.c.received_at, filters)).order_by(event.c.id)
        case Kind.ATTEMPTS:
            theirs = matching(replace(filters, since=None, until=None))
            chosen = [attempt.c.attachment_id.in_(select(attachment.c.id).where(*theirs))] if theirs else []
            return query.where(*chosen, *_between(attempt.c.finished_at, filters)).order_by(attempt.c.id)


def _of_messages(filters: Filters) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if filters.application_id is not None:
        found.append(message.c.application_id == filters.application_id)
    return [*found, *sent(filters)]


def _between(column: Column[Any], filters: Filters) -> list[ColumnElement[bool]]:
    since = [column >= filters.since] if filters.since is not None else []
    return since + ([column < filters.until] if filters.until is not None else [])
