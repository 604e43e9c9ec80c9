"""Events in: each announcement, message and attachment once, whatever comes how often, by whichever feed.

What is the same is decided by keys and unique constraints. An announcement is known by its event id. One without an id
is known by the hash of its fields, and so is found again as the announcement with an id that said the same, and the
other way round; then only ``deliveries`` grows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import structlog
from sqlalchemy import Connection, Select, and_, func, or_, select
from sqlalchemy.exc import SQLAlchemyError

from mo_sync.events import Envelope, MoMessage, RawEvent, Rejected, payload_text
from mo_sync.ledger.applications import keep_known
from mo_sync.ledger.bulk import look_up, write
from mo_sync.ledger.dialect import Insert, among, insert, take_turns_recording
from mo_sync.ledger.engine import translated
from mo_sync.ledger.ledger import Ledger
from mo_sync.ledger.schema import attachment, event, message
from mo_sync.ledger.veil import veiled
from mo_sync.lifecycle import State
from mo_sync.readings import plain

__all__ = ["Recorded", "record"]

_log = structlog.get_logger(__name__)

_LOOK_UP_AT_ONCE = 500
_MAX_PAYLOAD = 1_000_000
_GAINS = ("company_id", "channel", "from_address", "to_address", "body", "sender_id", "av_status", "occurred_at")
"""Columns of a message that a later announcement may fill, but never change."""
_MESSAGE = ("id", "application_id", *_GAINS, "recorded_at", "filed_at")
_GAINED = range(2, 2 + len(_GAINS))
_ATTACHMENT = (
    *("id", "message_id", "application_id", "position", "state"),
    *("due_at", "deadline_at", "created_at", "updated_at"),
)
_EVENT = (
    *("event_key", "content_key", "source", "topic", "type", "state", "reason"),
    *("message_id", "occurred_at", "received_at", "deliveries", "payload"),
)
_DELIVERIES = _EVENT.index("deliveries")

Item = tuple[RawEvent, Envelope | Rejected]


class Recorded(StrEnum):
    """What became of one event."""

    NEW = "new"
    DUPLICATE = "duplicate"
    IGNORED = "ignored"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class _Terms:
    """What holds for a whole batch."""

    now: datetime
    deadline_at: datetime
    max_payload: int


@dataclass(frozen=True, slots=True)
class _Known:
    """What the ledger holds of a batch already: the keys, and for each content the oldest key that said it."""

    keys: frozenset[str]
    by_content: dict[str, str]

    @classmethod
    def of(cls, connection: Connection, events: Sequence[Envelope | Rejected]) -> _Known:
        contents = list({parsed.content_key for parsed in events if isinstance(parsed, Envelope)})
        keys: set[str] = set()
        by_content: dict[str, str] = {}
        for some in _chunks(contents):
            for event_key, content_key in look_up(connection, _of_contents, some):
                keys.add(event_key)
                by_content.setdefault(content_key, event_key)
        for some in _chunks(list({parsed.event_key for parsed in events} - keys)):
            keys.update(event_key for (event_key,) in look_up(connection, _of_keys, some))
        return cls(frozenset(keys), by_content)

    def row_keys(self, events: Sequence[Envelope | Rejected]) -> list[str]:
        """Under which key each event is, or will be, recorded: its own, or that of one that said the same before."""
        known, by_content = set(self.keys), dict(self.by_content)
        keys: list[str] = []
        for parsed in events:
            key = parsed.event_key
            if key not in known and isinstance(parsed, Envelope):
                unnamed = f"sha256:{parsed.content_key}"
                if key == unnamed:
                    key = by_content.get(parsed.content_key, key)
                elif unnamed in known:
                    key = unnamed
                by_content.setdefault(parsed.content_key, key)
            known.add(key)
            keys.append(key)
        return keys


def record(
    ledger: Ledger,
    batch: Sequence[Item],
    *,
    now: datetime,
    give_up_after_s: float,
    max_payload: int = _MAX_PAYLOAD,
) -> list[Recorded]:
    """Record ``batch`` in one transaction; what became of each, in order. When this returns they are durable.

    If the batch fails as a whole it is recorded event by event under savepoints: one that cannot be recorded is kept
    as ``rejected`` with its reason, and costs none of its neighbours. ``max_payload`` bounds, in characters, how much
    of an event is kept. Raises LedgerOutOfReach, and then nothing was recorded. May be repeated at will.
    """
    if not batch:
        return []
    terms = _Terms(now, now + timedelta(seconds=give_up_after_s), max_payload)
    try:
        with ledger.begin() as connection:
            return _record(connection, batch, terms)
    except (SQLAlchemyError, ValueError, TypeError, OverflowError) as error:
        _log.warning("batch.recorded-singly", events=len(batch), error=type(error).__name__)
    with ledger.begin() as connection:
        return [_record_one(connection, item, terms) for item in batch]


def _record_one(connection: Connection, item: Item, terms: _Terms) -> Recorded:
    raw, parsed = item
    try:
        with connection.begin_nested():
            return _record(connection, [item], terms)[0]
    except (SQLAlchemyError, ValueError, TypeError, OverflowError) as error:
        if isinstance(error, SQLAlchemyError) and translated(error, raw.source):
            raise  # the ledger's trouble, not this event's: nothing is recorded, and all of it comes again
        kind = type(getattr(error, "orig", None) or error).__name__
        _log.error("event.unrecordable", source=raw.source, error=kind)
        reason = f"it could not be recorded ({kind}); please report it with its payload"
    kept = Rejected(event_key=plain(parsed.event_key), reason=reason, position="event")
    with connection.begin_nested():
        return _record(
            connection, [(RawEvent(plain(raw.source), raw.body, raw.received_at, raw.headers), kept)], terms
        )[0]


def _record(connection: Connection, batch: Sequence[Item], terms: _Terms) -> list[Recorded]:
    take_turns_recording(connection)
    batch, erased = veiled(connection, batch)
    known = _Known.of(connection, [parsed for _, parsed in batch])
    messages = [
        parsed.message
        for _, parsed in batch
        # What was said before, in whatever shape, has been taken in; saying it again changes nothing.
        if isinstance(parsed, Envelope) and parsed.message and parsed.content_key not in known.by_content
    ]
    _record_messages(connection, messages, terms)
    strangers = _record_attachments(connection, messages, terms, erased)
    return _record_events(connection, batch, terms, known, strangers)


def _of_contents(dialect: str) -> Select[Any]:
    """The oldest first."""
    columns = event.c.event_key, event.c.content_key
    return select(*columns).where(among(dialect, event.c.content_key)).order_by(event.c.id)


def _of_keys(dialect: str) -> Select[Any]:
    return select(event.c.event_key).where(among(dialect, event.c.event_key))


def _owners(dialect: str) -> Select[Any]:
    return select(attachment.c.id, attachment.c.message_id).where(among(dialect, attachment.c.id))


def _record_messages(connection: Connection, messages: Iterable[MoMessage], terms: _Terms) -> None:
    rows: dict[str, list[Any]] = {}
    for said in messages:
        row = _message_row(said, terms)
        known = rows.setdefault(said.message_id, row)
        if known is not row:
            for place in _GAINED:
                if known[place] is None:
                    known[place] = row[place]
    write(connection, _gaining, _MESSAGE, list(rows.values()))


def _message_row(said: MoMessage, terms: _Terms) -> list[Any]:
    return [
        said.message_id,
        said.application_id,
        said.company_id,
        said.channel,
        said.from_address,
        said.to_address,
        said.body,
        said.sender_id,
        said.av_status,
        said.occurred_at,
        terms.now,
        said.occurred_at or terms.now,
    ]


def _gaining(dialect: str) -> Insert:
    """A message that is there already only gains what it lacked."""
    statement = insert(dialect, message)
    new = statement.excluded
    gained = or_(*(and_(message.c[name].is_(None), new[name].is_not(None)) for name in _GAINS))
    filled = {name: func.coalesce(message.c[name], new[name]) for name in _GAINS}
    return statement.on_conflict_do_update(index_elements=["id"], set_=filled, where=gained)


def _record_attachments(
    connection: Connection, messages: Iterable[MoMessage], terms: _Terms, erased: frozenset[str]
) -> dict[str, list[str]]:
    """Insert what is new and was not erased; which attachments of which messages belong to another message already."""
    rows: dict[str, list[Any]] = {}
    owners: dict[str, str] = {}
    wanted: set[tuple[str, str]] = set()
    for said in messages:
        for position, attachment_id in enumerate(said.attachment_ids):
            if attachment_id in erased:
                continue
            wanted.add((attachment_id, said.message_id))
            if attachment_id not in rows:
                rows[attachment_id] = _attachment_row(said, attachment_id, position, terms)
                owners[attachment_id] = said.message_id
    if not rows:
        return {}
    applications = {row[2] for row in rows.values()}
    new = write(connection, _keeping, _ATTACHMENT, list(rows.values()))
    keep_known(connection, applications, now=terms.now)
    if new < len(rows):  # some were there before, and may belong to another message
        for some in _chunks(list(rows)):
            owners.update(dict(look_up(connection, _owners, some)))
    strangers: dict[str, list[str]] = {}
    for attachment_id, message_id in wanted:
        if (owner := owners[attachment_id]) != message_id:
            strangers.setdefault(message_id, []).append(f"{attachment_id} belongs to message {owner}")
    return strangers


def _keeping(dialect: str) -> Insert:
    """An attachment that is there already stays as it is."""
    return insert(dialect, attachment).on_conflict_do_nothing(index_elements=["id"])


def _attachment_row(said: MoMessage, attachment_id: str, position: int, terms: _Terms) -> list[Any]:
    now, pending = terms.now, State.PENDING.value
    application_id = said.application_id
    return [attachment_id, said.message_id, application_id, position, pending, now, terms.deadline_at, now, now]


def _record_events(
    connection: Connection, batch: Sequence[Item], terms: _Terms, known: _Known, strangers: dict[str, list[str]]
) -> list[Recorded]:
    """One row an announcement; ``deliveries`` counts how often each key came."""
    keys = known.row_keys([parsed for _, parsed in batch])
    rows: dict[str, list[Any]] = {}
    recorded: list[Recorded] = []
    for (raw, parsed), key in zip(batch, keys, strict=True):
        if key in rows:
            rows[key][_DELIVERIES] += 1
            recorded.append(Recorded.DUPLICATE)
        else:
            rows[key] = _event_row(raw, parsed, key, terms, strangers)
            recorded.append(Recorded.DUPLICATE if key in known.keys else _recorded(parsed))
    write(connection, _counting, _EVENT, list(rows.values()))
    return recorded


def _counting(dialect: str) -> Insert:
    """An event that is there already was delivered again."""
    statement = insert(dialect, event)
    counted = {"deliveries": event.c.deliveries + statement.excluded.deliveries}
    return statement.on_conflict_do_update(index_elements=["event_key"], set_=counted)


def _recorded(parsed: Envelope | Rejected) -> Recorded:
    if isinstance(parsed, Rejected):
        return Recorded.REJECTED
    return Recorded.NEW if parsed.message else Recorded.IGNORED


def _event_row(
    raw: RawEvent, parsed: Envelope | Rejected, key: str, terms: _Terms, strangers: dict[str, list[str]]
) -> list[Any]:
    payload = payload_text(raw.body, max_chars=terms.max_payload)
    if isinstance(parsed, Rejected):
        reason = f"{parsed.reason} (at {parsed.position})"
        return [key, None, raw.source, None, None, "rejected", reason, None, None, raw.received_at, 1, payload]
    said = parsed.message
    return [
        key,
        parsed.content_key,
        raw.source,
        parsed.topic,
        parsed.type,
        "accepted" if said else "ignored",
        _remarks(parsed, strangers),
        said.message_id if said else None,
        parsed.occurred_at,
        raw.received_at,
        1,
        payload,
    ]


def _remarks(parsed: Envelope, strangers: dict[str, list[str]]) -> str | None:
    if not strangers or parsed.message is None:
        return parsed.reason
    remarks = [parsed.reason] if parsed.reason else []
    return "; ".join([*remarks, *strangers.get(parsed.message.message_id, [])]) or None


def _chunks(values: list[str]) -> Iterable[list[str]]:
    return (values[start : start + _LOOK_UP_AT_ONCE] for start in range(0, len(values), _LOOK_UP_AT_ONCE))
