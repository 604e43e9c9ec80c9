"""Events that are in the ledger already, read again: for a newer program that understands more."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy import ColumnElement, Connection, delete, false, func, select, update
from sqlalchemy.exc import SQLAlchemyError

from mo_sync.events import Envelope, RawEvent, Rejected, payload_bytes
from mo_sync.ledger.dialect import take_turns_recording
from mo_sync.ledger.filters import event_in
from mo_sync.ledger.ledger import Ledger
from mo_sync.ledger.record import Item, Recorded, read_as, record_again
from mo_sync.ledger.schema import attachment, event

__all__ = ["Kept", "Which", "newest", "replay", "replayable", "replayable_count"]

_log = structlog.get_logger(__name__)

_SET_ASIDE = "replayed:"
_NUMBER_ONLY = "it was read again, and says the same as another event; only its number is kept"
_STATES = ("rejected", "ignored", "accepted")
"""From what is not understood to what is."""
_BY_STATE = (Recorded.REJECTED, Recorded.IGNORED, Recorded.NEW)


@dataclass(frozen=True, slots=True)
class Which:
    """Which events: those of ``keys`` and in one of ``states``, of which either may be left out, but not both; of them
    those that were received in that time."""

    keys: Collection[str] = ()
    states: Collection[str] = ()
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """An event as it was kept. ``raw`` is None when its bytes are not there any more, or not all of them."""

    id: int
    event_key: str
    state: str
    raw: RawEvent | None


def replayable_count(ledger: Ledger, which: Which) -> int:
    """How many events that is."""
    with ledger.read() as connection:
        return int(connection.execute(select(func.count()).select_from(event).where(*_chosen(which))).scalar_one())


def replayable(ledger: Ledger, which: Which, *, after: int, upto: int, count: int) -> list[Kept]:
    """The next ``count`` of them, in the order of their row numbers: those above ``after``, up to ``upto``."""
    names = ("id", "event_key", "state", "source", "payload", "received_at")
    query = select(*(event.c[name] for name in names))
    found = query.where(*_chosen(which), event.c.id > after, event.c.id <= upto).order_by(event.c.id).limit(count)
    with ledger.read() as connection:
        rows = connection.execute(found).all()
    return [Kept(row.id, row.event_key, row.state, _raw(row.source, row.payload, row.received_at)) for row in rows]


def newest(ledger: Ledger) -> int:
    """The highest row number of an event; 0 when there is none."""
    with ledger.read() as connection:
        return _newest(connection)


def replay(
    ledger: Ledger,
    kept: Kept,
    parsed: Sequence[tuple[RawEvent, Envelope | Rejected]],
    *,
    now: datetime,
    give_up_after_s: float,
) -> list[Recorded]:
    """Record what ``kept`` is found to say now in its place, in one transaction; what became of each.

    What is not understood, or less than before, or cannot be recorded, stays as it is. What was accepted before is a
    duplicate, unless it brings attachments that were not found in it then; those that were pruned it does not bring.
    What says no more than before keeps its row number, which those who follow have passed; what is understood only now
    gets one that they have not. May be repeated at will. Raises LedgerOutOfReach.
    """
    items: list[Item] = list(parsed)
    if not _is_no_worse(kept, items):
        return [read_as(said) for _, said in items]
    try:
        return _replaced(ledger, kept, items, now=now, give_up_after_s=give_up_after_s)
    except (SQLAlchemyError, ValueError, TypeError, OverflowError) as error:
        _log.error("replay.unrecordable", event=kept.event_key, error=type(error).__name__)
        return [Recorded.REJECTED for _ in items]


def _is_no_worse(kept: Kept, items: Sequence[Item]) -> bool:
    """Whether it is understood now, and not less than it was."""
    best = max((_BY_STATE.index(read_as(said)) for _, said in items), default=0)
    return best > 0 and best >= _STATES.index(kept.state)


def _replaced(
    ledger: Ledger, kept: Kept, items: Sequence[Item], *, now: datetime, give_up_after_s: float
) -> list[Recorded]:
    here = event.c.id == kept.id
    as_kept = here, event.c.event_key == kept.event_key, event.c.payload != ""
    with ledger.begin() as connection:
        take_turns_recording(connection)  # before a row is locked, or this and a feed could wait for each other
        # Out of the way, so that it is no delivery of itself; where it says the same as another, that one has it.
        aside = update(event).where(*as_kept).values(event_key=f"{_SET_ASIDE}{kept.id}", content_key=None)
        deliveries = connection.execute(aside.returning(event.c.deliveries)).scalar_one_or_none()
        if deliveries is None:  # it was read again, pruned or erased meanwhile
            return [Recorded.DUPLICATE for _ in items]
        had = _files(connection, items)
        recorded = record_again(connection, items, now=now, give_up_after_s=give_up_after_s, deliveries=deliveries)
        gained = _files(connection, items) > had
        _clear(connection, kept)
    before = Recorded.NEW if kept.state == "accepted" and not gained else None
    return [Recorded.DUPLICATE if outcome is before else outcome for outcome in recorded]


def _files(connection: Connection, items: Sequence[Item]) -> int:
    """How many attachments the messages have that these are about."""
    named = {said.message.message_id for _, said in items if isinstance(said, Envelope) and said.message is not None}
    query = select(func.count()).select_from(attachment).where(attachment.c.message_id.in_(named))
    return int(connection.execute(query).scalar_one())


def _clear(connection: Connection, kept: Kept) -> None:
    """Remove the row that was set aside. What took its place without being understood any better takes its number too.

    The newest row stays for its number's sake, which SQLite would give to the next event, and who follows miss that.
    """
    here = event.c.id == kept.id
    if _newest(connection) == kept.id:
        bare = {"state": "ignored", "reason": _NUMBER_ONLY, "message_id": None, "payload": "", "deliveries": 0}
        connection.execute(update(event).where(here).values(bare))
        return
    connection.execute(delete(event).where(here))
    same = event.c.event_key == kept.event_key, event.c.state == kept.state
    connection.execute(update(event).where(*same).values(id=kept.id))


def _newest(connection: Connection) -> int:
    return int(connection.execute(select(func.coalesce(func.max(event.c.id), 0))).scalar_one())


def _chosen(which: Which) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = [] if which.keys or which.states else [false()]
    if which.keys:
        found.append(event.c.event_key.in_(which.keys))
    if which.states:
        found.append(event_in(which.states))
    if which.since is not None:
        found.append(event.c.received_at >= which.since)
    if which.until is not None:
        found.append(event.c.received_at < which.until)
    return found


def _raw(source: str, payload: str, received_at: datetime) -> RawEvent | None:
    body = payload_bytes(payload)
    return RawEvent(source, body, received_at) if body else None
