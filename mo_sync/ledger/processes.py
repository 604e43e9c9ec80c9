"""The daemons that work with a ledger, by what they last said of themselves, and what has ended: for who asks from
outside. What ended is kept under ``cursor``, once a machine: a pass, and a daemon since which no other has begun."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, delete, or_, select

from mo_sync.ledger.dialect import insert
from mo_sync.ledger.ledger import Ledger
from mo_sync.ledger.schema import cursor, process

__all__ = ["EndedRow", "ProcessRow", "ended", "gone", "passed", "processes", "seen"]

_FORGOTTEN_AFTER: Final = timedelta(days=1)
_KINDS: Final = ("pass", "daemon")
_MOST_ENDED: Final = 20


@dataclass(frozen=True, slots=True)
class ProcessRow:
    """A daemon: since when it runs, when it last said so, when each job last completed a tick, what troubles it."""

    worker: str
    version: str
    started_at: datetime
    seen_at: datetime
    jobs: Mapping[str, datetime]
    trouble: str | None


@dataclass(frozen=True, slots=True)
class EndedRow:
    """The last pass of a machine (``kind`` is ``pass``) that came to its end, with its exit code; or the last
    ``daemon`` there, which was stopped in good order."""

    kind: str
    host: str
    at: datetime
    exit_code: int


def seen(ledger: Ledger, row: ProcessRow) -> None:
    """Write down what this daemon says; those that nobody heard of for a day are forgotten. Raises LedgerOutOfReach."""
    jobs = json.dumps({name: at.isoformat().replace("+00:00", "Z") for name, at in sorted(row.jobs.items())})
    values = {
        "worker": row.worker,
        "version": row.version,
        "started_at": row.started_at,
        "seen_at": row.seen_at,
        "jobs": jobs,
        "trouble": row.trouble,
    }
    statement = insert(ledger.dialect, process).values(values)
    with ledger.begin() as connection:
        connection.execute(statement.on_conflict_do_update(index_elements=["worker"], set_=values))
        connection.execute(delete(process).where(process.c.seen_at < row.seen_at - _FORGOTTEN_AFTER))
        connection.execute(delete(cursor).where(cursor.c.name == f"daemon:{_host(row.worker)}"))


def gone(ledger: Ledger, worker: str, *, now: datetime) -> None:
    """This daemon has ended in good order. Raises LedgerOutOfReach."""
    with ledger.begin() as connection:
        connection.execute(delete(process).where(process.c.worker == worker))
        _note(connection, "daemon", worker, now, 0)


def passed(ledger: Ledger, worker: str, *, now: datetime, exit_code: int) -> None:
    """This worker has come to the end of a pass. Raises LedgerOutOfReach."""
    with ledger.begin() as connection:
        _note(connection, "pass", worker, now, exit_code)


def _note(connection: Connection, kind: str, worker: str, now: datetime, exit_code: int) -> None:
    row = {"name": f"{kind}:{_host(worker)}", "value": str(int(exit_code)), "updated_at": now}
    statement = insert(connection.dialect.name, cursor).values(row)
    connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=row))
    # Where each process is in a container of its own, machines are new all the time.
    alike = cursor.c.name.startswith(f"{kind}:", autoescape=True)
    newest = select(cursor.c.name).where(alike).order_by(cursor.c.updated_at.desc(), cursor.c.name).limit(_MOST_ENDED)
    connection.execute(delete(cursor).where(alike, cursor.c.name.not_in(newest.scalar_subquery())))


def _host(worker: str) -> str:
    """Of a worker's name, which is host, process id and chance.

    >>> _host("a-host-4711-0a1b2c3d")
    'a-host'
    """
    return worker.rsplit("-", 2)[0]


def ended(connection: Connection) -> Sequence[EndedRow]:
    """What ended last on each machine, the newest first."""
    theirs = or_(*(cursor.c.name.startswith(f"{kind}:", autoescape=True) for kind in _KINDS))
    found = connection.execute(select(cursor).where(theirs).order_by(cursor.c.updated_at.desc(), cursor.c.name))
    rows = [(*row.name.split(":", 1), row) for row in found]
    return [EndedRow(kind, host, row.updated_at, int(row.value)) for kind, host, row in rows]


def processes(connection: Connection) -> Sequence[ProcessRow]:
    """Those that were heard of, the newest first."""
    found = connection.execute(select(process).order_by(process.c.started_at.desc(), process.c.worker))
    return [
        ProcessRow(row.worker, row.version, row.started_at, row.seen_at, _jobs(row.jobs), row.trouble) for row in found
    ]


def _jobs(text: str) -> dict[str, datetime]:
    return {name: datetime.fromisoformat(at) for name, at in json.loads(text).items()}
