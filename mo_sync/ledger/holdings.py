"""What the ledger holds of messages that somebody else lists: for the comparison with Syniverse's inbox."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, and_, select, text, true

from mo_sync.ledger.bulk import chunks, look_up
from mo_sync.ledger.dialect import among
from mo_sync.ledger.ledger import Ledger
from mo_sync.ledger.schema import REMARKED, attachment, event, message
from mo_sync.ledger.veil import ERASED, known_key

__all__ = ["Held", "Owners", "accounted_for", "erased", "held", "held_between"]

_AT_ONCE: Final = 2_000


@dataclass(frozen=True, slots=True)
class Held:
    """A message that is recorded, and the attachments that it has, or had until they were pruned.

    What stands for erased ones is not among them: nobody else names these. See :func:`accounted_for`.
    ``lacks_ids``: an event said that it has attachments, and nobody named any yet.
    """

    application_id: str
    from_address: str | None
    to_address: str | None
    body: str | None
    attachment_ids: frozenset[str]
    lacks_ids: bool


@dataclass(frozen=True, slots=True)
class Owners:
    """Which applications: one alone, or all but some."""

    only: str | None = None
    but: frozenset[str] = frozenset()

    def owns(self, application_id: str) -> bool:
        """Whether it is one of them."""
        return application_id == self.only if self.only is not None else application_id not in self.but

    def own(self, column: ColumnElement[str]) -> ColumnElement[bool]:
        """Whether ``column`` names one of them."""
        if self.only is not None:
            return column == self.only
        return column.not_in(sorted(self.but)) if self.but else true()


def held(ledger: Ledger, message_ids: Sequence[str]) -> dict[str, Held]:
    """Those of ``message_ids`` that are recorded, and what of them. Raises LedgerOutOfReach."""
    found: dict[str, Held] = {}
    with ledger.read() as connection:
        for some in chunks(list(message_ids)):
            files: dict[str, set[str]] = {}
            for message_id, attachment_id in look_up(connection, _files, some):
                files.setdefault(message_id, set()).add(attachment_id)
            remarked = {message_id for (message_id,) in look_up(connection, _remarked, some)}
            for message_id, application_id, sender, receiver, body, pruned in look_up(connection, _messages, some):
                theirs = {*files.get(message_id, ()), *filter(None, (pruned or "").split(","))}
                lacks_ids = not theirs and message_id in remarked
                named = frozenset(one for one in theirs if not one.startswith(ERASED))
                found[message_id] = Held(application_id, sender, receiver, body, named, lacks_ids)
    return found


def accounted_for(ledger: Ledger, attachment_ids: Collection[str]) -> frozenset[str]:
    """Those that recording a message that names them would not bring: another message has them, or they were erased.

    Raises LedgerOutOfReach.
    """
    with ledger.read() as connection:
        veil = known_key(connection)
        names = {one: one for one in attachment_ids}
        names |= veil.of_attachments(attachment_ids) if veil is not None else {}
        rows = [row[0] for some in chunks(sorted(names)) for row in look_up(connection, _attachments, some)]
    return frozenset(names[one] for one in rows)


def erased(ledger: Ledger, message_ids: Sequence[str]) -> set[str]:
    """Those of ``message_ids`` that were erased on request, and shall not come back. Raises LedgerOutOfReach."""
    with ledger.read() as connection:
        veil = known_key(connection)
        if veil is None:
            return set()
        names = {veil("message", one): one for one in message_ids}
        gone = [row[0] for some in chunks(sorted(names)) for row in look_up(connection, _messages, some)]
    return {names[one] for one in gone}


def held_between(
    ledger: Ledger, owners: Owners, since: datetime, until: datetime
) -> Iterator[tuple[str, str, datetime]]:
    """Messages that were received by Syniverse from ``since`` on and before ``until``: id, application, when.

    In pieces, each of a transaction of its own. Raises LedgerOutOfReach.
    """
    after = since, ""
    while True:
        with ledger.read() as connection:
            rows = _page(connection, owners, after, until)
        yield from rows
        if len(rows) < _AT_ONCE:
            return
        after = rows[-1][2], rows[-1][0]


def _page(
    connection: Connection, owners: Owners, after: tuple[datetime, str], until: datetime
) -> list[tuple[str, str, datetime]]:
    at = message.c.occurred_at
    later = (at > after[0]) | and_(at == after[0], message.c.id > after[1])
    query = (
        select(message.c.id, message.c.application_id, at)
        .where(owners.own(message.c.application_id), at >= after[0], at < until, later)
        .where(message.c.id.not_like(f"{ERASED}%"))
        .order_by(at, message.c.id)
        .limit(_AT_ONCE)
    )
    return [(row[0], row[1], row[2]) for row in connection.execute(query)]


def _messages(dialect: str) -> Select[Any]:
    names = ("id", "application_id", "from_address", "to_address", "body", "pruned")
    return select(*(message.c[name] for name in names)).where(among(dialect, message.c.id))


def _files(dialect: str) -> Select[Any]:
    return select(attachment.c.message_id, attachment.c.id).where(among(dialect, attachment.c.message_id))


def _attachments(dialect: str) -> Select[Any]:
    return select(attachment.c.id).where(among(dialect, attachment.c.id))


def _remarked(dialect: str) -> Select[Any]:
    return select(event.c.message_id).where(among(dialect, event.c.message_id), text(REMARKED))
