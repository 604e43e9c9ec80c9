"""Which attachments somebody means, by what is known of them: the same for what is listed and for what is changed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import or_, select
from sqlalchemy.sql import ColumnElement

from mo_sync.ledger.schema import attachment, message
from mo_sync.lifecycle import State

__all__ = ["Filters", "matching", "sent", "spellings"]


@dataclass(frozen=True, slots=True)
class Filters:
    """What is left out does not matter. ``error`` is looked for in code and sentence; times are those of announcing."""

    states: Collection[State] = ()
    application_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    from_address: str | None = None
    to_address: str | None = None
    error: str | None = None


def matching(filters: Filters) -> list[ColumnElement[bool]]:
    """The conditions on an attachment, all of which must hold."""
    found: list[ColumnElement[bool]] = []
    if filters.states:
        found.append(attachment.c.state.in_([state.value for state in filters.states]))
    if filters.application_id is not None:
        found.append(attachment.c.application_id == filters.application_id)
    if filters.since is not None:
        found.append(attachment.c.created_at >= filters.since)
    if filters.until is not None:
        found.append(attachment.c.created_at < filters.until)
    if numbers := sent(filters):
        found.append(attachment.c.message_id.in_(select(message.c.id).where(*numbers)))
    if filters.error is not None:
        named = attachment.c.error.contains(filters.error, autoescape=True)
        # Whatever has a code has a sentence too; this says so to the database, which has an index of those.
        found += [attachment.c.error.is_not(None), or_(named, attachment.c.error_code == filters.error)]
    return found


def sent(filters: Filters) -> list[ColumnElement[bool]]:
    """The conditions on a message that are about its numbers."""
    numbers = (message.c.from_address, filters.from_address), (message.c.to_address, filters.to_address)
    return [column.in_(spellings(address)) for column, address in numbers if address is not None]


def spellings(address: str) -> list[str]:
    """A phone number is written with and without its plus sign."""
    bare = address.removeprefix("+")
    return [bare, f"+{bare}"]
