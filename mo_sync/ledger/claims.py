"""Leases: who may act on an attachment, for how long, and what came of it.

Every change of state here is one conditional statement that names the state and the lease it expects. No row changed
means that the claim is no longer the caller's, and then nothing else is written for it either.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from functools import cache
from math import ceil
from operator import attrgetter, itemgetter
from typing import Any

from sqlalchemy import Connection, Integer, Row, Select, and_, bindparam, literal, select, update
from sqlalchemy.sql import ColumnElement
from sqlalchemy.sql.dml import ReturningUpdate

from mo_sync.ledger import applications
from mo_sync.ledger.applications import Waiting
from mo_sync.ledger.bulk import chunks
from mo_sync.ledger.dialect import locks_rows, random_token
from mo_sync.ledger.ledger import Ledger
from mo_sync.ledger.locking import changing, lock
from mo_sync.ledger.schema import attachment, is_in, message
from mo_sync.ledger.settling import NO_LEASE, settle, write_attempts
from mo_sync.lifecycle import Claim, Standing, State

__all__ = ["Room", "claim", "expire", "extend", "give_back", "owned", "rescue", "settle"]


Room = Callable[[str, bool], int]
"""How many attachments of an application may be lent now; the second argument says whether it is the only one."""


def claim(
    ledger: Ledger, *, worker: str, count: int, now: datetime, lease_s: float, room: Room | None = None
) -> list[Claim]:
    """Lend up to ``count`` due attachments to ``worker`` until ``lease_s`` seconds from ``now``, the longest due first.

    Applications take turns, each within its ``room`` (None: no bounds), so that one with a long backlog slows no other.
    One that rests is left alone; when its rest is over, one attachment probes it. Two callers never get the same
    attachment: the lease is drawn for each row by chance, in the same statement that finds it still pending.
    """
    with ledger.read() as connection:
        asked = _turns(applications.waiting(connection, now=now), room, alone=applications.at_most_one(connection))
    if not asked:
        return []
    until = now + timedelta(seconds=lease_s)
    terms = {"b_now": now, "b_until": until, "b_worker": worker}
    lent: dict[str, int] = {}
    with ledger.begin() as connection:
        for turn, (waiting, most) in enumerate(asked):
            share = min(most, ceil((count - len(lent)) / (len(asked) - turn)))
            if waiting.standing is not Standing.ACTIVE:
                share = int(share > 0 and applications.probe(connection, waiting.id, now=now, until=until))
            if share:
                lending = _lending(connection.dialect.name, probing=waiting.standing is not Standing.ACTIVE)
                found = connection.execute(lending, terms | {"b_application": waiting.id, "b_count": share})
                lent |= dict.fromkeys(found.scalars(), waiting.failures)
        rows = connection.execute(_lent(), {"b_ids": list(lent)}).all() if lent else []
    return [_claim(row, lent[row.id]) for row in rows]


def _turns(found: Sequence[Waiting], room: Room | None, *, alone: bool) -> list[tuple[Waiting, int]]:
    """Those that have room, the least of it first: what they leave of their share goes to the others."""
    if room is None:
        return [(waiting, sys.maxsize) for waiting in found]
    rooms = [(waiting, room(waiting.id, alone)) for waiting in found]
    return sorted(((waiting, most) for waiting, most in rooms if most > 0), key=itemgetter(1))


# Statements that are used all the time are built once: building one costs more than running it.


@cache
def _lending(dialect: str, *, probing: bool) -> ReturningUpdate[Any]:
    # A probe is what failed the least, so that a bad attachment does not make a good application rest on.
    order = (attachment.c.attempts, attachment.c.due_at) if probing else (attachment.c.due_at,)
    due = (
        select(attachment.c.id)
        .where(
            is_in(State.PENDING),
            attachment.c.application_id == bindparam("b_application"),
            attachment.c.due_at <= bindparam("b_now"),
        )
        .order_by(*order)
        .limit(bindparam("b_count", type_=Integer))
    )
    if locks_rows(dialect):
        # As a CTE it runs once; as a subquery PostgreSQL may run it again, and lend more than was asked for.
        due = select(due.with_for_update(skip_locked=True, of=attachment).cte("due").c.id)
    return (
        update(attachment)
        .where(attachment.c.id.in_(due))
        .values(
            state=State.FETCHING.value,
            lease=random_token(dialect),
            lease_until=bindparam("b_until"),
            claimed_at=bindparam("b_now"),
            worker=bindparam("b_worker"),
            due_at=None,
            updated_at=bindparam("b_now"),
        )
        .returning(attachment.c.id)
    )


@cache
def _lent() -> Select[Any]:
    wanted = ("id", "message_id", "application_id", "position", "lease", "lease_until", "attempts", "deadline_at")
    return (
        select(
            *(attachment.c[name] for name in (*wanted, "declared_type", "absences")),
            message.c.av_status,
            message.c.filed_at,
        )
        .join(message, message.c.id == attachment.c.message_id)
        .where(attachment.c.id.in_(bindparam("b_ids", expanding=True)))
        .order_by(attachment.c.created_at, attachment.c.message_id, attachment.c.position)
    )


def _claim(row: Row[Any], application_failures: int) -> Claim:
    return Claim(
        attachment_id=row.id,
        message_id=row.message_id,
        application_id=row.application_id,
        position=row.position,
        lease=row.lease,
        lease_until=row.lease_until,
        attempts=row.attempts,
        deadline_at=row.deadline_at,
        filed_at=row.filed_at,
        declared_type=row.declared_type,
        av_status=row.av_status,
        absences=row.absences,
        application_failures=application_failures,
    )


def owned(ledger: Ledger, claims: Sequence[Claim]) -> set[str]:
    """The leases among these that are still the caller's."""
    asked = {"b_ids": [claim_.attachment_id for claim_ in claims], "b_leases": [claim_.lease for claim_ in claims]}
    with ledger.read() as connection:
        return {str(lease) for lease in connection.execute(_owned(), asked).scalars()}


@cache
def _owned() -> Select[Any]:
    return select(attachment.c.lease).where(
        attachment.c.id.in_(bindparam("b_ids", expanding=True)),
        attachment.c.lease.in_(bindparam("b_leases", expanding=True)),
        is_in(State.FETCHING),
    )


def extend(ledger: Ledger, claims: Sequence[Claim], *, until: datetime) -> set[str]:
    """Keep these claims until ``until``; the leases that were still the caller's."""
    if not claims:
        return set()
    theirs = (
        attachment.c.id.in_([claim_.attachment_id for claim_ in claims]),
        attachment.c.lease.in_([claim_.lease for claim_ in claims]),
        is_in(State.FETCHING),
    )
    statement = changing(ledger.dialect, attachment, *theirs).values(lease_until=until).returning(attachment.c.lease)
    with ledger.begin() as connection:
        return {str(lease) for lease in connection.execute(statement).scalars()}


def give_back(ledger: Ledger, claims: Sequence[Claim], *, now: datetime, reason: str) -> int:
    """Make these claims due again at once, without using up an attempt; how many were still the caller's."""
    given = 0
    with ledger.begin() as connection:
        for claim_ in sorted(claims, key=attrgetter("attachment_id")):  # in the order of locking
            given += bool(_release(connection, _mine(claim_), now=now, outcome="interrupted", reason=reason))
    return given


def expire(ledger: Ledger, *, now: datetime) -> list[str]:
    """Make due again what leases ran out on; the ids. Uses up no attempt."""
    ran_out = and_(is_in(State.FETCHING), attachment.c.lease_until <= now)
    with ledger.read() as connection:
        if connection.execute(select(literal(1)).where(ran_out).limit(1)).first() is None:
            return []
    with ledger.begin() as connection:
        return _lost(connection, ran_out, now=now, reason="the lease ran out")


def rescue(ledger: Ledger, workers: Iterable[str], *, now: datetime) -> list[str]:
    """Make due again at once what these dead workers had; the ids. Uses up no attempt."""
    names = list(workers)
    if not names:
        return []
    theirs = and_(is_in(State.FETCHING), attachment.c.worker.in_(names))
    with ledger.begin() as connection:
        return _lost(connection, theirs, now=now, reason="its worker died")


def _lost(connection: Connection, which: ColumnElement[bool], *, now: datetime, reason: str) -> list[str]:
    """One that was claimed after its own deadline and was lost even so has failed: it may be what kills its workers."""
    end = "its worker died on it after its deadline"
    freed: list[str] = []
    for some in chunks(lock(connection, which)):
        theirs = and_(attachment.c.id.in_(some), is_in(State.FETCHING))
        hopeless = and_(theirs, attachment.c.claimed_at >= attachment.c.deadline_at)
        freed += _release(connection, hopeless, now=now, outcome="lost", reason=end, state=State.FAILED)
        freed += _release(connection, theirs, now=now, outcome="lost", reason=reason)
    return freed


def _mine(claim_: Claim) -> ColumnElement[bool]:
    return and_(
        attachment.c.id == claim_.attachment_id,
        attachment.c.lease == claim_.lease,
        is_in(State.FETCHING),
    )


def _release(
    connection: Connection,
    which: ColumnElement[bool],
    *,
    now: datetime,
    outcome: str,
    reason: str,
    state: State = State.PENDING,
) -> list[str]:
    pending = state is State.PENDING
    values: dict[str, Any] = {"state": state.value, "due_at": now if pending else None, "updated_at": now, **NO_LEASE}
    if not pending:
        values |= {"error": reason, "error_step": None, "error_status": None, "error_code": "worker-died"}
    changed = connection.execute(
        update(attachment)
        .where(which)
        .values(**values)
        .returning(attachment.c.id, attachment.c.worker, attachment.c.claimed_at)
    ).all()
    rows = [
        {
            "b_attachment_id": row.id,
            "started_at": row.claimed_at,
            "finished_at": now,
            "outcome": outcome,
            "error": reason,
            "worker": row.worker,
        }
        for row in changed
    ]
    if rows:
        write_attempts(connection, rows)
    return [row.id for row in changed]
