"""What people ask of the ledger. Nothing here changes anything."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Select, func, or_, select, text, type_coerce

from mo_sync.ledger.filters import Filters, matching, says
from mo_sync.ledger.inboxes import Inboxes, sight
from mo_sync.ledger.ledger import Ledger
from mo_sync.ledger.processes import EndedRow, ProcessRow, ended, processes
from mo_sync.ledger.receivers import sent_to
from mo_sync.ledger.rows import (
    Announcement,
    ApplicationRow,
    AttachmentRow,
    AttemptRow,
    InterventionRow,
    MarkRow,
    MessageRow,
    attachments,
    each,
    rows,
)
from mo_sync.ledger.schema import AT_REST, application, attachment, attempt, is_in
from mo_sync.ledger.stories import Story, find_story
from mo_sync.ledger.totals import Total, by_state, totals
from mo_sync.ledger.views import problem
from mo_sync.lifecycle import Standing, State

__all__ = [
    "PROBLEMS",
    "Announcement",
    "ApplicationRow",
    "AttachmentRow",
    "AttemptRow",
    "EndedRow",
    "Filters",
    "Inboxes",
    "InterventionRow",
    "MarkRow",
    "MessageRow",
    "OtherProblem",
    "ProcessRow",
    "Status",
    "Story",
    "at_a_glance",
    "counts",
    "everything",
    "find_story",
    "list_attachments",
    "more_due_than",
    "other_problems",
    "recorded",
    "status",
    "unfinished",
]

PROBLEMS = (State.FAILED, State.MISSING, State.REFUSED, State.QUARANTINED)
"""States that need a person."""
_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class Status:
    """The ledger at a glance. ``attachments`` and ``events`` count by state; rates count finished attempts.

    Of all that is pending, ``oldest_pending`` was announced first, also if it is tried again only later. Of what is due
    now, of applications that do not rest, one has waited for a worker since ``overdue_since``. Every file that rests in
    the store was found to be whole since ``oldest_verified``.
    """

    attachments: dict[str, int]
    events: dict[str, int]
    messages: int
    deliveries: int
    stored_bytes: int
    oldest_pending: datetime | None
    overdue_since: datetime | None
    next_due: datetime | None
    stored_last_hour: int
    stored_last_day: int
    failures_last_hour: int
    failures_last_day: int
    oldest_verified: datetime | None
    applications: tuple[ApplicationRow, ...]
    inboxes: Inboxes
    processes: tuple[ProcessRow, ...]
    ended: tuple[EndedRow, ...]


@dataclass(frozen=True, slots=True)
class OtherProblem:
    """A row of ``v_problem`` that is about no attachment: an application, an event or a message; with what helps."""

    kind: str
    id: str
    application_id: str | None
    since: datetime
    reason: str | None
    command: str


def counts(ledger: Ledger) -> dict[State, int]:
    """How many attachments are in each state; every state is there."""
    with ledger.read() as connection:
        return by_state(connection)


def at_a_glance(ledger: Ledger, states: Collection[State], *, most: int = 10_000) -> dict[State, str]:
    """How many attachments are in each of these states, for who asks every few seconds.

    PostgreSQL, which keeps no totals, counts no more than ``most``: more are told as ``10000+``.
    """
    with ledger.read() as connection:
        if ledger.dialect == "postgresql":
            return {state: _count_upto(connection, most, state) for state in states}
        found = by_state(connection)
    return {state: str(found[state]) for state in states}


def unfinished(ledger: Ledger, *, now: datetime) -> int:
    """How many attachments are due, of applications that do not rest, or are being fetched."""
    due = select(func.count()).where(
        is_in(State.PENDING), attachment.c.due_at <= now, attachment.c.application_id.in_(_awake(now))
    )
    fetching = select(func.count()).where(is_in(State.FETCHING))
    with ledger.read() as connection:
        return int(connection.execute(due).scalar_one()) + int(connection.execute(fetching).scalar_one())


def more_due_than(ledger: Ledger, count: int, *, now: datetime) -> bool:
    """Whether more than ``count`` attachments are due. No more than those are looked at."""
    some = select(attachment.c.id).where(is_in(State.PENDING), attachment.c.due_at <= now).limit(count + 1).subquery()
    with ledger.read() as connection:
        return int(connection.execute(select(func.count()).select_from(some)).scalar_one()) > count


def status(ledger: Ledger, *, now: datetime) -> Status:
    """The ledger at a glance, all of it from one moment."""
    pending = is_in(State.PENDING)
    with ledger.read() as connection:
        found = totals(connection)
        events = {state: one for (kind, state), one in found.items() if kind == "event" and one.count}
        files = {state: found.get(("attachment", state.value), Total(0, 0)) for state in State}
        oldest = func.min(attachment.c.created_at, type_=attachment.c.created_at.type)
        due = func.min(attachment.c.due_at, type_=attachment.c.due_at.type)
        overdue = due.filter(attachment.c.due_at <= now, attachment.c.application_id.in_(_awake(now)))
        waiting = select(oldest, type_coerce(overdue, attachment.c.due_at.type), due).where(pending)
        oldest_pending, overdue_since, next_due = connection.execute(waiting).one()
        hour, day = now - timedelta(hours=1), now - timedelta(days=1)
        return Status(
            attachments={state.value: one.count for state, one in files.items()},
            events={state: one.count for state, one in events.items()},
            messages=found.get(("message", "recorded"), Total(0, 0)).count,
            deliveries=sum(one.amount for one in events.values()),
            stored_bytes=files[State.STORED].amount,
            oldest_pending=oldest_pending,
            overdue_since=overdue_since,
            next_due=next_due,
            stored_last_hour=_attempts_since(connection, hour, stored=True),
            stored_last_day=_attempts_since(connection, day, stored=True),
            failures_last_hour=_attempts_since(connection, hour, stored=False),
            failures_last_day=_attempts_since(connection, day, stored=False),
            oldest_verified=_oldest_verified(connection),
            inboxes=sight(connection, now=now),
            processes=tuple(processes(connection)),
            ended=tuple(ended(connection)),
            applications=tuple(rows(connection, select(application).order_by(application.c.id), ApplicationRow)),
        )


def other_problems(ledger: Ledger, filters: Filters, *, limit: int | None) -> list[OtherProblem]:
    """What needs a person and is no attachment, the newest first, at most ``limit`` (None: all).

    Of ``filters`` it heeds application, time and words of the reason.
    """
    with ledger.read() as connection:
        return rows(connection, _others(filters).limit(limit), OtherProblem)


def _others(filters: Filters) -> Select[Any]:
    query = select(problem).where(problem.c.kind.not_in([state.value for state in PROBLEMS]))
    query = query.order_by(problem.c.since.desc(), problem.c.kind, problem.c.id)
    if filters.application_id is not None:
        query = query.where(problem.c.application_id == filters.application_id)
    if filters.since is not None:
        query = query.where(problem.c.since >= filters.since)
    if filters.until is not None:
        query = query.where(problem.c.since < filters.until)
    if filters.error is not None:
        query = query.where(says(problem.c.reason, filters.error))
    return query


def problem_counts(ledger: Ledger) -> dict[str, int]:
    """How many there are of each kind of problem, attachments too."""
    with ledger.read() as connection:
        found = connection.execute(select(problem.c.kind, func.count()).group_by(problem.c.kind))
        return {kind: count for kind, count in found}  # noqa: C416  rows are not pairs to a type checker


def _awake(now: datetime) -> Select[Any]:
    """The applications whose attachments are fetched as soon as they are due."""
    return select(application.c.id).where(or_(application.c.state == Standing.ACTIVE.value, application.c.until <= now))


def recorded(ledger: Ledger) -> dict[str, int]:
    """How many events and messages are recorded: what there is when there are no attachments."""
    with ledger.read() as connection:
        found = totals(connection, "event", "message").items()
    return {
        name: sum(one.count for (kind, _), one in found if kind == name.removesuffix("s"))
        for name in ("events", "messages")
    }


def list_attachments(ledger: Ledger, filters: Filters, *, limit: int | None) -> list[AttachmentRow]:
    """Attachments that match, the newest first, at most ``limit`` (None: all)."""
    with ledger.read() as connection:
        if filters.application_id is not None and not _is_known(connection, filters.application_id):
            return []
        if filters.to_address is not None and filters.from_address is None:
            return sent_to(connection, filters.to_address, replace(filters, to_address=None), limit)
        newest_first = attachment.c.created_at.desc(), attachment.c.message_id, attachment.c.position
        query = attachments().where(*matching(filters)).order_by(*newest_first)
        return rows(connection, query.limit(limit), AttachmentRow)


@contextlib.contextmanager
def everything(ledger: Ledger, filters: Filters) -> Iterator[tuple[Iterator[AttachmentRow], Iterator[OtherProblem]]]:
    """All attachments that match and all other problems, the newest first, read while the block runs and takes them;
    from one moment, with some hundreds in memory at a time. Raises LedgerOutOfReach."""
    newest_first = attachment.c.created_at.desc(), attachment.c.message_id, attachment.c.position
    query = attachments().where(*matching(filters)).order_by(*newest_first)
    with ledger.read() as connection:
        yield (
            each(connection, query, AttachmentRow, at_once=_AT_ONCE),
            each(connection, _others(filters), OtherProblem, at_once=_AT_ONCE),
        )


def _is_known(connection: Connection, application_id: str) -> bool:
    """An application has its row from its first attachment on."""
    return connection.execute(select(application.c.id).where(application.c.id == application_id)).first() is not None


def _count_upto(connection: Connection, most: int, state: State) -> str:
    # In the order of an index, or PostgreSQL may look for them among all others.
    some = select(attachment.c.created_at).where(is_in(state)).order_by(attachment.c.created_at).limit(most + 1)
    count = connection.execute(select(func.count()).select_from(some.subquery())).scalar_one()
    return str(count) if count <= most else f"{most}+"


def _oldest_verified(connection: Connection) -> datetime | None:
    at_rest = select(attachment.c.verified_at).where(text(AT_REST), attachment.c.verified_at.is_not(None))
    hinted = at_rest.with_hint(attachment, "indexed by ix_attachment_at_rest", "sqlite")
    return connection.execute(hinted.order_by(attachment.c.verified_at).limit(1)).scalar_one_or_none()


def _attempts_since(connection: Connection, since: datetime, *, stored: bool) -> int:
    kept = attempt.c.outcome == "stored"
    neither = attempt.c.outcome.not_in(("stored", "interrupted", "lost"))
    query = select(func.count()).where(attempt.c.finished_at >= since, kept if stored else neither)
    return int(connection.execute(query).scalar_one())
