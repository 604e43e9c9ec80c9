"""What the ledger holds, as values for people: one class a table, with the columns that they ask for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Connection, Row, Select, select

from mo_sync.ledger.schema import attachment, message

__all__ = [
    "Announcement",
    "ApplicationRow",
    "AttachmentRow",
    "AttemptRow",
    "InterventionRow",
    "MarkRow",
    "MessageRow",
    "attachments",
    "each",
    "rows",
]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ApplicationRow:
    """An application, how it stands, and how fast it goes."""

    id: str
    state: str
    until: datetime | None
    reason: str | None
    failures: int
    workers: int | None


@dataclass(frozen=True, slots=True)
class AttachmentRow:
    """An attachment with what people want to know of its message."""

    id: str
    message_id: str
    application_id: str
    position: int
    state: str
    attempts: int
    due_at: datetime | None
    deadline_at: datetime
    size: int | None
    sha256: str | None
    content_type: str | None
    filename: str | None
    location: str | None
    error: str | None
    error_step: str | None
    error_status: int | None
    error_code: str | None
    created_at: datetime
    updated_at: datetime
    stored_at: datetime | None
    worker: str | None
    lease_until: datetime | None
    from_address: str | None
    to_address: str | None


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """One try to fetch an attachment."""

    attachment_id: str
    number: int
    started_at: datetime | None
    finished_at: datetime
    outcome: str
    step: str | None
    status: int | None
    code: str | None
    bytes: int | None
    error: str | None
    worker: str | None


@dataclass(frozen=True, slots=True)
class InterventionRow:
    """What somebody did to an attachment."""

    attachment_id: str
    deed: str
    at: datetime
    state: str
    who: str | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class MessageRow:
    """A message."""

    id: str
    application_id: str
    channel: str | None
    from_address: str | None
    to_address: str | None
    av_status: str | None
    occurred_at: datetime | None
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class MarkRow:
    """Whether Syniverse was told that a message is PROCESSED, or why not."""

    state: str
    due_at: datetime | None
    attempts: int
    error: str | None
    created_at: datetime
    marked_at: datetime | None


@dataclass(frozen=True, slots=True)
class Announcement:
    """An event."""

    event_key: str
    source: str
    topic: str | None
    type: str | None
    state: str
    reason: str | None
    message_id: str | None
    occurred_at: datetime | None
    received_at: datetime
    deliveries: int


def attachments() -> Select[Any]:
    """Attachments, each with the numbers of its message."""
    return select(attachment, message.c.from_address, message.c.to_address).join(
        message, message.c.id == attachment.c.message_id
    )


def rows(connection: Connection, query: Select[Any], kind: type[T]) -> list[T]:
    """What ``query`` finds, as values of ``kind``; it may find more columns than those have."""
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]  # every kind above is a dataclass
    return [_row(row, kind, names) for row in connection.execute(query)]


def each(connection: Connection, query: Select[Any], kind: type[T], *, at_once: int) -> Iterator[T]:
    """The same one by one, ``at_once`` of them in memory, while the connection's transaction lasts."""
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    for row in connection.execution_options(yield_per=at_once).execute(query):
        yield _row(row, kind, names)


def _row(row: Row[Any], kind: type[T], names: list[str]) -> T:
    found = row._mapping
    return kind(**{name: found[name] for name in names})
