"""What the ledger says of files, to be compared with the store; and what is done when they are not as it says."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any, Final

from sqlalchemy import Row, and_, case, func, literal, or_, select, text, update
from sqlalchemy.sql import ColumnElement

from mo_sync.ledger import marks
from mo_sync.ledger.interventions import By, Choice, Deed, chosen, note
from mo_sync.ledger.ledger import Ledger
from mo_sync.ledger.locking import changing
from mo_sync.ledger.schema import AT_REST, UtcTime, attachment
from mo_sync.ledger.totals import by_state
from mo_sync.lifecycle import State

__all__ = [
    "Filed",
    "filed",
    "found_whole",
    "known_locations",
    "let_out",
    "put_undated_first",
    "quarantined",
    "send_back",
    "settled_count",
    "still",
    "unsettled",
]

_AT_REST: Final = (State.STORED.value, State.QUARANTINED.value)
_ON_ITS_WAY: Final = (State.PENDING.value, State.FETCHING.value)
_AT_ONCE: Final = 500
_DEED: Final = "verify"
_CLOCKS_APART: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Filed:
    """A file as the ledger has it: under which key, of how many bytes, with which SHA-256 (lower-case hex).

    A row that somebody wrote by hand, without one of them, has an empty text there, or -1. ``verified_at`` is when it
    was last found to be whole.
    """

    id: str
    location: str
    size: int
    sha256: str
    verified_at: datetime


def settled_count(ledger: Ledger) -> int:
    """How many files there should be."""
    with ledger.read() as connection:
        found = by_state(connection)
    return sum(count for state, count in found.items() if state in _AT_REST)


def put_undated_first(ledger: Ledger, *, now: datetime) -> bool:
    """Give a time to those that have none, as rows have that somebody wrote by hand, or one that is not yet, because a
    clock was ahead; whether there were any.

    It is the time of their announcement, so they are looked at first. Raises LedgerOutOfReach.
    """
    ahead = attachment.c.verified_at > now + _CLOCKS_APART
    unknown = text(AT_REST), or_(attachment.c.verified_at.is_(None), ahead)
    with ledger.read() as connection:
        if connection.execute(select(attachment.c.id).where(*unknown).limit(1)).first() is None:
            return False
    with ledger.begin() as connection:
        created = attachment.c.created_at  # perhaps by the same clock
        since = case((created < now, created), else_=literal(now - _CLOCKS_APART, UtcTime()))
        connection.execute(changing(ledger.dialect, attachment, *unknown).values(verified_at=since))
    return True


def filed(ledger: Ledger, *, before: datetime, after: Filed | None, count: int) -> list[Filed]:
    """The next ``count`` files that were not verified since ``before``: those that come after ``after``, the longest
    unverified first."""
    columns = (attachment.c[name] for name in ("id", "location", "size", "sha256", "verified_at"))
    place = attachment.c.verified_at, attachment.c.id
    query = select(*columns).where(text(AT_REST), attachment.c.verified_at < before)
    # SQLite would rather sort all that are stored.
    query = query.with_hint(attachment, "indexed by ix_attachment_at_rest", "sqlite")
    if after is not None:
        later = and_(place[0] == after.verified_at, place[1] > after.id)
        query = query.where(place[0] >= after.verified_at, or_(place[0] > after.verified_at, later))
    with ledger.read() as connection:
        return [_filed(row) for row in connection.execute(query.order_by(*place).limit(count))]


def _filed(row: Row[Any]) -> Filed:
    size = -1 if row.size is None else row.size
    return Filed(row.id, row.location or "", size, row.sha256 or "", row.verified_at)


def found_whole(ledger: Ledger, items: Sequence[Filed], *, now: datetime) -> None:
    """Note that these were just found to be as the ledger says; what changed meanwhile keeps its own time."""
    in_turn = sorted(items, key=attrgetter("id"))  # in the order of locking
    with ledger.begin() as connection:
        for start in range(0, len(items), _AT_ONCE):
            some = {item.id: item for item in in_turn[start : start + _AT_ONCE]}
            same = attachment.c.id.in_(some), attachment.c.sha256.in_({item.sha256 for item in some.values()})
            connection.execute(changing(ledger.dialect, attachment, text(AT_REST), *same).values(verified_at=now))


def send_back(
    ledger: Ledger, item: Filed, *, now: datetime, give_up_after_s: float, reason: str, who: str, moved: bool = False
) -> bool:
    """Have it fetched again, if nobody verified, fetched or moved it since it was looked at; whether that is so.

    ``moved``: its file was moved away, by who keeps others from putting one there: then it does not matter that it was
    verified meanwhile. A quarantined one is fetched and judged again. What was tried before stays in the history.
    """
    values = {
        "state": State.PENDING.value,
        "due_at": now,
        "deadline_at": now + timedelta(seconds=give_up_after_s),
        "attempts": 0,
        "absences": 0,
        "error": reason,
        "location": None,
        "size": None,
        "sha256": None,
        "stored_at": None,
        "verified_at": None,
        "updated_at": now,
    }
    with ledger.begin() as connection:
        same = and_(*(_same(item) if moved else _untouched(item)))
        note(connection, _DEED, same, By(who, reason), now=now)
        return connection.execute(update(attachment).where(same).values(values)).rowcount == 1


def quarantined(ledger: Ledger, choice: Choice) -> list[Filed]:
    """What is quarantined, of those that are meant, the oldest first; no more than the choice's limit."""
    columns = (attachment.c[name] for name in ("id", "location", "size", "sha256", "verified_at"))
    query = select(*columns).where(attachment.c.state == State.QUARANTINED.value, *chosen(choice))
    oldest_first = query.order_by(attachment.c.created_at, attachment.c.id)
    with ledger.read() as connection:
        return [_filed(row) for row in connection.execute(oldest_first.limit(choice.limit))]


def let_out(ledger: Ledger, item: Filed, location: str, by: By, *, now: datetime, marking: bool = False) -> bool:
    """A quarantined file lies at ``location`` too now, and is stored; whether it was still as it was looked at.

    ``marking`` as for :func:`mo_sync.ledger.claims.settle`.
    """
    values = {
        "state": State.STORED.value,
        "location": location,
        "error": None,
        "verified_at": now,
        "updated_at": now,
    }
    same = and_(*_same(item), attachment.c.state == State.QUARANTINED.value)
    with ledger.begin() as connection:
        note(connection, Deed.RELEASE, same, by, now=now)
        done = connection.execute(update(attachment).where(same).values(values)).rowcount == 1
        if done and marking:
            marks.note(connection, [item.id], now=now)
        return done


def still(ledger: Ledger, item: Filed) -> bool:
    """Whether the ledger still says so: what was exchanged, erased or found to be whole meanwhile is no damage."""
    with ledger.read() as connection:
        return connection.execute(select(attachment.c.id).where(*_untouched(item))).first() is not None


def _untouched(item: Filed) -> tuple[ColumnElement[bool], ...]:
    """A file that was fetched again has the same place and the same bytes; only its time is another."""
    return *_same(item), attachment.c.verified_at == item.verified_at


def _same(item: Filed) -> tuple[ColumnElement[bool], ...]:
    return (
        attachment.c.id == item.id,
        attachment.c.state.in_(_AT_REST),
        func.coalesce(attachment.c.location, "") == item.location,
        func.coalesce(attachment.c.sha256, "") == item.sha256,
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
