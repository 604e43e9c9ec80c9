"""The daemons that work with a ledger, by what they last said of themselves: for who asks from outside."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, delete, select

from mo_sync.ledger.dialect import insert
from mo_sync.ledger.ledger import Ledger
from mo_sync.ledger.schema import process

__all__ = ["ProcessRow", "gone", "processes", "seen"]

_FORGOTTEN_AFTER: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class ProcessRow:
    """A daemon: since when it runs, when it last said so, when each job last completed a tick, what troubles it."""

    worker: str
    version: str
    started_at: datetime
    seen_at: datetime
    jobs: Mapping[str, datetime]
    trouble: str | None


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


def gone(ledger: Ledger, worker: str) -> None:
    """This daemon has ended in good order. Raises LedgerOutOfReach."""
    with ledger.begin() as connection:
        connection.execute(delete(process).where(process.c.worker == worker))


def processes(connection: Connection) -> Sequence[ProcessRow]:
    """Those that were heard of, the newest first."""
    found = connection.execute(select(process).order_by(process.c.started_at.desc(), process.c.worker))
    return [
        ProcessRow(row.worker, row.version, row.started_at, row.seen_at, _jobs(row.jobs), row.trouble) for row in found
    ]


def _jobs(text: str) -> dict[str, datetime]:
    return {name: datetime.fromisoformat(at) for name, at in json.loads(text).items()}
