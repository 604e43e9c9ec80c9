"""What the ledger says of files, to be compared with the store; and what is done when they are not as it says."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import func, select, update
from sqlalchemy.sql import ColumnElement

from mo_sync.ledger.ledger import Ledger
from mo_sync.ledger.schema import attachment
from mo_sync.lifecycle import State

__all__ = ["Filed", "filed", "known_locations", "send_back", "settled_count", "still", "unsettled"]

_AT_REST: Final = (State.STORED.value, State.QUARANTINED.value)
_ON_ITS_WAY: Final = (State.PENDING.value, State.FETCHING.value)
_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class Filed:
    """A file as the ledger has it: under which key, of how many bytes, with which SHA-256 (lower-case hex)."""

    id: str
    location: str
    size: int
    sha256: str


def settled_count(ledger: Ledger) -> int:
    """How many files there should be."""
    with ledger.read() as connection:
        return int(connection.execute(select(func.count()).where(attachment.c.state.in_(_AT_REST))).scalar_one())


def filed(ledger: Ledger, *, after: str, count: int) -> list[Filed]:
    """The next ``count`` files whose attachment ids come after ``after``, in that order."""
    columns = attachment.c.id, attachment.c.location, attachment.c.size, attachment.c.sha256
    query = select(*columns).where(attachment.c.state.in_(_AT_REST), attachment.c.id > after)
    with ledger.read() as connection:
        return [Filed(*row) for row in connection.execute(query.order_by(attachment.c.id).limit(count))]


def send_back(ledger: Ledger, item: Filed, *, now: datetime, give_up_after_s: float, reason: str) -> bool:
    """Have it fetched again, if the ledger still says of it what was looked at; whether it does.

    A quarantined one is fetched and judged again. What was tried before stays in the history.
    """
    values = {
        "state": State.PENDING.value,
        "due_at": now,
        "deadline_at": now + timedelta(seconds=give_up_after_s),
        "attempts": 0,
        "absences": 0,
        "error": reason,
        "location": None,
        "stored_at": None,
        "updated_at": now,
    }
    with ledger.begin() as connection:
        return connection.execute(update(attachment).where(*_same(item)).values(values)).rowcount == 1


def still(ledger: Ledger, item: Filed) -> bool:
    """Whether the ledger still says so: a file that was exchanged or erased meanwhile is no damage."""
    with ledger.read() as connection:
        return connection.execute(select(attachment.c.id).where(*_same(item))).first() is not None


def _same(item: Filed) -> tuple[ColumnElement[bool], ...]:
    return (
        attachment.c.id == item.id,
        attachment.c.state.in_(_AT_REST),
        attachment.c.location == item.location,
        attachment.c.sha256 == item.sha256,
    )


def known_locations(ledger: Ledger, keys: Sequence[str], *, ids: Collection[str] = ()) -> set[str]:
    """Which of ``keys`` the ledger knows. With ``ids`` only these attachments are looked at, which is much quicker."""
    known: set[str] = set()
    with ledger.read() as connection:
        for start in range(0, len(keys), _AT_ONCE):
            named = attachment.c.id.in_(ids) if ids else attachment.c.location.in_(keys[start : start + _AT_ONCE])
            known.update(connection.execute(select(attachment.c.location).where(named)).scalars())
            if ids:
                break
    return known & set(keys)


def unsettled(ledger: Ledger, ids: Collection[str]) -> set[str]:
    """Which of these attachments are still to be fetched: a file of theirs may be there before the ledger says so."""
    query = select(attachment.c.id).where(attachment.c.id.in_(ids), attachment.c.state.in_(_ON_ITS_WAY))
    with ledger.read() as connection:
        return set(connection.execute(query).scalars())
