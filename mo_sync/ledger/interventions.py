"""What a person may do to attachments: retry, hold, release, cancel.

What is changed is locked first, so it never fights with a worker; many are changed in small transactions, so that
workers go on between them. What is being fetched is left alone: its worker ends soon.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, and_, case, func, literal, null, or_, select, update

from mo_sync.ledger.filters import Filters, matching
from mo_sync.ledger.ledger import Ledger
from mo_sync.ledger.locking import changing, lock
from mo_sync.ledger.schema import UtcTime, application, attachment, intervention
from mo_sync.lifecycle import Standing, State

__all__ = ["FROM", "By", "Choice", "Deed", "chosen", "intervene", "note", "would"]

_AT_ONCE: Final = 2_000
_LOOKED_UP: Final = 100_000


class Deed(StrEnum):
    """What is done."""

    RETRY = "retry"
    HOLD = "hold"
    RELEASE = "release"
    CANCEL = "cancel"


FROM: Final = {
    Deed.RETRY: (State.PENDING, State.MISSING, State.REFUSED, State.FAILED, State.CANCELLED),
    Deed.HOLD: (State.PENDING,),
    Deed.RELEASE: (State.HELD,),
    Deed.CANCEL: (State.PENDING, State.HELD, State.MISSING, State.REFUSED, State.FAILED),
}
"""The states that each takes an attachment out of; in all others it is left alone."""
_TO: Final = {
    Deed.RETRY: State.PENDING,
    Deed.HOLD: State.HELD,
    Deed.RELEASE: State.PENDING,
    Deed.CANCEL: State.CANCELLED,
}
_PAST: Final = {Deed.HOLD: "held", Deed.CANCEL: "cancelled"}


@dataclass(frozen=True, slots=True)
class By:
    """Who did it, as far as that is known, and why, if that was said."""

    who: str | None = None
    reason: str | None = None

    def __str__(self) -> str:
        return f"by {self.who or 'somebody'}" + (f": {self.reason}" if self.reason else "")


@dataclass(frozen=True, slots=True)
class Choice:
    """Which attachments: any of ``ids`` or of ``message_ids`` (both empty: all), of those the ones that match; of
    these, if there is a ``limit``, so many, those first that were announced first."""

    ids: Collection[str] = ()
    message_ids: Collection[str] = ()
    filters: Filters = field(default_factory=Filters)
    limit: int | None = None


def intervene(
    ledger: Ledger,
    deed: Deed,
    choice: Choice,
    *,
    now: datetime,
    give_up_after_s: float,
    by: By,
    told: Callable[[int], object] = lambda _: None,
) -> int:
    """Do it, and note for each by whom and why; how many were changed.

    Retried and released ones are due now, with all their attempts before them and a new deadline; what was tried before
    stays in the history. A failure that is retried is told until the next attempt; that it was held or cancelled is
    not. Their application, if it rests, is tried at once too, or nothing of this would happen. ``told`` is called with
    the count after each transaction; what it raises ends the work, and what was done stays.
    """
    done = 0
    values = _values(deed, now=now, deadline_at=now + timedelta(seconds=give_up_after_s), by=by)
    for ids in _pieces(ledger, deed, choice):
        with ledger.begin() as connection:
            # Locked before anything is written: what is noted is what is changed, whatever others commit meanwhile.
            still = lock(connection, attachment.c.id.in_(ids), *_still(deed, choice))
            these = attachment.c.id.in_(still)
            if _TO[deed] is State.PENDING:
                _awake(connection, still, now)
            note(connection, deed, these, by, now=now)
            done += connection.execute(update(attachment).where(these).values(values)).rowcount
        told(done)
    return done


def _pieces(ledger: Ledger, deed: Deed, choice: Choice) -> Iterator[list[str]]:
    """The ids of what is meant, the oldest first, as many at a time as a transaction may change.

    They are looked up outside of those, and very many at once: each look goes through all that is left.
    """
    place = attachment.c.created_at, attachment.c.id
    query = select(*place).where(*_chosen(deed, choice)).order_by(*place)
    left, beyond = choice.limit, query
    while left is None or left:
        count = _LOOKED_UP if left is None else min(_LOOKED_UP, left)
        with ledger.read() as connection:
            found = connection.execute(beyond.limit(count)).all()
        for start in range(0, len(found), _AT_ONCE):
            yield [row.id for row in found[start : start + _AT_ONCE]]
        if len(found) < count:
            return
        left = None if left is None else left - count
        later = and_(place[0] == found[-1].created_at, place[1] > found[-1].id)
        beyond = query.where(place[0] >= found[-1].created_at, or_(place[0] > found[-1].created_at, later))


def note(connection: Connection, deed: str, which: ColumnElement[bool], by: By, *, now: datetime) -> None:
    """Write into the history of the attachments that meet ``which`` what is about to be done to them."""
    told = {
        intervention.c.attachment_id: attachment.c.id,
        intervention.c.deed: literal(str(deed)),
        intervention.c.at: literal(now, UtcTime()),
        intervention.c.state: attachment.c.state,
        intervention.c.who: literal(by.who, intervention.c.who.type),
        intervention.c.reason: literal(by.reason, intervention.c.reason.type),
    }
    # In the order of locking, on a database that locks rows.
    found = select(*told.values()).where(which).order_by(attachment.c.id).with_for_update()
    connection.execute(intervention.insert().from_select(list(told), found))


def would(ledger: Ledger, deed: Deed, choice: Choice) -> dict[State, int]:
    """How many :func:`intervene` would change, by the state that they are in."""
    found = select(attachment.c.state).where(*_chosen(deed, choice))
    if choice.limit is not None:
        found = found.order_by(attachment.c.created_at, attachment.c.id).limit(choice.limit)
    some = found.subquery()
    query = select(some.c.state, func.count()).group_by(some.c.state)
    with ledger.read() as connection:
        return {State(state): int(count) for state, count in connection.execute(query)}


def _chosen(deed: Deed, choice: Choice) -> list[ColumnElement[bool]]:
    by_name = choice.ids or choice.message_ids or choice.filters.from_address is not None
    states = attachment.c.state.in_([state.value for state in FROM[deed]])
    return [*(_still(deed, choice) if by_name else [states]), *chosen(choice)]


def _still(deed: Deed, choice: Choice) -> list[ColumnElement[bool]]:
    """The conditions that one which was meant may meet no more a moment later, for those that are found by an id.

    The state is hidden from the index on states: SQLite would rather take that, and go through all others in it.
    """
    meant = choice.filters.states or FROM[deed]
    states = [state.value for state in FROM[deed] if state in meant]
    return [func.coalesce(attachment.c.state, "").in_(states), *matching(Filters(error=choice.filters.error))]


def chosen(choice: Choice) -> list[ColumnElement[bool]]:
    """The conditions on an attachment that is meant, all of which must hold."""
    conditions = matching(choice.filters)
    if choice.ids or choice.message_ids:
        conditions.append(or_(attachment.c.id.in_(choice.ids), attachment.c.message_id.in_(choice.message_ids)))
    return conditions


def _values(deed: Deed, *, now: datetime, deadline_at: datetime, by: By) -> dict[str, Any]:
    state = _TO[deed]
    values: dict[str, Any] = {"state": state.value, "updated_at": now}
    if state is State.PENDING:
        values |= {"due_at": now, "deadline_at": deadline_at, "attempts": 0, "absences": 0}
    else:
        values |= {"due_at": None, "error": f"{_PAST[deed]} {by}"}
    return values | (_traces() if state is State.PENDING else {})


def _traces() -> dict[str, Any]:
    """What was held or cancelled is not so any more, and no failure is known by a code without a sentence."""
    decided = attachment.c.state.in_([State.HELD.value, State.CANCELLED.value])
    traces = (attachment.c[name] for name in ("error", "error_step", "error_status", "error_code"))
    return {column.name: case((decided, null()), else_=column) for column in traces}


def _awake(connection: Connection, ids: Collection[str], now: datetime) -> None:
    theirs = select(attachment.c.application_id).where(attachment.c.id.in_(ids))
    resting = application.c.state != Standing.ACTIVE.value, application.c.id.in_(theirs)
    connection.execute(changing(connection.dialect.name, application, *resting).values(until=now, updated_at=now))
