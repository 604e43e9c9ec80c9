"""What one process does for all of them: a lease on a name, kept in the ledger, so that it holds between machines too.

A duty is taken for so many seconds. It ends when it is given back, or by itself when they are over: then the next who
asks gets it, whether the one before died or merely dawdles. So what is done under a duty must bear being done twice.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final

from sqlalchemy import bindparam, or_, update
from sqlalchemy.sql.dml import ReturningInsert

from mo_sync.clock import Clock
from mo_sync.ledger.dialect import insert, random_token
from mo_sync.ledger.ledger import Ledger
from mo_sync.ledger.schema import UtcTime, duty

__all__ = ["Duties", "give_back", "take"]

_MOST_SKEW_S: Final = 300.0
"""How far, in seconds, the clocks of two machines that share a ledger may be apart. ``doctor`` warns above it."""


def take(ledger: Ledger, name: str, *, worker: str, now: datetime, lease_s: float) -> str | None:
    """The lease of the duty ``name`` until ``lease_s`` seconds from ``now``; None while somebody else has it.

    One statement, so that of any number who ask at once one gets it. A lease that ends later than any taken now could
    was taken by a clock that has since been put back: it does not count. Raises LedgerOutOfReach.
    """
    until = now + timedelta(seconds=lease_s)
    sane = until + timedelta(seconds=_MOST_SKEW_S)
    terms = {"b_name": name, "b_worker": worker, "b_now": now, "b_until": until, "b_sane": sane}
    with ledger.begin() as connection:
        return connection.execute(_taking(ledger.dialect), terms).scalar_one_or_none()


def give_back(ledger: Ledger, name: str, lease: str, *, now: datetime) -> bool:
    """End the lease at ``now``; whether it was still the caller's. Its row stays, and says who had it last.

    Raises LedgerOutOfReach; the lease then ends by itself.
    """
    ending = update(duty).where(duty.c.name == name, duty.c.lease == lease, duty.c.until > now).values(until=now)
    with ledger.begin() as connection:
        return connection.execute(ending).rowcount == 1


@cache
def _taking(dialect: str) -> ReturningInsert[Any]:
    new = insert(dialect, duty).values(
        name=bindparam("b_name"),
        lease=random_token(dialect),
        worker=bindparam("b_worker"),
        until=bindparam("b_until"),
    )
    free = or_(duty.c.until <= bindparam("b_now", type_=UtcTime), duty.c.until > bindparam("b_sane", type_=UtcTime))
    taken = {name: new.excluded[name] for name in ("lease", "worker", "until")}
    return new.on_conflict_do_update(index_elements=[duty.c.name], set_=taken, where=free).returning(duty.c.lease)


class Duties:
    """The duties of one worker, with its clock: what a room that knows no ledger is handed."""

    def __init__(self, ledger: Ledger, worker: str, clock: Clock) -> None:
        self._ledger = ledger
        self._worker = worker
        self._clock = clock

    def take(self, name: str, lease_s: float) -> str | None:
        """As :func:`take`, from now on."""
        return take(self._ledger, name, worker=self._worker, now=self._clock.now(), lease_s=lease_s)

    def give_back(self, name: str, lease: str) -> bool:
        """As :func:`give_back`, now."""
        return give_back(self._ledger, name, lease, now=self._clock.now())
