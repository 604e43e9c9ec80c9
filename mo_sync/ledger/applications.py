"""Applications: the trouble that is their own, who may probe them, and how many fetches they bear.

Every change here is one conditional statement, so that many workers agree without talking to each other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, Select, Update, bindparam, func, or_, select, update

from mo_sync.ledger.bulk import write
from mo_sync.ledger.dialect import Insert, insert, locks_rows
from mo_sync.ledger.ledger import Ledger
from mo_sync.ledger.locking import changing
from mo_sync.ledger.schema import application, attachment, is_in
from mo_sync.lifecycle import Rest, Settlement, Standing, State

__all__ = [
    "Troubled",
    "Waiting",
    "adopt",
    "at_most_one",
    "beginning_with",
    "keep_known",
    "note_pace",
    "probe",
    "release",
    "tell",
    "troubled",
    "waiting",
]


@dataclass(frozen=True, slots=True)
class Waiting:
    """An application with attachments that are due. ``until`` says when one of them may probe it, if it rests."""

    id: str
    standing: Standing
    until: datetime | None
    failures: int


@dataclass(frozen=True, slots=True)
class Troubled:
    """An application that rests, why, and when it is tried next."""

    id: str
    standing: Standing
    until: datetime | None
    failures: int
    reason: str | None


def keep_known(connection: Connection, ids: Iterable[str], *, now: datetime) -> None:
    """Give those that are new their rows."""
    rows = [[name, Standing.ACTIVE.value, now] for name in sorted(ids)]
    write(connection, _keeping, ("id", "state", "updated_at"), rows)


def _keeping(dialect: str) -> Insert:
    return insert(dialect, application).on_conflict_do_nothing(index_elements=["id"])


def waiting(connection: Connection, *, now: datetime) -> list[Waiting]:
    """The applications that have something due and may be asked now, those that wait the longest first."""
    found = connection.execute(_waiting(), {"b_now": now})
    return [Waiting(row.id, Standing(row.state), row.until, row.failures) for row in found]


@cache
def _waiting() -> Select[Any]:
    due_at = attachment.c.due_at
    now = bindparam("b_now", type_=due_at.type)
    due = (
        select(func.min(due_at, type_=due_at.type))
        .where(
            is_in(State.PENDING),
            attachment.c.application_id == application.c.id,
            due_at <= bindparam("b_now", type_=due_at.type),
        )
        .scalar_subquery()
    )
    awake = or_(application.c.state == Standing.ACTIVE.value, application.c.until <= now)
    asked = select(
        application.c.id, application.c.state, application.c.until, application.c.failures, due.label("due")
    ).where(awake)
    found = asked.subquery()
    return select(found).where(found.c.due.is_not(None)).order_by(found.c.due)


def at_most_one(connection: Connection) -> bool:
    """Whether no two applications are known."""
    return len(connection.execute(_two()).all()) < 2


@cache
def _two() -> Select[Any]:
    return select(application.c.id).limit(2)


def probe(connection: Connection, application_id: str, *, now: datetime, until: datetime) -> bool:
    """Whether the caller alone may try one attachment of an application that rests; the next may at ``until``."""
    asked = {"b_id": application_id, "b_now": now, "b_until": until}
    return connection.execute(_probing(connection.dialect.name), asked).rowcount == 1


@cache
def _probing(dialect: str) -> Update:
    resting = (
        application.c.id == bindparam("b_id"),
        application.c.state != Standing.ACTIVE.value,
        application.c.until <= bindparam("b_now"),
    )
    changed = update(application).values(until=bindparam("b_until"), updated_at=bindparam("b_now"))
    if not locks_rows(dialect):
        return changed.where(*resting)
    # Somebody else probes or settles it just now: who waits for that holds what was lent before.
    free = select(application.c.id).where(*resting).with_for_update(skip_locked=True)
    return changed.where(application.c.id.in_(select(free.cte("free").c.id)))


def tell(connection: Connection, settlements: Iterable[Settlement]) -> None:
    """Let an application rest that is in trouble, and wake one that is not any more.

    In the order of their ids, so that two workers that settle at the same time wait for each other in one direction.
    """
    by_application: dict[str, list[Settlement]] = {}
    for settlement in settlements:
        by_application.setdefault(settlement.claim.application_id, []).append(settlement)
    for application_id, told in sorted(by_application.items()):
        rests = [(settlement.transition.rest, settlement) for settlement in told if settlement.transition.rest]
        if rests:
            _rest(connection, application_id, *max(rests, key=_until))
        for standing in (Standing.HELD, Standing.THROTTLED):
            began = [settlement.started_at for settlement in told if standing in settlement.transition.mends]
            if began:
                _wake(connection, application_id, standing, max(began), told[0].finished_at)


def _until(rest: tuple[Rest, Settlement]) -> datetime:
    return rest[0].until


def _rest(connection: Connection, application_id: str, rest: Rest, settlement: Settlement) -> None:
    """Never for shorter than it was told before, unless nobody told it anything since this attempt began."""
    changes = {
        "state": rest.standing.value,
        "until": rest.until,
        "failures": rest.failures,
        "reason": settlement.transition.reason,
        "updated_at": settlement.finished_at,
    }
    statement = insert(connection.dialect.name, application)
    longer = or_(
        application.c.until.is_(None),
        application.c.until < statement.excluded.until,
        application.c.updated_at <= settlement.started_at,
    )
    connection.execute(
        statement.values(id=application_id, **changes).on_conflict_do_update(
            index_elements=["id"], set_=changes, where=longer
        )
    )


def _wake(connection: Connection, application_id: str, standing: Standing, began: datetime, now: datetime) -> None:
    """What went well may have been asked for before the trouble: only an attempt that began after it ends it."""
    connection.execute(
        update(application)
        .where(
            application.c.id == application_id,
            application.c.state == standing.value,
            application.c.updated_at <= began,
        )
        .values(state=Standing.ACTIVE.value, until=None, reason=None, failures=0, updated_at=now)
    )


def release(ledger: Ledger, *, now: datetime, ids: Collection[str] = ()) -> list[str]:
    """Let applications that rest be tried at once (all of them, or those of ``ids``); which did rest.

    One attachment of each is tried; the others follow when that shows that the trouble is over.
    """
    resting = [application.c.state != Standing.ACTIVE.value]
    if ids:
        resting.append(application.c.id.in_(list(ids)))
    awoken = changing(ledger.dialect, application, *resting).values(until=now, updated_at=now)
    statement = awoken.returning(application.c.id)
    with ledger.begin() as connection:
        return sorted(connection.execute(statement).scalars())


def troubled(ledger: Ledger) -> list[Troubled]:
    """The applications that rest."""
    query = (
        select(application.c.id, application.c.state, application.c.until, application.c.failures, application.c.reason)
        .where(application.c.state != Standing.ACTIVE.value)
        .order_by(application.c.id)
    )
    with ledger.read() as connection:
        return [
            Troubled(row.id, Standing(row.state), row.until, row.failures, row.reason)
            for row in connection.execute(query)
        ]


def beginning_with(ledger: Ledger, beginning: str) -> list[str]:
    """The ids of applications that begin so. Raises LedgerOutOfReach."""
    begins = application.c.id.startswith(beginning, autoescape=True)
    with ledger.read() as connection:
        return list(connection.execute(select(application.c.id).where(begins).order_by(application.c.id)).scalars())


def note_pace(ledger: Ledger, workers: Mapping[str, int | None]) -> None:
    """Write down how many fetches at once each of these applications bears, for people to see; None: no bound."""
    statement = update(application).where(application.c.id == bindparam("b_id")).values(workers=bindparam("b_workers"))
    paces = [{"b_id": name, "b_workers": count} for name, count in sorted(workers.items())]
    if paces:
        with ledger.begin() as connection:
            connection.execute(statement, paces)


def adopt(ledger: Ledger, *, now: datetime) -> int:
    """Give a row to each application that has none though something of it is pending; how many.

    An older program that still runs on this ledger records attachments without it.
    """
    strangers = (
        select(attachment.c.application_id)
        .where(is_in(State.PENDING), attachment.c.application_id.not_in(select(application.c.id)))
        .distinct()
    )
    with ledger.read() as connection:
        found = list(connection.execute(strangers).scalars())
    if found:
        with ledger.begin() as connection:
            keep_known(connection, found, now=now)
    return len(found)
