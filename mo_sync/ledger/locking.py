"""Many rows changed at once: where rows are locked, everybody locks them in the order of their ids.

An UPDATE locks rows as it comes upon them, each in an order of its own. Two that change the same ones would each hold
what the other waits for.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Select, Table, TextClause, Update, select, update
from sqlalchemy.sql import ColumnElement

from mo_sync.ledger.dialect import locks_rows
from mo_sync.ledger.schema import attachment

__all__ = ["changing", "lock"]

_Condition = ColumnElement[bool] | TextClause


def lock(connection: Connection, *which: _Condition) -> list[str]:
    """The ids of the attachments that meet all of ``which``; until the transaction ends nobody else changes them.

    Who goes on by these ids changes what was found here and nothing else: each statement sees what was committed since.
    """
    return list(connection.execute(_locking(attachment, which)).scalars())


def changing(dialect: str, table: Table, *which: _Condition) -> Update:
    """An UPDATE of all rows of ``table`` that meet ``which``, however many."""
    if not locks_rows(dialect):
        return update(table).where(*which)
    # As a CTE it runs once; as a subquery PostgreSQL may run it again.
    return update(table).where(table.c.id.in_(select(_locking(table, which).cte("locked").c.id)))


def _locking(table: Table, which: tuple[_Condition, ...]) -> Select[Any]:
    return select(table.c.id).where(*which).order_by(table.c.id).with_for_update()
