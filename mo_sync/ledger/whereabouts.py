"""Where the files lie, or may lie, of attachments that are to be forgotten: erased on request, or kept long enough."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Row, func, select
from sqlalchemy.sql import ColumnElement

from mo_sync.ledger.dialect import begins_with
from mo_sync.ledger.ledger import Ledger
from mo_sync.ledger.locking import changing
from mo_sync.ledger.schema import attachment, is_in
from mo_sync.ledger.veil import ERASED, known_key
from mo_sync.lifecycle import State
from mo_sync.naming import key

__all__ = [
    "erased_by_now",
    "erased_filed_as",
    "filed_once",
    "files_gone",
    "place_of",
    "unfinished",
    "unfinished_count",
]


def place_of(row: Row[*tuple[Any, ...]]) -> str:
    """The key of an attachment's file, by its ``location``; or by its ``id``, ``message_id``, ``position`` and
    ``filed_at``.

    One that has no file may have had one, that was set aside, or that a worker put there and died: its key is what it
    would be, but for the ending.
    """
    return row.location or key(
        filed_at=row.filed_at,
        message_id=row.message_id,
        position=row.position,
        attachment_id=row.id,
        extension="bin",
    )


def unfinished(
    ledger: Ledger, *, after: str = "", count: int = 500, on_request: bool = False, before: datetime | None = None
) -> dict[str, str]:
    """The next erased attachments whose files are still to be removed: the keys by what stands for their ids.

    ``on_request``: none of those that were kept long enough. ``before``: since when, at the latest. Raises
    LedgerOutOfReach.
    """
    query = select(attachment.c.id, attachment.c.location).where(*_unfinished(ledger, on_request=on_request))
    since = [attachment.c.updated_at < before] if before is not None else []
    with ledger.read() as connection:
        some = query.where(attachment.c.id > after, *since).order_by(attachment.c.id).limit(count)
        return {row.id: row.location for row in connection.execute(some)}


def unfinished_count(ledger: Ledger) -> int:
    """How many of those that were erased on request. Raises LedgerOutOfReach."""
    query = select(func.count()).select_from(attachment).where(*_unfinished(ledger, on_request=True))
    with ledger.read() as connection:
        return int(connection.execute(query).scalar_one())


def _unfinished(ledger: Ledger, *, on_request: bool) -> list[ColumnElement[bool]]:
    left = [is_in(State.ERASED), attachment.c.location.is_not(None)]
    return [*left, begins_with(ledger.dialect, attachment.c.id, ERASED)] if on_request else left


def erased_by_now(ledger: Ledger, attachment_ids: Collection[str]) -> set[str]:
    """Which of these attachments were erased, on request or to be pruned: a file of theirs must not be left lying.
    Raises LedgerOutOfReach."""
    with ledger.read() as connection:
        veil = known_key(connection)
        names = {one: one for one in attachment_ids}
        names |= veil.of_attachments(attachment_ids) if veil is not None else {}
        gone = select(attachment.c.id).where(attachment.c.id.in_(names), is_in(State.ERASED))
        return {names[found] for found in connection.execute(gone).scalars()}


def erased_filed_as(ledger: Ledger, component: str) -> bool:
    """Whether the attachment that stands so in a file's name was erased. Raises LedgerOutOfReach."""
    with ledger.read() as connection:
        veil = known_key(connection)
        names = {component} if veil is None else {component, veil.filed(component)}
        gone = select(attachment.c.id).where(attachment.c.id.in_(names), is_in(State.ERASED))
        return connection.execute(gone).first() is not None


def filed_once(ledger: Ledger, stand_ins: Collection[str]) -> int:
    """How many of these erased attachments had a file, as far as the ledger was ever told. Raises LedgerOutOfReach."""
    query = select(func.count()).where(attachment.c.id.in_(stand_ins), attachment.c.size.is_not(None))
    with ledger.read() as connection:
        return int(connection.execute(query).scalar_one())


def files_gone(ledger: Ledger, places: Mapping[str, str]) -> None:
    """Their files were removed: forget where they were. Raises LedgerOutOfReach."""
    these = attachment.c.id.in_(places), attachment.c.location.in_(places.values()), is_in(State.ERASED)
    with ledger.begin() as connection:
        connection.execute(changing(ledger.dialect, attachment, *these).values(location=None))
