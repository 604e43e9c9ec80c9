"""How far something has come that goes through a feed, or through the ledger, in pieces."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import select

from mo_sync.ledger.dialect import insert
from mo_sync.ledger.ledger import Ledger
from mo_sync.ledger.schema import cursor

__all__ = ["move", "places"]


def places(ledger: Ledger, beginning: str) -> dict[str, str]:
    """The places of all whose name begins so. Raises LedgerOutOfReach."""
    query = select(cursor.c.name, cursor.c.value).where(cursor.c.name.startswith(beginning, autoescape=True))
    with ledger.read() as connection:
        return {row.name: row.value for row in connection.execute(query)}


def move(ledger: Ledger, to: Mapping[str, str], *, now: datetime) -> None:
    """Move these to new places, all in one transaction. Raises LedgerOutOfReach, and then none has moved."""
    with ledger.begin() as connection:
        for name, value in to.items():
            row = {"name": name, "value": value, "updated_at": now}
            statement = insert(connection.dialect.name, cursor).values(row)
            connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=row))
