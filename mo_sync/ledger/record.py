"""Events in: each announcement, message and attachment once, whatever comes how often, by whichever feed.

What is the same is decided by keys and unique constraints. An announcement is known by its event id. One without an id
is known by the hash of its fields, and so is found again as the announcement with an id that said the same, and the
other way round; then only ``deliveries`` grows.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import structlog
from sqlalchemy import Connection, Select, select
from sqlalchemy.exc import SQLAlchemyError

from mo_sync.events import Envelope, RawEvent, Rejected, payload_text
from mo_sync.ledger.bulk import chunks, look_up, write
from mo_sync.ledger.contents import Terms, record_attachments, record_messages
from mo_sync.ledger.dialect import Insert, among, insert, take_turns_recording
from mo_sync.ledger.engine import translated
from mo_sync.ledger.ledger import Ledger
from mo_sync.ledger.remarks import BETWEEN
from mo_sync.ledger.schema import event
from mo_sync.ledger.veil import veiled
from mo_sync.readings import plain

__all__ = ["Item", "Recorded", "read_as", "record", "record_again"]

_log = structlog.get_logger(__name__)

_MAX_PAYLOAD = 1_000_000
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
class _Known:
    """What the ledger holds of a batch already: the keys, and for each content the oldest key that said it."""

    keys: frozenset[str]
    by_content: dict[str, str]

    @classmethod
    def of(cls, connection: Connection, events: Sequence[Envelope | Rejected]) -> _Known:
        contents = list({parsed.content_key for parsed in events if isinstance(parsed, Envelope)})
        keys: set[str] = set()
        by_content: dict[str, str] = {}
        for some in chunks(contents):
            for event_key, content_key in look_up(connection, _of_contents, some):
                keys.add(event_key)
                by_content.setdefault(content_key, event_key)
        for some in chunks(list({parsed.event_key for parsed in events} - keys)):
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
    as ``rejected`` with its reason, and costs none of its neighbours. ``max_payload`` bounds, in bytes, how much
    of an event is kept. Raises LedgerOutOfReach, and then nothing was recorded. May be repeated at will.
    """
    terms = Terms(now, now + timedelta(seconds=give_up_after_s), max_payload)
    return _recorded(ledger.begin, batch, terms) if batch else []


def rehearse(ledger: Ledger, batch: Sequence[Item], *, now: datetime, give_up_after_s: float) -> list[Recorded]:
    """What :func:`record` would answer; nothing of it stays. Raises LedgerOutOfReach."""
    terms = Terms(now, now + timedelta(seconds=give_up_after_s), _MAX_PAYLOAD)
    return _recorded(lambda: _undone(ledger), batch, terms)


@contextlib.contextmanager
def _undone(ledger: Ledger) -> Iterator[Connection]:
    """A transaction of which nothing stays."""
    with ledger.begin() as connection, contextlib.closing(connection.begin_nested()) as undone:
        yield connection
        undone.rollback()


def _recorded(
    begin: Callable[[], AbstractContextManager[Connection]], batch: Sequence[Item], terms: Terms
) -> list[Recorded]:
    try:
        with begin() as connection:
            return _record(connection, batch, terms)
    except (SQLAlchemyError, ValueError, TypeError, OverflowError) as error:
        _log.warning("batch.recorded-singly", events=len(batch), error=type(error).__name__)
    with begin() as connection:
        return [_record_one(connection, item, terms) for item in batch]


def record_again(
    connection: Connection, batch: Sequence[Item], *, now: datetime, give_up_after_s: float, deliveries: int
) -> list[Recorded]:
    """Record ``batch`` within a transaction of the caller's; each counts as so many deliveries."""
    terms = Terms(now, now + timedelta(seconds=give_up_after_s), _MAX_PAYLOAD, deliveries)
    return _record(connection, batch, terms)


def _record_one(connection: Connection, item: Item, terms: Terms) -> Recorded:
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


def _record(connection: Connection, batch: Sequence[Item], terms: Terms) -> list[Recorded]:
    take_turns_recording(connection)
    batch, erased = veiled(connection, batch)
    known = _Known.of(connection, [parsed for _, parsed in batch])
    messages = [
        parsed.message
        for _, parsed in batch
        # What was said before, in whatever shape, has been taken in; saying it again changes nothing.
        if isinstance(parsed, Envelope) and parsed.message and parsed.content_key not in known.by_content
    ]
    record_messages(connection, messages, terms)
    strangers = record_attachments(connection, messages, terms, erased)
    return _record_events(connection, batch, terms, known, strangers)


def _of_contents(dialect: str) -> Select[Any]:
    """The oldest first."""
    columns = event.c.event_key, event.c.content_key
    return select(*columns).where(among(dialect, event.c.content_key)).order_by(event.c.id)


def _of_keys(dialect: str) -> Select[Any]:
    return select(event.c.event_key).where(among(dialect, event.c.event_key))


def _record_events(
    connection: Connection, batch: Sequence[Item], terms: Terms, known: _Known, strangers: dict[str, list[str]]
) -> list[Recorded]:
    """One row an announcement; ``deliveries`` counts how often each key came."""
    keys = known.row_keys([parsed for _, parsed in batch])
    rows: dict[str, list[Any]] = {}
    recorded: list[Recorded] = []
    for (raw, parsed), key in zip(batch, keys, strict=True):
        if key in rows:
            rows[key][_DELIVERIES] += terms.deliveries
            recorded.append(Recorded.DUPLICATE)
        else:
            rows[key] = _event_row(raw, parsed, key, terms, strangers)
            recorded.append(Recorded.DUPLICATE if key in known.keys else read_as(parsed))
    write(connection, _counting, _EVENT, list(rows.values()))
    return recorded


def _counting(dialect: str) -> Insert:
    """An event that is there already was delivered again."""
    statement = insert(dialect, event)
    counted = {"deliveries": event.c.deliveries + statement.excluded.deliveries}
    return statement.on_conflict_do_update(index_elements=["event_key"], set_=counted)


def read_as(parsed: Envelope | Rejected) -> Recorded:
    """What becomes of one that was not there before."""
    if isinstance(parsed, Rejected):
        return Recorded.REJECTED
    return Recorded.NEW if parsed.message else Recorded.IGNORED


def _event_row(
    raw: RawEvent, parsed: Envelope | Rejected, key: str, terms: Terms, strangers: dict[str, list[str]]
) -> list[Any]:
    payload = payload_text(raw.body, max_chars=terms.max_payload)
    if isinstance(parsed, Rejected):
        reason = f"{parsed.reason} (at {parsed.position})"
        return [
            key,
            None,
            raw.source,
            None,
            None,
            "rejected",
            reason,
            None,
            None,
            raw.received_at,
            terms.deliveries,
            payload,
        ]
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
        terms.deliveries,
        payload,
    ]


def _remarks(parsed: Envelope, strangers: dict[str, list[str]]) -> str | None:
    if not strangers or parsed.message is None:
        return parsed.reason
    remarks = [parsed.reason] if parsed.reason else []
    return BETWEEN.join([*remarks, *strangers.get(parsed.message.message_id, [])]) or None
