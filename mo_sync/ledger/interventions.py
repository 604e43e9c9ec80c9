"""What a person may do to attachments: retry, hold, release, cancel.

Each change is one conditional statement, so it never fights with a worker; many are made in small transactions, so that
workers go on between them. What is being fetched is left alone: its worker ends soon.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, and_, func, not_, or_, select, update

from mo_sync.ledger.filters import Filters, matching
from mo_sync.ledger.ledger import Ledger
from mo_sync.ledger.schema import application, attachment
from mo_sync.lifecycle import Standing, State

__all__ = ["FROM", "Choice", "Deed", "intervene", "would"]

_AT_ONCE: Final = 2_000


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


@dataclass(frozen=True, slots=True)
class Choice:
    """Which attachments: any of ``ids`` or of ``message_ids`` (both empty: all), of those the ones that match."""

    ids: Collection[str] = ()
    message_ids: Collection[str] = ()
    filters: Filters = field(default_factory=Filters)


def intervene(
    ledger: Ledger,
    deed: Deed,
    choice: Choice,
    *,
    now: datetime,
    give_up_after_s: float,
    note: str | None = None,
    told: Callable[[int], object] = lambda _: None,
) -> int:
    """Do it; how many were changed. ``note`` says by whom and why, for what is held or cancelled.

    Retried and released ones are due now, with all their attempts before them and a new deadline; what was tried before
    stays in the history. Their application, if it rests, is tried at once too, or nothing of this would happen.
    ``told`` is called with the count after each transaction; what it raises ends the work, and what was done stays.
    """
    done = 0
    values = _values(deed, now=now, deadline_at=now + timedelta(seconds=give_up_after_s), note=note)
    fresh = not_(and_(attachment.c.state == _TO[deed].value, attachment.c.updated_at == now))
    some = select(attachment.c.id).where(*_chosen(deed, choice), fresh).limit(_AT_ONCE)
    while True:
        with ledger.begin() as connection:
            ids = list(connection.execute(some).scalars())
            if ids and _TO[deed] is State.PENDING:
                _awake(connection, ids, now)
            still = attachment.c.state.in_([state.value for state in FROM[deed]])
            statement = update(attachment).where(attachment.c.id.in_(ids), still).values(values)
            done += connection.execute(statement).rowcount if ids else 0
        told(done)
        if len(ids) < _AT_ONCE:
            return done


def would(ledger: Ledger, deed: Deed, choice: Choice) -> dict[State, int]:
    """How many :func:`intervene` would change, by the state that they are in."""
    query = select(attachment.c.state, func.count()).where(*_chosen(deed, choice)).group_by(attachment.c.state)
    with ledger.read() as connection:
        return {State(state): int(count) for state, count in connection.execute(query)}


def _chosen(deed: Deed, choice: Choice) -> list[ColumnElement[bool]]:
    conditions = [attachment.c.state.in_([state.value for state in FROM[deed]]), *matching(choice.filters)]
    if choice.ids or choice.message_ids:
        conditions.append(or_(attachment.c.id.in_(choice.ids), attachment.c.message_id.in_(choice.message_ids)))
    return conditions


def _values(deed: Deed, *, now: datetime, deadline_at: datetime, note: str | None) -> dict[str, Any]:
    state = _TO[deed]
    values: dict[str, Any] = {"state": state.value, "updated_at": now}
    if state is State.PENDING:
        values |= {"due_at": now, "deadline_at": deadline_at, "attempts": 0, "absences": 0}
    else:
        values |= {"due_at": None, "error": note}
    if deed is Deed.RELEASE:
        values |= {"error": None}
    return values


def _awake(connection: Connection, ids: Collection[str], now: datetime) -> None:
    theirs = select(attachment.c.application_id).where(attachment.c.id.in_(ids))
    connection.execute(
        update(application)
        .where(application.c.state != Standing.ACTIVE.value, application.c.id.in_(theirs))
        .values(until=now, updated_at=now)
    )
