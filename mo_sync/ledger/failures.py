"""What went wrong lately, by kind."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select

from mo_sync.ledger.ledger import Ledger
from mo_sync.ledger.schema import attempt

__all__ = ["FailureRow", "failures"]

_NO_FAILURES = ("stored", "interrupted", "lost")


@dataclass(frozen=True, slots=True)
class FailureRow:
    """Attempts that ended alike: how many, when last, and what one of them said."""

    outcome: str
    step: str | None
    status: int | None
    code: str | None
    times: int
    last: datetime
    example: str | None


def failures(ledger: Ledger, *, since: datetime, limit: int) -> list[FailureRow]:
    """The kinds of failures since then, the most frequent first. Raises LedgerOutOfReach."""
    kind = (attempt.c.outcome, attempt.c.step, attempt.c.status, attempt.c.code)
    last = func.max(attempt.c.finished_at, type_=attempt.c.finished_at.type)
    query = (
        select(*kind, func.count(), last, func.max(attempt.c.error))
        .where(attempt.c.finished_at >= since, attempt.c.outcome.not_in(_NO_FAILURES))
        .group_by(*kind)
        .order_by(func.count().desc(), *kind)
        .limit(limit)
    )
    with ledger.read() as connection:
        return [FailureRow(*row) for row in connection.execute(query)]
