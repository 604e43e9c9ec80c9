"""What came of claims, written down: attachments, attempts and applications, many in one transaction.

An attachment changes only if its lease is still the one that was lent; if not, nothing at all is written for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any, Final

import structlog
from sqlalchemy import Connection, Insert, Select, Update, bindparam, func, select, update
from sqlalchemy.exc import SQLAlchemyError

from mo_sync.ledger import applications, marks
from mo_sync.ledger.ledger import Ledger
from mo_sync.ledger.schema import attachment, attempt, is_in
from mo_sync.lifecycle import Failed, Interrupted, Refused, Settlement, State, Stored, Transition
from mo_sync.verdicts import Step, Verdict

__all__ = ["NO_LEASE", "settle", "write_attempts"]

_log = structlog.get_logger(__name__)

_UNWRITABLE: Final = (SQLAlchemyError, ValueError, TypeError, OverflowError)

NO_LEASE: Final = {"lease": None, "lease_until": None}
"""The columns of an attachment that is lent to nobody."""


def settle(ledger: Ledger, settlements: Sequence[Settlement], *, worker: str, marking: bool = False) -> list[bool]:
    """Write down what came of many claims, in one transaction; for each, whether it was still ours.

    ``marking``: with it, messages of which all is stored now are noted to be marked (:mod:`mo_sync.ledger.marks`).

    If that cannot be written as a whole, each is written by itself: one that cannot be ends as ``failed`` with that
    reason, and costs none of its neighbours. Raises LedgerOutOfReach, and then nothing was written.
    """
    try:
        return _settle_together(ledger, settlements, worker, marking=marking)
    except _UNWRITABLE as error:
        _log.warning("settle.singly", claims=len(settlements), error=type(error).__name__)
    return [_settle_alone(ledger, settlement, worker, marking=marking) for settlement in settlements]


def _settle_alone(ledger: Ledger, settlement: Settlement, worker: str, *, marking: bool) -> bool:
    try:
        [mine] = _settle_together(ledger, [settlement], worker, marking=marking)
    except _UNWRITABLE as error:
        kind = type(getattr(error, "orig", None) or error).__name__
        _log.error("settle.unwritable", attachment=settlement.claim.attachment_id, error=kind)
        reason = f"what came of it could not be recorded ({kind}); please report it with the log"
        outcome = Failed(Step.STORE, None, "unwritable", Verdict.PERMANENT, reason)
        transition = Transition(State.FAILED, settlement.claim.attempts + 1, None, reason, settlement.claim.absences)
        given_up = replace(settlement, outcome=outcome, transition=transition)
        [mine] = _settle_together(ledger, [given_up], worker, marking=False)
    return mine


def _settle_together(ledger: Ledger, settlements: Sequence[Settlement], worker: str, *, marking: bool) -> list[bool]:
    if not settlements:
        return []
    with ledger.begin() as connection:
        mine = _still_mine(connection, settlements)
        kept = [settlement for settlement in settlements if settlement.claim.lease in mine]
        for kind in (Stored, Failed, Refused, Interrupted):
            _settle(connection, [settlement for settlement in kept if isinstance(settlement.outcome, kind)])
        if kept:
            write_attempts(connection, [_attempt(settlement, worker) for settlement in kept])
            applications.tell(connection, kept)
        stored = [one for one in kept if one.transition.state is State.STORED]
        if marking and stored:
            marks.note(connection, [one.claim.attachment_id for one in stored], now=stored[0].finished_at)
    return [settlement.claim.lease in mine for settlement in settlements]


def _still_mine(connection: Connection, settlements: Sequence[Settlement]) -> set[str]:
    """The leases that hold, locked until the end of the transaction (SQLite's write lock is held already)."""
    asked = {
        "b_ids": [settlement.claim.attachment_id for settlement in settlements],
        "b_leases": [settlement.claim.lease for settlement in settlements],
    }
    return {str(lease) for lease in connection.execute(_locking(), asked).scalars()}


# Statements that are used all the time are built once: building one costs more than running it.


@cache
def _locking() -> Select[Any]:
    leased = select(attachment.c.lease).where(
        attachment.c.id.in_(bindparam("b_ids", expanding=True)),
        attachment.c.lease.in_(bindparam("b_leases", expanding=True)),
        is_in(State.FETCHING),
    )
    return leased.order_by(attachment.c.id).with_for_update()


def _settle(connection: Connection, settlements: Sequence[Settlement]) -> None:
    """Settlements of one kind of outcome, which fill the same columns, in one conditional statement for all."""
    if not settlements:
        return
    rows = [_settled(settlement) for settlement in settlements]
    changed = connection.execute(_writing(tuple(rows[0])), rows)
    if changed.rowcount not in (len(rows), -1):
        raise RuntimeError("a lease was lost in the transaction that had locked it")


@cache
def _writing(names: tuple[str, ...]) -> Update:
    values: dict[str, Any] = {name: bindparam(name) for name in names if not name.startswith("b_")}
    mine = (
        attachment.c.id == bindparam("b_id"),
        attachment.c.lease == bindparam("b_lease"),
        is_in(State.FETCHING),
    )
    return update(attachment).where(*mine).values(values | NO_LEASE)


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
    at_rest = {"stored_at": settlement.finished_at, "verified_at": settlement.finished_at}
    return row | at_rest if isinstance(outcome, Stored) else row


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
                "declared_type": outcome.declared_type,
            }
        case Failed():
            return {"error_step": outcome.step.value, "error_status": outcome.status, "error_code": outcome.code}
        case Refused():
            return {"error_step": "policy", "error_status": None, "error_code": outcome.code}
        case Interrupted():
            return {}


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


def write_attempts(connection: Connection, rows: list[dict[str, Any]]) -> None:
    """Write attempts, each with the next number of its attachment (``b_attachment_id``), in this transaction."""
    connection.execute(_noting(tuple(rows[0])), rows)


@cache
def _noting(names: tuple[str, ...]) -> Insert:
    earlier = (
        select(func.coalesce(func.max(attempt.c.number), 0) + 1)
        .where(attempt.c.attachment_id == bindparam("b_attachment_id"))
        .scalar_subquery()
    )
    given: dict[str, Any] = {name: bindparam(name) for name in names if not name.startswith("b_")}
    return attempt.insert().values(attachment_id=bindparam("b_attachment_id"), number=earlier, **given)
