"""What has been kept long enough: found, retired, and deleted, in small transactions.

An attachment goes in three steps, each of which may be the last one that a process does. It is *retired*: ``erased``,
with the word :data:`PRUNED` for a reason, and still with its ``location``, or where a file of it would be. That is
removed and the location cleared, as for everything that was erased. Then its rows are deleted. A retired one is fetched
and looked for by nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    bindparam,
    delete,
    exists,
    func,
    not_,
    or_,
    select,
    update,
)

from mo_sync.ledger.dialect import begins_with, insert, take_turns_recording
from mo_sync.ledger.ledger import Ledger
from mo_sync.ledger.locking import changing, lock
from mo_sync.ledger.schema import (
    attachment,
    attempt,
    cursor,
    event,
    gap,
    intervention,
    is_in,
    mark,
    message,
    notification,
)
from mo_sync.ledger.veil import ERASED
from mo_sync.ledger.whereabouts import place_of
from mo_sync.lifecycle import State

__all__ = [
    "PRUNED",
    "delete_events",
    "delete_messages",
    "delete_retired",
    "empty_payloads",
    "old_attachments",
    "old_events",
    "old_messages",
    "old_payloads",
    "retire",
]

PRUNED: Final = "pruned"
_PAYLOADS: Final = "retention.payloads"
_LAST: Final = 500


def old_attachments(ledger: Ledger, *, state: State, before: datetime) -> int:
    """How many came to this state before then, and are in it still."""
    return _count(ledger, select(func.count()).select_from(attachment).where(*_old(state, before)))


def retire(ledger: Ledger, *, state: State, before: datetime, now: datetime, count: int) -> int:
    """Retire at most ``count`` of them; how many."""
    columns = (attachment.c[name] for name in ("id", "location", "message_id", "position"))
    some = select(*columns, message.c.filed_at).join(message, message.c.id == attachment.c.message_id)
    some = some.where(*_old(state, before)).order_by(attachment.c.created_at).limit(count)
    values = {"state": State.ERASED.value, "error": PRUNED, "due_at": None, "verified_at": None, "updated_at": now}
    with ledger.begin() as connection:
        rows = connection.execute(some).all()
        still = attachment.c.id.in_([row.id for row in rows]), *_old(state, before)
        retiring = changing(ledger.dialect, attachment, *still).values(values)
        retired = connection.execute(retiring).rowcount if rows else 0
        _tell_where(connection, [row for row in rows if row.location is None and state is not State.ERASED])
    return retired


def _tell_where(connection: Connection, rows: Sequence[Row[*tuple[Any, ...]]]) -> None:
    """Also what has no file may have one somewhere, that nobody would find once the row is gone."""
    retired = is_in(State.ERASED), attachment.c.error == PRUNED, attachment.c.location.is_(None)
    told = update(attachment).where(attachment.c.id == bindparam("b_id"), *retired)
    places = [{"b_id": row.id, "b_location": place_of(row)} for row in rows]
    if places:
        connection.execute(told.values(location=bindparam("b_location")), places)


def delete_retired(ledger: Ledger, *, count: int) -> int:
    """Delete the rows of at most ``count`` retired attachments whose files are gone; how many.

    As long as a message is kept it has the mark of each of its own, lest another announcement brings them back.
    """
    gone = is_in(State.ERASED), attachment.c.error == PRUNED, attachment.c.location.is_(None)
    # The newest row of a table stays: SQLite would give its number to another one, and who follows would miss that.
    newest = select(attempt.c.attachment_id).where(attempt.c.id == select(func.max(attempt.c.id)).scalar_subquery())
    some = select(attachment.c.id, attachment.c.message_id).where(*gone, attachment.c.id.not_in(newest)).limit(count)
    with ledger.begin() as connection:
        take_turns_recording(connection)  # so that who records meanwhile finds either the rows or the marks
        rows = connection.execute(some).all()
        _mark(connection, [(row.id, row.message_id) for row in rows])
        ids = lock(connection, attachment.c.id.in_([row.id for row in rows]))
        for table in (attempt, intervention, notification):
            connection.execute(delete(table).where(table.c.attachment_id.in_(ids)))
        return connection.execute(delete(attachment).where(attachment.c.id.in_(ids))).rowcount if ids else 0


def _mark(connection: Connection, pruned: Iterable[tuple[str, str]]) -> None:
    by_message: dict[str, list[str]] = {}
    for attachment_id, message_id in pruned:
        if not attachment_id.startswith(ERASED):  # what stands for an id is announced by nobody
            by_message.setdefault(message_id, []).append(attachment_id)
    marks = [{"b_id": message_id, "b_marks": ",".join(ids)} for message_id, ids in sorted(by_message.items())]
    if marks:
        earlier = func.coalesce(message.c.pruned + ",", "")
        marked = update(message).where(message.c.id == bindparam("b_id"))
        connection.execute(marked.values(pruned=earlier + bindparam("b_marks")), marks)


def old_messages(ledger: Ledger, *, before: datetime, erased: bool) -> int:
    """How many messages without attachments were recorded before then. ``erased``: what stands for those that were
    erased before then."""
    return _count(ledger, select(func.count()).select_from(message).where(*_bare(ledger.dialect, before, erased)))


def delete_messages(ledger: Ledger, *, before: datetime, erased: bool, count: int) -> int:
    """Delete at most ``count`` of them, with their events; how many.

    They are looked for before others are kept from writing: the look passes every old message that has attachments.
    """
    newest = select(event.c.message_id).where(event.c.id == _newest_event(), event.c.message_id.is_not(None))
    chosen = *_bare(ledger.dialect, before, erased), message.c.id.not_in(newest)
    with ledger.read() as connection:
        some = select(message.c.id).where(*chosen).order_by(message.c.recorded_at).limit(count)
        found = list(connection.execute(some).scalars())
    if not found:
        return 0
    with ledger.begin() as connection:
        take_turns_recording(connection)  # or an announcement could give one of them attachments between two statements
        still = select(message.c.id).where(message.c.id.in_(found), *chosen)
        ids = list(connection.execute(still).scalars())
        for table in (event, mark):
            connection.execute(delete(table).where(table.c.message_id.in_(ids)))
        connection.execute(delete(gap).where(gap.c.subject.in_(ids)))
        return connection.execute(delete(message).where(message.c.id.in_(ids))).rowcount


def old_events(ledger: Ledger, *, before: datetime, erased: bool) -> int:
    """How many events that announced no message were received before then. ``erased`` as in :func:`old_messages`."""
    return _count(ledger, select(func.count()).select_from(event).where(*_idle(ledger.dialect, before, erased)))


def delete_events(ledger: Ledger, *, before: datetime, erased: bool, count: int) -> int:
    """Delete at most ``count`` of them; how many. They are looked for before others are kept from writing."""
    chosen = *_idle(ledger.dialect, before, erased), event.c.id != _newest_event()
    with ledger.read() as connection:
        some = select(event.c.id).where(*chosen).order_by(event.c.received_at).limit(count)
        ids = list(connection.execute(some).scalars())
    if not ids:
        return 0
    with ledger.begin() as connection:
        take_turns_recording(connection)  # or this and who records known ones again could wait for each other
        return connection.execute(delete(event).where(event.c.id.in_(ids), *chosen)).rowcount


def old_payloads(ledger: Ledger, *, before: datetime) -> int:
    """How many events that were understood and received before then still have their bytes."""
    with ledger.read() as connection:
        place, newest = _emptied_to(connection), _newest_before(connection, before)
        chosen = event.c.id > place, event.c.id <= newest, *_full(before)
        return int(connection.execute(select(func.count()).select_from(event).where(*chosen)).scalar_one())


def empty_payloads(ledger: Ledger, *, before: datetime, now: datetime, count: int) -> int:
    """Empty at most ``count`` of those; how many. A cursor keeps the place up to which nothing is left to do.

    Numbers are given in the order of recording, and times nearly so. One event that a clock recorded which ran ahead
    stops the cursor until its time comes, but not the emptying of those that were recorded after it.
    """
    with ledger.read() as connection:
        after, newest = _emptied_to(connection), _newest_before(connection, before)
        some = select(event.c.id).where(event.c.id > after, event.c.id <= newest, *_full(before))
        ids = list(connection.execute(some.order_by(event.c.id).limit(count)).scalars())
        place = _place(connection, after=after, upto=ids[-1] if len(ids) == count else newest, before=before)
    if not ids and place == after:
        return 0
    with ledger.begin() as connection:
        take_turns_recording(connection)  # or this and who records known ones again could wait for each other
        emptied = connection.execute(update(event).where(event.c.id.in_(ids), *_full(before)).values(payload=""))
        _empty_to(connection, place, now)
        return emptied.rowcount


def _newest_before(connection: Connection, before: datetime) -> int:
    """The highest number among those that were received last before then; nearly all below it are as old. Among so
    many, that a few whose clock ran ahead do not hide the others."""
    old = select(event.c.id).where(event.c.received_at < before).order_by(event.c.received_at.desc()).limit(_LAST)
    return int(connection.execute(select(func.max(old.subquery().c.id))).scalar_one() or 0)


def _place(connection: Connection, *, after: int, upto: int, before: datetime) -> int:
    """How far the cursor may go: not past an event that is to be emptied another time."""
    young = event.c.id > after, event.c.id <= upto, event.c.received_at >= before
    found = connection.execute(select(event.c.id).where(*young).order_by(event.c.id).limit(1)).scalar_one_or_none()
    return max(after, upto if found is None else int(found) - 1)


def _full(before: datetime) -> tuple[ColumnElement[bool], ...]:
    return event.c.received_at < before, event.c.payload != "", event.c.state == "accepted"


def _old(state: State, before: datetime) -> tuple[ColumnElement[bool], ...]:
    old = is_in(state), attachment.c.created_at < before, attachment.c.updated_at < before
    if state is not State.ERASED:
        return old
    return *old, attachment.c.location.is_(None), or_(attachment.c.error.is_(None), attachment.c.error != PRUNED)


def _bare(dialect: str, before: datetime, erased: bool) -> tuple[ColumnElement[bool], ...]:
    """However old a message was, what stands for it is kept from the day on which it was erased."""
    theirs = exists().where(attachment.c.message_id == message.c.id)
    bare = message.c.recorded_at < before, ~theirs, _stands_in(dialect, message.c.id, erased)
    return (*bare, message.c.filed_at < before) if erased else bare


def _idle(dialect: str, before: datetime, erased: bool) -> tuple[ColumnElement[bool], ...]:
    idle = event.c.message_id.is_(None), event.c.received_at < before, _stands_in(dialect, event.c.event_key, erased)
    # What comes again of an erased message stands for itself from then on, and has no time of its own.
    return (*idle, func.coalesce(event.c.occurred_at, event.c.received_at) < before) if erased else idle


def _stands_in(dialect: str, column: ColumnElement[str], erased: bool) -> ColumnElement[bool]:
    found = begins_with(dialect, column, ERASED)
    return found if erased else not_(found)


def _newest_event() -> Any:
    return select(func.max(event.c.id)).scalar_subquery()


def _emptied_to(connection: Connection) -> int:
    found = connection.execute(select(cursor.c.value).where(cursor.c.name == _PAYLOADS)).scalar_one_or_none()
    return int(found or 0)


def _empty_to(connection: Connection, place: int, now: datetime) -> None:
    values = {"name": _PAYLOADS, "value": str(place), "updated_at": now}
    moved = insert(connection.dialect.name, cursor).values(values)
    connection.execute(moved.on_conflict_do_update(index_elements=["name"], set_=values))


def _count(ledger: Ledger, query: Select[Any]) -> int:
    with ledger.read() as connection:
        return int(connection.execute(query).scalar_one())
