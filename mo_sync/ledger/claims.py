"""Leases: who may act on an attachment, for how long, and what came of it.

Every change of state here is one conditional statement that names the state and the lease it expects. No row changed
means that the claim is no longer the caller's, and then nothing else is written for it either.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, bindparam, case, func, literal, or_, select, update
from sqlalchemy.sql import ColumnElement

from mo_sync.ledger.dialect import insert, skip_locked
from mo_sync.ledger.ledger import Ledger
from mo_sync.ledger.schema import application, attachment, attempt, message
from mo_sync.lifecycle import Claim, Failed, Interrupted, Refused, Settlement, State, Stored

__all__ = ["claim", "expire", "extend", "give_back", "next_due", "owned", "rescue", "settle"]

_NO_LEASE = {"lease": None, "lease_until": None}


def claim(ledger: Ledger, *, worker: str, count: int, now: datetime, lease_s: float) -> list[Claim]:
    """Lend up to ``count`` due attachments to ``worker`` until ``lease_s`` seconds from ``now``, the longest due first.

    Those of an application that rests are left alone. Two callers never get the same one: the lease is drawn for each
    row by chance, in the same statement that finds it still pending.
    """
    until = now + timedelta(seconds=lease_s)
    with ledger.begin() as connection:
        due = connection.execute(_due(connection, count=count, now=now)).scalars().all()
        if not due:
            return []
        leases = {attachment_id: secrets.token_hex(16) for attachment_id in due}
        chosen = case(leases, value=attachment.c.id)
        lent = connection.execute(
            update(attachment)
            .where(attachment.c.id.in_(due), attachment.c.state == State.PENDING.value)
            .values(
                state=State.FETCHING.value,
                lease=chosen,
                lease_until=until,
                claimed_at=now,
                worker=worker,
                due_at=None,
                updated_at=now,
            )
            .returning(attachment.c.id)
        ).scalars()
        rows = connection.execute(_claimed(list(lent))).all()
    return [_claim(row) for row in rows]


def _due(connection: Connection, *, count: int, now: datetime) -> Select[Any]:
    rests = select(application.c.id).where(application.c.until > now)
    query = (
        select(attachment.c.id)
        .where(
            attachment.c.state == State.PENDING.value,
            attachment.c.due_at <= now,
            attachment.c.application_id.not_in(rests),
        )
        .order_by(attachment.c.due_at)
        .limit(count)
    )
    return query.with_for_update(skip_locked=True, of=attachment) if skip_locked(connection) else query


def _claimed(ids: list[str]) -> Select[Any]:
    return (
        select(attachment, message.c.av_status, message.c.filed_at)
        .join(message, message.c.id == attachment.c.message_id)
        .where(attachment.c.id.in_(ids))
        .order_by(attachment.c.created_at, attachment.c.message_id, attachment.c.position)
    )


def _claim(row: Row[Any]) -> Claim:
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
    )


def settle(ledger: Ledger, settlements: Sequence[Settlement], *, worker: str) -> list[bool]:
    """Write down what came of many claims, in one transaction; for each, whether it was still ours."""
    if not settlements:
        return []
    with ledger.begin() as connection:
        mine = _still_mine(connection, settlements)
        kept = [settlement for settlement in settlements if settlement.claim.lease in mine]
        for kind in (Stored, Failed, Refused, Interrupted):
            _settle(connection, [settlement for settlement in kept if isinstance(settlement.outcome, kind)])
        if kept:
            _write_attempts(connection, [_attempt(settlement, worker) for settlement in kept])
            _tell_applications(connection, kept)
    return [settlement.claim.lease in mine for settlement in settlements]


def _still_mine(connection: Connection, settlements: Sequence[Settlement]) -> set[str]:
    """The leases that hold, locked until the end of the transaction (SQLite's write lock is held already)."""
    query = select(attachment.c.lease).where(
        attachment.c.id.in_([settlement.claim.attachment_id for settlement in settlements]),
        attachment.c.lease.in_([settlement.claim.lease for settlement in settlements]),
        attachment.c.state == State.FETCHING.value,
    )
    return {str(lease) for lease in connection.execute(query.with_for_update()).scalars()}


def _settle(connection: Connection, settlements: Sequence[Settlement]) -> None:
    """Settlements of one kind of outcome, which fill the same columns, in one conditional statement for all."""
    if not settlements:
        return
    rows = [_settled(settlement) for settlement in settlements]
    values: dict[str, Any] = {name: bindparam(name) for name in rows[0] if not name.startswith("b_")}
    statement = update(attachment).where(
        attachment.c.id == bindparam("b_id"),
        attachment.c.lease == bindparam("b_lease"),
        attachment.c.state == State.FETCHING.value,
    )
    changed = connection.execute(statement.values(values | _NO_LEASE), rows)
    if changed.rowcount not in (len(rows), -1):
        raise RuntimeError("a lease was lost in the transaction that had locked it")


def _settled(settlement: Settlement) -> dict[str, Any]:
    outcome, transition = settlement.outcome, settlement.transition
    row: dict[str, Any] = {
        "b_id": settlement.claim.attachment_id,
        "b_lease": settlement.claim.lease,
        "state": transition.state.value,
        "due_at": transition.due_at,
        "attempts": transition.attempts,
        "absences": transition.absences,
        "error": transition.reason,
        "updated_at": settlement.finished_at,
        **_traces(outcome),
    }
    return row | {"stored_at": settlement.finished_at} if isinstance(outcome, Stored) else row


def _traces(outcome: Stored | Failed | Refused | Interrupted) -> dict[str, Any]:
    match outcome:
        case Stored():
            return {
                "error_step": None,
                "error_status": None,
                "error_code": None,
                "location": outcome.key,
                "size": outcome.size,
                "sha256": outcome.sha256,
                "content_type": outcome.content_type,
                "header_type": outcome.header_type,
                "filename": outcome.filename,
            }
        case Failed():
            return {"error_step": outcome.step.value, "error_status": outcome.status, "error_code": outcome.code}
        case Refused():
            return {"error_step": "policy", "error_status": None, "error_code": outcome.code}
        case Interrupted():
            return {}


def _mine(claim_: Claim) -> ColumnElement[bool]:
    return and_(
        attachment.c.id == claim_.attachment_id,
        attachment.c.lease == claim_.lease,
        attachment.c.state == State.FETCHING.value,
    )


def _attempt(settlement: Settlement, worker: str) -> dict[str, Any]:
    outcome = settlement.outcome
    row: dict[str, Any] = {
        "b_attachment_id": settlement.claim.attachment_id,
        "started_at": settlement.started_at,
        "finished_at": settlement.finished_at,
        "outcome": settlement.transition.state.value,
        "step": None,
        "status": None,
        "code": None,
        "bytes": None,
        "error": settlement.transition.reason,
        "worker": worker,
    }
    match outcome:
        case Stored():
            return row | {"bytes": outcome.size}
        case Failed():
            told = {"outcome": outcome.verdict.value, "step": outcome.step.value, "status": outcome.status}
            return row | told | {"code": outcome.code, "bytes": outcome.received_bytes, "error": outcome.reason}
        case Refused():
            return row | {"code": outcome.code, "bytes": outcome.received_bytes, "error": outcome.reason}
        case Interrupted():
            return row | {"outcome": "interrupted", "error": outcome.reason}


def _write_attempts(connection: Connection, rows: list[dict[str, Any]]) -> None:
    """Each with the next number of its attachment."""
    earlier = (
        select(func.coalesce(func.max(attempt.c.number), 0) + 1)
        .where(attempt.c.attachment_id == bindparam("b_attachment_id"))
        .scalar_subquery()
    )
    statement = attempt.insert().values(attachment_id=bindparam("b_attachment_id"), number=earlier)
    connection.execute(statement, rows)


def _tell_applications(connection: Connection, settlements: Iterable[Settlement]) -> None:
    """An application that is in trouble rests, never for shorter than it was told before; one that answers does not."""
    for settlement in settlements:
        transition = settlement.transition
        if transition.hold_application_until is not None:
            row = {
                "id": settlement.claim.application_id,
                "state": transition.hold_state or "held",
                "until": transition.hold_application_until,
                "reason": transition.reason,
                "updated_at": settlement.finished_at,
            }
            statement = insert(connection, application)
            longer = or_(application.c.until.is_(None), application.c.until < statement.excluded.until)
            changes = {name: row[name] for name in ("state", "until", "reason", "updated_at")}
            connection.execute(
                statement.values(row).on_conflict_do_update(index_elements=["id"], set_=changes, where=longer)
            )
    answered = {s.claim.application_id: s for s in settlements if isinstance(s.outcome, Stored)}
    for application_id, settlement in answered.items():
        # What was stored was asked for before; only a rest that was over by then is known to be mended.
        connection.execute(
            update(application)
            .where(
                application.c.id == application_id,
                application.c.state != "active",
                application.c.until <= settlement.started_at,
            )
            .values(state="active", until=None, reason=None, updated_at=settlement.finished_at)
        )


def owned(ledger: Ledger, claims: Sequence[Claim]) -> set[str]:
    """The leases among these that are still the caller's."""
    leases = [claim_.lease for claim_ in claims]
    with ledger.read() as connection:
        found = select(attachment.c.lease).where(
            attachment.c.id.in_([claim_.attachment_id for claim_ in claims]),
            attachment.c.lease.in_(leases),
            attachment.c.state == State.FETCHING.value,
        )
        return {str(lease) for lease in connection.execute(found).scalars()}


def extend(ledger: Ledger, claims: Sequence[Claim], *, until: datetime) -> set[str]:
    """Keep these claims until ``until``; the leases that were still the caller's."""
    if not claims:
        return set()
    statement = (
        update(attachment)
        .where(
            attachment.c.id.in_([claim_.attachment_id for claim_ in claims]),
            attachment.c.lease.in_([claim_.lease for claim_ in claims]),
            attachment.c.state == State.FETCHING.value,
        )
        .values(lease_until=until)
        .returning(attachment.c.lease)
    )
    with ledger.begin() as connection:
        return {str(lease) for lease in connection.execute(statement).scalars()}


def give_back(ledger: Ledger, claims: Sequence[Claim], *, now: datetime, reason: str) -> int:
    """Make these claims due again at once, without using up an attempt; how many were still the caller's."""
    given = 0
    with ledger.begin() as connection:
        for claim_ in claims:
            given += bool(_release(connection, _mine(claim_), now=now, outcome="interrupted", reason=reason))
    return given


def expire(ledger: Ledger, *, now: datetime) -> list[str]:
    """Make due again what leases ran out on; the ids. Uses up no attempt.

    One that was claimed after its own deadline and was lost even so has failed: it may be what kills its workers.
    """
    ran_out = and_(attachment.c.state == State.FETCHING.value, attachment.c.lease_until <= now)
    with ledger.read() as connection:
        if connection.execute(select(literal(1)).where(ran_out).limit(1)).first() is None:
            return []
    with ledger.begin() as connection:
        hopeless = and_(ran_out, attachment.c.claimed_at >= attachment.c.deadline_at)
        reason = "its worker died on it after its deadline"
        failed = _release(connection, hopeless, now=now, outcome="lost", reason=reason, state=State.FAILED)
        return failed + _release(connection, ran_out, now=now, outcome="lost", reason="the lease ran out")


def rescue(ledger: Ledger, workers: Iterable[str], *, now: datetime) -> list[str]:
    """Make due again at once what these dead workers had; the ids. Uses up no attempt."""
    names = list(workers)
    if not names:
        return []
    theirs = and_(attachment.c.state == State.FETCHING.value, attachment.c.worker.in_(names))
    with ledger.begin() as connection:
        return _release(connection, theirs, now=now, outcome="lost", reason="its worker died")


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
    values: dict[str, Any] = {"state": state.value, "due_at": now if pending else None, "updated_at": now, **_NO_LEASE}
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
        _write_attempts(connection, rows)
    return [row.id for row in changed]


def next_due(ledger: Ledger) -> datetime | None:
    """When the next pending attachment is due; None when none is pending."""
    query = select(func.min(attachment.c.due_at, type_=attachment.c.due_at.type)).where(
        attachment.c.state == State.PENDING.value
    )
    with ledger.read() as connection:
        due_at: datetime | None = connection.execute(query).scalar_one()
    return due_at
