"""Messages whose scan status came after them: what was stored before it was known is judged by it afterwards."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import exists, select, text, update

from mo_sync.ledger.interventions import Deed
from mo_sync.ledger.ledger import Ledger
from mo_sync.ledger.schema import SCAN_TOLD, attachment, intervention, is_in, message
from mo_sync.ledger.verification import Filed
from mo_sync.lifecycle import State

__all__ = [
    "Told",
    "condemned",
    "held_in_quarantine",
    "judged",
    "on_its_way",
    "quarantined_keys",
    "stored",
    "take_in",
    "told_late",
]


@dataclass(frozen=True, slots=True)
class Told:
    """What is known of a message's scan since ``told_at``."""

    message_id: str
    av_status: str | None
    told_at: datetime


def told_late(ledger: Ledger, *, after: str = "", count: int) -> list[Told]:
    """The next ``count`` whose files are to be judged, by their ids behind ``after``. Raises LedgerOutOfReach."""
    query = select(message.c.id, message.c.av_status, message.c.scan_told_at)
    query = query.where(text(SCAN_TOLD), message.c.id > after)
    with ledger.read() as connection:
        return [Told(*row) for row in connection.execute(query.order_by(message.c.id).limit(count))]


def on_its_way(ledger: Ledger, message_id: str) -> bool:
    """Whether something of it is being fetched by who did not know of the scan. Raises LedgerOutOfReach."""
    query = select(attachment.c.id).where(attachment.c.message_id == message_id, is_in(State.FETCHING)).limit(1)
    with ledger.read() as connection:
        return connection.execute(query).first() is not None


def stored(ledger: Ledger, told: Told) -> list[Filed]:
    """Its files that are stored, but none that a person has let out of quarantine since. Raises LedgerOutOfReach."""
    columns = (attachment.c[name] for name in ("id", "location", "size", "sha256", "verified_at"))
    let_out = exists().where(
        intervention.c.attachment_id == attachment.c.id,
        intervention.c.deed == Deed.RELEASE.value,
        intervention.c.state == State.QUARANTINED.value,
        intervention.c.at >= told.told_at,
    )
    query = select(*columns).where(attachment.c.message_id == told.message_id, is_in(State.STORED), ~let_out)
    with ledger.read() as connection:
        return [Filed(*row) for row in connection.execute(query.order_by(attachment.c.position))]


def take_in(ledger: Ledger, item: Filed, location: str, reason: str, *, now: datetime) -> bool:
    """It lies at ``location`` now, in quarantine; whether it was still as it was looked at. Raises LedgerOutOfReach."""
    values = {
        "state": State.QUARANTINED.value,
        "location": location,
        "error": reason,
        "verified_at": now,
        "updated_at": now,
    }
    same = attachment.c.id == item.id, attachment.c.location == item.location, attachment.c.sha256 == item.sha256
    with ledger.begin() as connection:
        return connection.execute(update(attachment).where(*same, is_in(State.STORED)).values(values)).rowcount == 1


def quarantined_keys(ledger: Ledger, message_id: str) -> list[str]:
    """Where its files in quarantine lie. Raises LedgerOutOfReach."""
    theirs = attachment.c.message_id == message_id, is_in(State.QUARANTINED), attachment.c.location.is_not(None)
    with ledger.read() as connection:
        return [str(key) for key in connection.execute(select(attachment.c.location).where(*theirs)).scalars()]


def condemned(ledger: Ledger, *, after: str, count: int) -> list[tuple[str, str, str]]:
    """The next ``count`` in quarantine, by their ids behind ``after``: id, message and key. Raises LedgerOutOfReach."""
    query = select(attachment.c.id, attachment.c.message_id, attachment.c.location)
    theirs = is_in(State.QUARANTINED), attachment.c.location.is_not(None), attachment.c.id > after
    with ledger.read() as connection:
        found = connection.execute(query.where(*theirs).order_by(attachment.c.id).limit(count))
        return [(row.id, row.message_id, row.location) for row in found]


@contextlib.contextmanager
def held_in_quarantine(ledger: Ledger, message_id: str, key: str) -> Iterator[bool]:
    """Whether its file there is quarantined still; if so, nobody lets it out before the block ends, which is to be
    short. Raises LedgerOutOfReach."""
    this = attachment.c.message_id == message_id, attachment.c.location == key, is_in(State.QUARANTINED)
    with ledger.begin() as connection:
        yield connection.execute(select(attachment.c.id).where(*this).with_for_update()).first() is not None


def judged(ledger: Ledger, told: Told) -> None:
    """Its files were judged, unless something was told again since. Raises LedgerOutOfReach."""
    same = message.c.id == told.message_id, message.c.scan_told_at == told.told_at
    with ledger.begin() as connection:
        connection.execute(update(message).where(*same).values(scan_told_at=None))
