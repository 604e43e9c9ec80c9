"""What an erasure is about: looked up before anything is changed, in pieces that no server breaks off."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from sqlalchemy import Connection, false, func, not_, or_, select, true
from sqlalchemy.sql import ColumnElement

from mo_sync.events import payload_beginning
from mo_sync.ledger.bulk import chunks
from mo_sync.ledger.dialect import begins_with
from mo_sync.ledger.filters import event_in
from mo_sync.ledger.ledger import Ledger
from mo_sync.ledger.schema import attachment, event, is_in, message
from mo_sync.ledger.veil import ERASED
from mo_sync.lifecycle import State
from mo_sync.mentions import Names
from mo_sync.shapes import texts

__all__ = ["UNREAD", "Scope", "ending_so", "scope", "senders_of"]

_WRAPPED: Final = ("ase64", "\\u", "&#", "<!")
"""Without one of these, what an event that was understood says stands in it as it is."""
_A_FEW: Final = 3
_MANY: Final = 50
_LONG: Final = 8
"""A shorter id may stand for something else in what somebody else sent. Syniverse's have 22 characters."""
_ADDRESSES_AT_ONCE: Final = 1_000
_EVENTS_AT_ONCE: Final = 500
_UNREAD_STATES: Final = ("rejected", "ignored")
UNREAD: Final = (event.c.message_id.is_(None), event.c.state.in_(_UNREAD_STATES))
"""The events that announced no message of ours."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What an erasure is about: whole messages, attachments of others, and events that announce none of ours.

    ``attachments_in_all`` and ``events_in_all`` count those of the messages too, and ``ids`` has them.
    """

    messages: tuple[str, ...]
    attachments: tuple[str, ...]
    events: tuple[int, ...]
    files: int
    bytes: int
    attachments_in_all: int = 0
    events_in_all: int = 0
    ids: tuple[str, ...] = ()


def scope(
    ledger: Ledger,
    *,
    message_ids: Sequence[str] = (),
    attachment_ids: Sequence[str] = (),
    event_keys: Sequence[str] = (),
    sender: Sequence[str] = (),
    also: Collection[str] = (),
) -> Scope:
    """What would be erased. ``sender`` are the spellings of a number: all that it sent, by whatever channel. Events
    that announced no message of ours go too, if they name the number, one of the ids or what is looked for ``also``;
    ``event_keys`` are such."""
    with ledger.read() as connection:
        chosen = _chosen(message_ids, _spelled(connection, sender))
        # Not by the ids that were found: there may be more than a statement can take.
        stand_in = begins_with(connection.dialect.name, message.c.id, ERASED)
        whole = select(message.c.id).where(chosen, not_(stand_in))
        messages = tuple(connection.execute(whole.order_by(message.c.id)).scalars())
        alone = attachment.c.id.in_(attachment_ids), attachment.c.message_id.not_in(whole), not_(is_in(State.ERASED))
        attachments = tuple(connection.execute(select(attachment.c.id).where(*alone)).scalars())
        # Not joined by "or", with which PostgreSQL would go through all that there are.
        of_messages = select(attachment.c.id).where(attachment.c.message_id.in_(whole))
        theirs = attachment.c.id.in_(select(attachment.c.id).where(*alone).union(of_messages))
        there, wanted = attachment.c.location.is_not(None), not_(is_in(State.ERASED))
        size = func.coalesce(func.sum(attachment.c.size).filter(there), 0)
        sums = select(func.count().filter(wanted), func.count().filter(there), size).where(theirs)
        in_all, files, size_bytes = connection.execute(sums).one()
        owners = select(attachment.c.message_id).where(attachment.c.id.in_(attachments))
        told = select(event.c.id).where(event.c.message_id.in_(whole.union(owners)))
        announcing = connection.execute(select(func.count()).select_from(told.subquery())).scalar_one()
        named = select(event.c.id).where(event.c.event_key.in_(event_keys), *UNREAD)
        ids = (*messages, *attachments, *connection.execute(of_messages).scalars())
        long = [one for one in {*ids, *also} if len(one) >= _LONG and not one.startswith(ERASED)]
        events = {*connection.execute(named).scalars(), *_naming(connection, sender, long)}
    sizes = int(files), int(size_bytes), int(in_all), len(events) + int(announcing)
    return Scope(messages, attachments, tuple(sorted(events)), *sizes, ids)


def senders_of(ledger: Ledger, chosen: Scope) -> set[str]:
    """Who sent the messages that are erased, and those of the attachments that are. Raises LedgerOutOfReach."""
    found: set[str] = set()
    owners = select(message.c.from_address).join(attachment, attachment.c.message_id == message.c.id)
    with ledger.read() as connection:
        for some in chunks(list(chosen.messages)):
            theirs = select(message.c.from_address).where(message.c.id.in_(some), message.c.from_address.is_not(None))
            found |= set(connection.execute(theirs).scalars())
        for some in chunks(list(chosen.attachments)):
            theirs = owners.where(attachment.c.id.in_(some), message.c.from_address.is_not(None))
            found |= set(connection.execute(theirs).scalars())
    return found


def ending_so(ledger: Ledger, digits: str) -> list[str]:
    """The first few numbers of senders that end with these digits, and have others before them. Raises
    LedgerOutOfReach."""
    with ledger.read() as connection:
        return list(islice((one for one in _addresses(connection) if one.endswith(digits)), _A_FEW))


def _chosen(message_ids: Sequence[str], addresses: Collection[str]) -> ColumnElement[bool]:
    named = [message.c.id.in_(message_ids)] if message_ids else []
    return or_(false(), *named, *([message.c.from_address.in_(addresses)] if addresses else []))


def _spelled(connection: Connection, numbers: Sequence[str]) -> list[str]:
    """What messages are from that is one of these spellings, behind whatever channel. All addresses are gone through:
    among those that one could guess one may be missing."""
    behind = tuple(f":{number}" for number in numbers)
    return [one for one in _addresses(connection) if one in numbers or one.endswith(behind)] if numbers else []


def _addresses(connection: Connection) -> Iterator[str]:
    """All that messages are from, each once, in the order of their index."""
    column, seen = message.c.from_address, [""]
    while seen:
        some = select(column).where(column > seen[-1]).order_by(column).limit(_ADDRESSES_AT_ONCE)
        seen = list(connection.execute(some).scalars())
        yield from dict.fromkeys(seen)


def _naming(connection: Connection, sender: Sequence[str], ids: Sequence[str]) -> list[int]:
    """The events without a message that have this number somewhere in them, and not as a part of a longer one; or one
    of these ids."""
    if not (sender or ids):
        return []
    number = re.compile("|".join(rf"(?<!\d){re.escape(one)}(?!\d)" for one in sender) or "(?!)")
    names = Names.of(ids)
    query = select(event.c.id, event.c.state, event.c.payload).where(*UNREAD, _may_name([*sender, *ids]))
    query = query.execution_options(yield_per=50)

    def named_in(text: str) -> bool:
        return number.search(text) is not None or names.are_in(text)

    def is_named(state: str, payload: str) -> bool:
        if named_in(payload):
            return True
        hidden = state == "rejected" or any(mark in payload for mark in _WRAPPED)
        return hidden and any(map(named_in, texts(payload_beginning(payload))))

    found: list[int] = []
    for first, last in _unread(connection):
        rows = connection.execute(query.where(event.c.id.between(first, last)))
        found += [row.id for row in rows if is_named(row.state, row.payload)]
    return found


def _may_name(names: Sequence[str]) -> ColumnElement[bool]:
    """Of those that were understood there may be millions: only what names it, or may hide it, is looked into; unless
    so much is looked for that all of them may as well be."""
    if len(names) > _MANY:
        return true()
    marks = (event.c.payload.contains(one, autoescape=True) for one in (*names, *_WRAPPED))
    return or_(event.c.state == "rejected", *marks)


def _unread(connection: Connection) -> Iterator[tuple[int, int]]:
    """All row numbers under which such events may be, so few at a time that PostgreSQL breaks no look at them off."""
    last = 0
    while True:
        lowest = (select(func.min(event.c.id)).where(event_in([one]), event.c.id > last) for one in _UNREAD_STATES)
        there = [first for one in lowest if (first := connection.execute(one).scalar_one()) is not None]
        if not there:
            return
        last = min(there) + _EVENTS_AT_ONCE - 1
        yield min(there), last
