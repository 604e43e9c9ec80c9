"""Whether the ledger has ever heard of a number or an application, by which somebody chooses."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import ColumnElement, Connection, select

from mo_sync.ledger.filters import addresses
from mo_sync.ledger.ledger import Ledger
from mo_sync.ledger.schema import application, gap, message

__all__ = ["heard_of", "strangers"]


def heard_of(ledger: Ledger, *, sender: str | None, receiver: str | None) -> tuple[bool, bool]:
    """Whether any message is from the one, and any to the other; of what is None it is so. Raises LedgerOutOfReach."""
    with ledger.read() as connection:
        return (
            sender is None or _is_there(connection, message.c.from_address.in_(addresses(sender))),
            receiver is None or _is_there(connection, message.c.to_address.in_(addresses(receiver))),
        )


def strangers(ledger: Ledger, application_ids: Collection[str]) -> list[str]:
    """Those of which nothing is here: no message, no standing, no gap. Raises LedgerOutOfReach."""
    columns = application.c.id, message.c.application_id, gap.c.application_id
    with ledger.read() as connection:
        return [one for one in application_ids if not any(_is_there(connection, column == one) for column in columns)]


def _is_there(connection: Connection, condition: ColumnElement[bool]) -> bool:
    return connection.execute(select(1).where(condition).limit(1)).first() is not None
