"""What people ask of the ledger. Nothing here changes anything."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import Connection, Row, Select, func, or_, select

from mo_sync.errors import UsageError
from mo_sync.ledger.ledger import Ledger
from mo_sync.ledger.schema import application, attachment, attempt, event, message
from mo_sync.lifecycle import State

__all__ = [
    "PROBLEMS",
    "Announcement",
    "ApplicationRow",
    "AttachmentRow",
    "AttemptRow",
    "Filters",
    "MessageRow",
    "Status",
    "Story",
    "counts",
    "find_story",
    "list_attachments",
    "status",
]

PROBLEMS = (State.FAILED, State.MISSING, State.REFUSED, State.QUARANTINED)
"""States that need a person."""

_CANDIDATES = 5
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ApplicationRow:
    """An application that is, or was, in trouble."""

    id: str
    state: str
    until: datetime | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Status:
    """The ledger at a glance. ``attachments`` and ``events`` count by state; rates count finished attempts."""

    attachments: dict[str, int]
    events: dict[str, int]
    messages: int
    deliveries: int
    stored_bytes: int
    oldest_pending: datetime | None
    next_due: datetime | None
    stored_last_hour: int
    stored_last_day: int
    failures_last_hour: int
    failures_last_day: int
    applications: tuple[ApplicationRow, ...]


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


@dataclass(frozen=True, slots=True)
class Story:
    """Everything about one event, message or attachment; ``kind`` says which was asked for."""

    kind: str
    id: str
    message: MessageRow | None
    events: tuple[Announcement, ...]
    attachments: tuple[AttachmentRow, ...]
    attempts: tuple[AttemptRow, ...]


@dataclass(frozen=True, slots=True)
class Filters:
    """Which attachments to list; what is left out does not matter. ``error`` is looked for in code and sentence."""

    states: Collection[State] = ()
    application_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    from_address: str | None = None
    to_address: str | None = None
    error: str | None = None


def counts(ledger: Ledger) -> dict[State, int]:
    """How many attachments are in each state; every state is there."""
    with ledger.read() as connection:
        return _counts(connection)


def status(ledger: Ledger, *, now: datetime) -> Status:
    """The ledger at a glance, all of it from one moment."""
    pending = attachment.c.state == State.PENDING.value
    with ledger.read() as connection:
        found = connection.execute(
            select(event.c.state, func.count(), func.sum(event.c.deliveries)).group_by(event.c.state)
        )
        events = [(str(state), int(count), int(deliveries)) for state, count, deliveries in found]
        stored_bytes = connection.execute(
            select(func.coalesce(func.sum(attachment.c.size), 0)).where(attachment.c.state == State.STORED.value)
        ).scalar_one()
        oldest = func.min(attachment.c.created_at, type_=attachment.c.created_at.type)
        due = func.min(attachment.c.due_at, type_=attachment.c.due_at.type)
        oldest_pending, next_due = connection.execute(select(oldest, due).where(pending)).one()
        hour, day = now - timedelta(hours=1), now - timedelta(days=1)
        return Status(
            attachments={state.value: count for state, count in _counts(connection).items()},
            events={state: count for state, count, _ in events},
            messages=connection.execute(select(func.count()).select_from(message)).scalar_one(),
            deliveries=sum(deliveries for _, _, deliveries in events),
            stored_bytes=int(stored_bytes),
            oldest_pending=oldest_pending,
            next_due=next_due,
            stored_last_hour=_attempts_since(connection, hour, stored=True),
            stored_last_day=_attempts_since(connection, day, stored=True),
            failures_last_hour=_attempts_since(connection, hour, stored=False),
            failures_last_day=_attempts_since(connection, day, stored=False),
            applications=tuple(_rows(connection, select(application).order_by(application.c.id), ApplicationRow)),
        )


def list_attachments(ledger: Ledger, filters: Filters, *, limit: int | None) -> list[AttachmentRow]:
    """Attachments that match, the newest first, at most ``limit`` (None: all)."""
    query = _attachments().order_by(attachment.c.created_at.desc(), attachment.c.message_id, attachment.c.position)
    if filters.states:
        query = query.where(attachment.c.state.in_([state.value for state in filters.states]))
    if filters.application_id is not None:
        query = query.where(attachment.c.application_id == filters.application_id)
    if filters.since is not None:
        query = query.where(attachment.c.created_at >= filters.since)
    if filters.until is not None:
        query = query.where(attachment.c.created_at < filters.until)
    if filters.from_address is not None:
        query = query.where(message.c.from_address.in_(_spellings(filters.from_address)))
    if filters.to_address is not None:
        query = query.where(message.c.to_address.in_(_spellings(filters.to_address)))
    if filters.error is not None:
        needle = filters.error
        named = attachment.c.error.contains(needle, autoescape=True)
        query = query.where(or_(named, attachment.c.error_code == needle))
    with ledger.read() as connection:
        return _rows(connection, query.limit(limit), AttachmentRow)


def find_story(ledger: Ledger, wanted: str) -> Story:
    """The story of the event, message or attachment ``wanted``: a whole id, or the beginning of only one.

    Raises UsageError ``id-unknown`` or ``id-ambiguous``, which then names candidates.
    """
    with ledger.read() as connection:
        kind, found = _find(connection, wanted)
        return _story(connection, kind, found)


def _counts(connection: Connection) -> dict[State, int]:
    found = connection.execute(select(attachment.c.state, func.count()).group_by(attachment.c.state))
    by_state = {State(state): int(count) for state, count in found}
    return {state: by_state.get(state, 0) for state in State}


def _attempts_since(connection: Connection, since: datetime, *, stored: bool) -> int:
    kept = attempt.c.outcome == "stored"
    neither = attempt.c.outcome.not_in(("stored", "interrupted", "lost"))
    query = select(func.count()).where(attempt.c.finished_at >= since, kept if stored else neither)
    return int(connection.execute(query).scalar_one())


def _attachments() -> Select[Any]:
    return select(attachment, message.c.from_address, message.c.to_address).join(
        message, message.c.id == attachment.c.message_id
    )


def _spellings(address: str) -> list[str]:
    """A phone number is written with and without its plus sign."""
    bare = address.removeprefix("+")
    return [bare, f"+{bare}"]


def _find(connection: Connection, wanted: str) -> tuple[str, str]:
    places = (("attachment", attachment.c.id), ("message", message.c.id), ("event", event.c.event_key))
    for kind, column in places:
        if connection.execute(select(column).where(column == wanted)).first() is not None:
            return kind, wanted
    candidates: list[tuple[str, str]] = []
    for kind, column in places:
        like = column.startswith(wanted, autoescape=True)
        # GLOB would be exact in SQLite, but PostgreSQL has none: LIKE finds, and we look at upper and lower case.
        found = connection.execute(select(column).where(like).order_by(column).limit(_CANDIDATES)).scalars()
        candidates += [(kind, str(row)) for row in found if str(row).startswith(wanted)]
    if len(candidates) == 1:
        return candidates[0]
    if not candidates or not wanted:
        hint = "mo-sync ledger list shows ids"
        raise UsageError("id-unknown", "no event, message or attachment has this id", item=wanted, hint=hint)
    named = ", ".join(f"{kind} {row}" for kind, row in candidates[:_CANDIDATES])
    raise UsageError("id-ambiguous", "several ids begin so", item=wanted, hint=f"it may be {named}")


def _story(connection: Connection, kind: str, found: str) -> Story:
    match kind:
        case "attachment":
            message_id = connection.execute(
                select(attachment.c.message_id).where(attachment.c.id == found)
            ).scalar_one()
            which = attachment.c.id == found
        case "message":
            message_id, which = found, attachment.c.message_id == found
        case _:
            message_id = connection.execute(select(event.c.message_id).where(event.c.event_key == found)).scalar_one()
            which = attachment.c.message_id == message_id
    announced = event.c.event_key == found if message_id is None else event.c.message_id == message_id
    rows = _rows(connection, _attachments().where(which).order_by(attachment.c.position), AttachmentRow)
    tries = select(attempt).where(attempt.c.attachment_id.in_([row.id for row in rows])).order_by(attempt.c.id)
    messages = _rows(connection, select(message).where(message.c.id == message_id), MessageRow)
    return Story(
        kind=kind,
        id=found,
        message=messages[0] if messages else None,
        events=tuple(_rows(connection, select(event).where(announced).order_by(event.c.id), Announcement)),
        attachments=tuple(rows),
        attempts=tuple(_rows(connection, tries, AttemptRow)),
    )


def _rows(connection: Connection, query: Select[Any], kind: type[T]) -> list[T]:
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]  # every kind above is a dataclass
    return [_row(row, kind, names) for row in connection.execute(query)]


def _row(row: Row[Any], kind: type[T], names: list[str]) -> T:
    found = row._mapping
    return kind(**{name: found[name] for name in names})
