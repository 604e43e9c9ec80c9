"""Which attachments somebody means, by what is known of them: the same for what is listed and for what is changed."""

from __future__ import annotations

import string
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Text, false, literal_column, or_, select
from sqlalchemy.sql import ColumnElement

from mo_sync.ledger.dialect import folded
from mo_sync.ledger.schema import attachment, event, message
from mo_sync.lifecycle import State
from mo_sync.readings import dialled

__all__ = [
    "EVENT_STATES",
    "Filters",
    "addresses",
    "event_in",
    "matching",
    "says",
    "sent",
    "spellings",
]

EVENT_STATES: Final = ("accepted", "ignored", "rejected")

_CHANNELS: Final = ("whatsapp", "sms", "mms", "rcs", "viber")
"""Those whose addresses are phone numbers."""
_FOLDED: Final = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


@dataclass(frozen=True, slots=True)
class Filters:
    """What is left out does not matter. ``states`` are those of attachments, ``event_states`` those of events;
    ``error`` is the code, or in the sentence, in capitals or not; times are those of announcing."""

    states: Collection[State] = ()
    event_states: Collection[str] = ()
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
        code = folded(attachment.c.error_code) == filters.error.translate(_FOLDED)
        # Whatever has a code has a sentence too; this says so to the database, which has an index of those.
        found += [attachment.c.error.is_not(None), or_(says(attachment.c.error, filters.error), code)]
    return found


def event_in(states: Collection[str]) -> ColumnElement[bool]:
    """Whether an event is in one of these states; in what is none, no event is."""
    # Written out, as the database's index of rejected ones has it: with a parameter SQLite would not take that.
    return or_(false(), *(event.c.state == literal_column(f"'{one}'", Text) for one in EVENT_STATES if one in states))


def says(column: ColumnElement[str], words: str) -> ColumnElement[bool]:
    """Whether these words are in a text; whether they are in capitals (A to Z) does not matter, on any database."""
    return folded(column).contains(words.translate(_FOLDED), autoescape=True)


def sent(filters: Filters) -> list[ColumnElement[bool]]:
    """The conditions on a message that are about its numbers."""
    numbers = (message.c.from_address, filters.from_address), (message.c.to_address, filters.to_address)
    return [column.in_(addresses(address)) for column, address in numbers if address is not None]


def addresses(number: str) -> list[str]:
    """Its spellings, also behind the usual channels if it names none itself.

    >>> addresses("whatsapp:+14085550100"), addresses("14085550100")[:3]
    (['whatsapp:14085550100', 'whatsapp:+14085550100'], ['14085550100', '+14085550100', 'whatsapp:14085550100'])
    """
    channels = () if ":" in number else _CHANNELS
    return spellings(number) + [one for channel in channels for one in spellings(f"{channel}:{number}")]


def spellings(number: str) -> list[str]:
    """A phone number is written with and without its plus sign, which stands behind the channel if it names one; people
    write it with blanks, dashes, dots and brackets, too.

    >>> spellings("whatsapp:+1 408-555-0100")[:2]
    ['whatsapp:14085550100', 'whatsapp:+14085550100']
    """
    channel, colon, digits = number.rpartition(":")
    bare = [one.removeprefix("+") for one in dict.fromkeys([dialled(digits), digits])]
    return [f"{channel}{colon}{sign}{one}" for one in bare for sign in ("", "+")]
